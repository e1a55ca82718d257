"""Telling a gateway something at its operators' door, as the station."""

import json
import urllib.error
import urllib.request
from typing import Any

from fleetmint.cli.site import SECONDS, Gateway
from fleetmint.errors import FleetmintError

# What the door takes at once, with room for what a client adds.
LARGEST = 60_000


def post(gateway: Gateway, path: str, document: bytes) -> Any:
    """Return the JSON that the gateway answers to a POST; raise FleetmintError with its sentence when it refuses."""
    url = f"https://{gateway.host}:{gateway.https_port}{path}"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, document, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS, context=gateway.tls()) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise FleetmintError(f"{gateway.name} answered {error.code} to {gateway.operator}: {_reason(error)}") from error
    except (OSError, ValueError) as error:
        raise FleetmintError(
            f"{url} does not answer as it should ({error}): is the gateway up? Without a network, --to writes a file"
        ) from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return "is that certificate revoked, or that gateway of an older version?"
