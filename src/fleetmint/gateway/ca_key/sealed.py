"""Asking root to seal and to open: the service may do neither by itself."""

import base64
import binascii
import json
from pathlib import Path

from fleetmint import commands
from fleetmint.errors import StateError
from fleetmint.gateway import local_socket
from fleetmint.gateway.local_socket import NoAnswerError

# A TPM takes its time, and systemd-creds is given 20 s.
_SECONDS = 24.0
# How systemd says in the first 16 bytes of a credential that its host key alone has sealed it (creds-util.h).
_BY_HOST = bytes.fromhex("5a1c6a86df9d4096b1d5a65e0862f19a")


def seal(socket: Path, name: str, data: bytes) -> bytes:
    """Return `data` as an encrypted credential of this machine, text; raise StateError when nobody seals it."""
    sealed = _ask(socket, name, "seal", data)
    # before what is sealed here is missing in clear somewhere else
    if open_sealed(socket, name, sealed, "what has just been sealed") != data:
        raise StateError(
            "systemd-creds did not give back what it has sealed: look for a fault of this machine's memory"
        )
    return sealed


def open_sealed(socket: Path, name: str, data: bytes, what: str) -> bytes:
    """Return what is in the credential `data`; raise StateError naming it `what` when it does not open here."""
    try:
        return _ask(socket, name, "open", data)
    except _NotOpenedError as error:
        raise StateError(
            f"{what} does not open ({error}). Another machine has sealed it, or the host key"
            " /var/lib/systemd/credential.secret or the TPM is another one now:"
            f" {commands.playbook('gateway.yml')} on the controller brings the key again and seals it here"
        ) from error


def sealed_with(data: bytes) -> str:
    """Return what opens a credential, as far as it says so itself."""
    try:
        kind = base64.b64decode(data)[: len(_BY_HOST)]
    except binascii.Error:
        kind = b""
    if len(kind) < len(_BY_HOST):
        return "damaged"
    return "host key" if kind == _BY_HOST else "TPM 2 and host key"


class _NotOpenedError(StateError):
    """What seals has an answer, and it is no."""


def _ask(socket: Path, name: str, verb: str, data: bytes) -> bytes:
    document = json.dumps({"name": name, verb: base64.b64encode(data).decode()}).encode()
    try:
        answer = local_socket.ask(socket, document, _SECONDS)
        if "error" not in answer:
            return base64.b64decode(answer["data"])
        problem = str(answer["error"])
    except (NoAnswerError, KeyError, TypeError, binascii.Error) as error:
        raise StateError(
            f"{socket} does not {verb} the key of the device CA ({error}): `systemctl status fleetmint-key.socket` and"
            " `journalctl -u 'fleetmint-key@*'` on the gateway say why"
        ) from error
    if verb == "open":
        raise _NotOpenedError(problem)
    raise StateError(
        f"the key of the device CA cannot be sealed: {problem}; mend that, or set signing_service_ca_key to plain:"
        " docs/issuing-key.md"
    )
