"""Telling a gateway something at its operators' listener, as the station."""

from __future__ import annotations

import json
from typing import Any

from fleetmint.cli.lazily import for_work
from fleetmint.cli.site import SECONDS, Gateway
from fleetmint.errors import FleetmintError

with for_work():
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    from fleetmint.cli.unreachable import why

# What the listener takes at once, with room for what a client adds.
LARGEST = 60_000
# What can be brought as a signed file, too; a check cannot.
_BY_FILE = ("/v1/registrations", "/v1/handovers")


def post(gateway: Gateway, path: str, document: bytes) -> Any:
    """Return the JSON that the gateway answers to a POST; raise FleetmintError with its sentence when it refuses."""
    headers = {"Content-Type": "application/json"}
    request = Request(gateway.url(path), document, headers, method="POST")  # noqa: S310 - it is https
    try:
        with urlopen(request, timeout=SECONDS, context=gateway.tls()) as answer:  # noqa: S310
            return json.load(answer)
    except (OSError, ValueError, HTTPException) as error:
        hint = " Without a network, --to writes a file" if path in _BY_FILE else ""
        said = why(error, gateway, gateway.https_port)
        raise FleetmintError(f"{said}{hint if said.endswith('?') else ''}") from error
