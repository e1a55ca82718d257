"""What is due on this gateway, kept retained in the broker for operators; nothing is there while nothing is due.

The look that is taken every day writes the file (gateway/alerts.py), and the watch, which the broker lets in, brings it
to the broker: when it has changed, and to each broker anew.
"""

import json
from pathlib import Path
from typing import Protocol

from fleetmint import files
from fleetmint.errors import StateError

TOPIC = "fleet/alarms"


class Retaining(Protocol):
    """What an announcement needs of a session."""

    def retain(self, topic: str, payload: bytes) -> None:
        """Have a message kept at `topic`, in place of the one that is there; without payload none is."""


class Announcement:
    """The file, as the broker of one session has been told of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: bytes | None = None

    def refresh(self, connection: Retaining) -> None:
        """Tell the broker what the file says, unless it has been told."""
        payload = self._payload()
        if payload is not None and payload != self._told:
            connection.retain(TOPIC, payload)
            self._told = payload

    def _payload(self) -> bytes | None:
        """Return what is to be kept; None when that is not known, and what the broker has kept stays."""
        try:
            data = files.read(self._path, "what is due")
            return data.strip() if json.loads(data)["due"] else b""
        except (StateError, ValueError, KeyError, TypeError):
            return None
