"""POST /v1/public-keys, at the operators' listener: the controller brings the keys of another gateway of the site.

{"of": GATEWAY, "keys": [{"spki_sha256": hex, "device": ID, "retired": false}]}, in as many requests as it takes. A key
that is known is left as it is, except that it can become a retired one.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Flask, Response

from fleetmint.documents.document import read_object
from fleetmint.errors import NameRefusedError, RegistrationRefusedError
from fleetmint.gateway import disk
from fleetmint.ledger import elsewhere, writing
from fleetmint.ledger.elsewhere import Key
from fleetmint.service.answers import json_answer, read_body
from fleetmint.service.queries import read_query
from fleetmint.service.resources import Resources
from fleetmint.service.stations import MAX_BYTES, station
from fleetmint.x509 import names

_SHA256 = re.compile(r"[0-9a-f]{64}")


def add_elsewhere(app: Flask, resources: Resources, clock: Callable[[], datetime]) -> None:
    """Add the route to `app`."""

    @app.post("/v1/public-keys")
    def keys_elsewhere() -> Response:
        actor = station(resources)
        read_query()
        gateway, keys = _keys(read_body(MAX_BYTES), resources.config.gateway)
        disk.refuse_full(resources.config)
        with writing(resources.engine) as connection:
            done = elsewhere.take(connection, gateway, keys, actor=actor, now=clock())
        conflicts = [vars(each) for each in done.conflicts]
        return json_answer(200, changed=bool(done.added), added=done.added, conflicts=conflicts)


def _keys(data: bytes, own: str) -> tuple[str, list[Key]]:
    document = read_object(data)
    gateway, listed = document.get("of"), document.get("keys")
    if not isinstance(gateway, str) or not isinstance(listed, list):
        raise RegistrationRefusedError("of has to be the name of a gateway, and keys a list")
    if gateway == own:
        raise RegistrationRefusedError(f"these are the keys of {own} itself: bring them to the other gateways")
    try:
        return names.device_id(gateway), [_key(number, entry) for number, entry in enumerate(listed, 1)]
    except NameRefusedError as error:
        raise RegistrationRefusedError(str(error)) from error


def _key(number: int, entry: Any) -> Key:
    if not isinstance(entry, dict) or set(entry) != {"spki_sha256", "device", "retired"}:
        raise RegistrationRefusedError(f"key {number} has to have spki_sha256, device and retired")
    sha256, retired = entry["spki_sha256"], entry["retired"]
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or not isinstance(retired, bool):
        raise RegistrationRefusedError(f"key {number}: spki_sha256 is 64 lower-case hex digits, retired true or false")
    return Key(sha256, names.device_id(str(entry["device"])), retired)
