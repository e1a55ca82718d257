"""Seals and opens secrets of this gateway for its service, as root: python -m fleetmint.gateway.ca_key.sealer.

systemd starts one for each connection to a socket that only the account of the service may open. It reads one JSON
object, {"name": NAME, "seal" or "open": BASE64}, and answers {"data": BASE64} or {"error": SENTENCE}. What it makes are
credentials of systemd (`man systemd-creds`) called fleetmint-NAME. They open on the machine that has sealed them: with
the host key in /var/lib/systemd/credential.secret, and with the TPM 2 as well where there is one that works.

Not `LoadCredentialEncrypted=` in the units: a key that a rollover brings would wait for a restart of the service, a
command that is typed has no unit, and a unit that cannot be started does not say why.
"""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

PREFIX = "fleetmint-"
_PROGRAM = "systemd-creds"
_TPM = Path("/dev/tpmrm0")
_LARGEST = 1 << 18
_SECONDS = 20
_NAME = re.compile("[a-z-]{1,32}")
# It says this of every machine whose disk is not encrypted, which is about the disk and not about this secret.
_REMARK = "not located on encrypted media"


class _RefusedError(Exception):
    pass


def answer(document: bytes) -> dict[str, str]:
    """Return the answer to one document."""
    try:
        name, verb, data = _read(document)
        done = _seal(name, data) if verb == "seal" else _run("decrypt", name, data)
    except _RefusedError as error:
        return {"error": str(error)}
    return {"data": base64.b64encode(done).decode()}


def _read(document: bytes) -> tuple[str, str, bytes]:
    try:
        asked: dict[str, str] = json.loads(document)
        name = asked.pop("name")
        ((verb, text),) = asked.items()
        data = base64.b64decode(text, validate=True)
        known = _NAME.fullmatch(name) and verb in ("seal", "open")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _RefusedError("this is no question to what seals") from None
    if not known:
        raise _RefusedError("this is no question to what seals")
    return name, verb, data


def _seal(name: str, data: bytes) -> bytes:
    if _TPM.exists():
        try:
            return _run("encrypt", name, data, "--with-key=host+tpm2")
        except _RefusedError as error:
            sys.stderr.write(f"the TPM of this machine is of no use, so the host key alone seals: {error}\n")
    return _run("encrypt", name, data, "--with-key=host")


def _run(verb: str, name: str, data: bytes, *options: str) -> bytes:
    command = [_PROGRAM, verb, f"--name={PREFIX}{name}", *options, "-", "-"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
    except FileNotFoundError:
        raise _RefusedError(f"there is no {_PROGRAM} on this machine") from None
    except subprocess.TimeoutExpired:
        raise _RefusedError(f"{_PROGRAM} takes longer than {_SECONDS} s") from None
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if line and _REMARK not in line]
    if done.returncode:
        raise _RefusedError(f"{_PROGRAM} says: {' '.join(said) or done.returncode}")
    return done.stdout


def main() -> None:
    """Answer what comes on standard input."""
    document = sys.stdin.buffer.read(_LARGEST)
    sys.stdout.write(json.dumps(answer(document)))


if __name__ == "__main__":
    main()
