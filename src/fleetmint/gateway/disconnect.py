"""Ending a live MQTT session: whoever connects with its client id takes it over, and then leaves.

Mosquitto keeps serving a session whose certificate was revoked after it began. On a Unix socket that only root can
open, a CONNECT with the device's client id makes the broker drop that session and no other. MQTT 3.1.1, section 3.1.
"""

import socket
from pathlib import Path

from fleetmint.errors import PublishError

_TIMEOUT_SECONDS = 5.0
_CLEAN_SESSION = 0x02
_KEEP_ALIVE_SECONDS = 10
_CONNACK, _ACCEPTED_LENGTH = 0x20, 4
_DISCONNECT = bytes([0xE0, 0x00])


def end_session(path: Path, client_id: str, *, keep: bool = False) -> None:
    """End the session of `client_id` at the broker listening on the Unix socket `path`.

    What is queued for the device is thrown away with it, unless it is to `keep` that. It is no error when there is no
    such session.
    Raises PublishError when the broker cannot be reached or refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(str(path))
            connection.sendall(connect_packet(client_id, clean=not keep))
            answer = _receive(connection, _ACCEPTED_LENGTH)
            if len(answer) != _ACCEPTED_LENGTH or answer[0] != _CONNACK or answer[3] != 0:
                raise PublishError(
                    f"the broker did not take over the session of {client_id} ({answer.hex() or 'it hung up'}): look at"
                    " the broker's log"
                )
            connection.sendall(_DISCONNECT)
    except OSError as error:
        raise PublishError(
            f"the session of {client_id} could not be ended through {path} ({error.strerror or error}): see that"
            " mosquitto runs and has this listener"
        ) from error


def connect_packet(client_id: str, *, clean: bool = True) -> bytes:
    """Return the CONNECT packet: MQTT 3.1.1, a clean session or the one that is there, no user, no will."""
    name = client_id.encode("ascii")
    body = (
        b"\x00\x04MQTT\x04"
        + bytes([_CLEAN_SESSION if clean else 0])
        + _KEEP_ALIVE_SECONDS.to_bytes(2, "big")
        + len(name).to_bytes(2, "big")
        + name
    )
    # A device id has at most 63 characters, so the length fits the one byte that 0 to 127 take.
    return bytes([0x10, len(body)]) + body


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        if not chunk:
            break
        received += chunk
    return received
