"""Telling a gateway something at its operators' door, as the station."""

from __future__ import annotations

import json
from typing import Any

from fleetmint import commands
from fleetmint.cli.lazily import for_work
from fleetmint.cli.site import SECONDS, Gateway
from fleetmint.errors import FleetmintError

with for_work():
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

# What the door takes at once, with room for what a client adds.
LARGEST = 60_000


def post(gateway: Gateway, path: str, document: bytes) -> Any:
    """Return the JSON that the gateway answers to a POST; raise FleetmintError with its sentence when it refuses."""
    url = f"https://{gateway.host}:{gateway.https_port}{path}"
    headers = {"Content-Type": "application/json"}
    request = Request(url, document, headers, method="POST")
    try:
        with urlopen(request, timeout=SECONDS, context=gateway.tls()) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        raise FleetmintError(f"{gateway.name} answered {error.code} to {gateway.operator}: {_reason(error)}") from error
    except (OSError, ValueError) as error:
        raise FleetmintError(
            f"{url} does not answer as it should ({error}): is the gateway up? Without a network, --to writes a file"
        ) from error


def _reason(error: HTTPError) -> str:
    try:
        return commands.typed_here(str(json.load(error)["message"]))
    except (ValueError, KeyError, TypeError, OSError):
        return "is that certificate revoked, or that gateway of an older version?"
