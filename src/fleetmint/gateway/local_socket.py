"""Asking a unit of this gateway that systemd starts for each connection: one document there, one answer back."""

import json
import socket
from pathlib import Path
from typing import Any

from fleetmint.errors import FleetmintError


class NoAnswerError(FleetmintError):
    """Nobody answers at a socket, or too late."""


def ask(path: Path, document: bytes, seconds: float) -> Any:
    """Return the JSON that is answered to `document`; raise NoAnswerError when none comes within so many seconds."""
    received = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(document)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        return json.loads(received)
    except TimeoutError as error:
        raise NoAnswerError(f"it takes longer than {seconds:g} s") from error
    except (OSError, ValueError) as error:
        raise NoAnswerError(str(error)) from error
