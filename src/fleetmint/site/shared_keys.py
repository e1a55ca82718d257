"""Telling each gateway of a site the public keys of the others, so that no key is certified for two devices."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fleetmint.site.client import Gateway, open_gateway
from fleetmint.site.state import Site

_PAGE = 1000
# Of some 180 bytes each, in what a listener takes at once.
_AT_ONCE = 300


@dataclass(frozen=True)
class Shared:
    """What one gateway was told: how many keys were news, and a sentence for each that another device has there."""

    gateway: str
    added: int
    conflicts: tuple[str, ...]


def share(site: Site, operator: str | None) -> list[Shared]:
    """Ask every gateway for its keys, and tell them to the others; raise FleetmintError when one cannot be reached."""
    reached = {name: open_gateway(site, operator, name) for name in site.gateways}
    keys = {name: list(_keys_of(gateway)) for name, gateway in reached.items()} if len(reached) > 1 else {}
    return [_tell(gateway, {of: keys[of] for of in keys if of != name}) for name, gateway in reached.items()]


def _keys_of(gateway: Gateway) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        behind = f"&cursor={cursor}" if cursor else ""
        page = gateway.get(f"/v1/certificates?limit={_PAGE}{behind}")
        for row in page["certificates"]:
            # what was taken from its device with a change of owner is certified for nobody any more
            retired = row["revoke_reason"] == "affiliation_changed"
            yield {"spki_sha256": row["spki_sha256"], "device": row["device"], "retired": retired}
        cursor = page["next"]


def _tell(gateway: Gateway, others: dict[str, list[dict[str, Any]]]) -> Shared:
    added, conflicts = 0, []
    for of, keys in others.items():
        for part in _parts(keys):
            done = gateway.post("/v1/public-keys", json.dumps({"of": of, "keys": part}).encode())
            added += done["added"]
            conflicts += [
                f"{each['here']} at {gateway.name} and {each['there']} at {of} have one key"
                f" ({each['spki_sha256'][:16]}): one is a copy of the other; revoke the one that is not to be"
                for each in done["conflicts"]
            ]
    return Shared(gateway.name, added, tuple(conflicts))


def _parts(keys: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    distinct = list({(key["spki_sha256"], key["retired"]): key for key in keys}.values())
    for start in range(0, len(distinct), _AT_ONCE):
        yield distinct[start : start + _AT_ONCE]
