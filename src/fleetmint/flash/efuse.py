"""The eFuse key blocks of a board: what is in them, and the HMAC key of an encrypted NVS into one of them.

eFuses are burned once and for ever. The work is done by a process of its own (efuse_worker.py), like a burn of the
flash; the key reaches it over a pipe.

The port `virtual:CHIP:FILE` stands for the eFuses of a chip in a file, by espefuse's own emulation: for virtual sites.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError

HMAC_PURPOSE = "HMAC_UP"
UNUSED_PURPOSE = "USER"
KEY_BLOCKS = range(6)
# The others have no HMAC peripheral, or are none of ours.
CHIPS_WITH_HMAC = ("esp32s3", "esp32c3", "esp32c6")
VIRTUAL = "virtual:"
_WORKER = (sys.executable, "-P", "-m", "fleetmint.flash.efuse_worker")


@dataclass(frozen=True)
class KeyBlock:
    """One of the six: `data` are its 32 bytes as software reads them, zeros for an empty or a read-protected one."""

    number: int
    purpose: str
    readable: bool
    writable: bool
    data: bytes = field(repr=False)

    @property
    def empty(self) -> bool:
        """Whether a key can be burned into it."""
        return self.readable and self.writable and self.purpose == UNUSED_PURPOSE and not any(self.data)

    @property
    def sealed(self) -> bool:
        """Whether no software can read it or change it any more."""
        return not self.readable and not self.writable


@dataclass(frozen=True)
class Efuses:
    """A board that answered: `mac` as aa:bb:cc:dd:ee:ff, its chip, and its key blocks in their order."""

    mac: str
    chip: str
    blocks: tuple[KeyBlock, ...]


def read_efuses(port: str) -> Efuses:
    """Return the key blocks of the board at `port`; it boots afterwards. Raises BurnError."""
    return _efuses(_run({"do": "read", **_place(port)}, port))


def burn_hmac_key(port: str, mac: str, block: int, key: bytes) -> Efuses:
    """Burn `key` (32 bytes) into key block `block` of the board with this MAC, compare it, and seal the block.

    Sealed means that only the HMAC peripheral can use it. A block that holds the key already is only sealed. Raises
    BurnError when the board is another one or the block is in use; then nothing was burned.
    """
    return _efuses(_run({"do": "burn", "mac": mac, "block": block, "key": key.hex(), **_place(port)}, port))


def _place(port: str) -> dict[str, Any]:
    if not port.startswith(VIRTUAL):
        return {"port": port}
    chip, _, file = port.removeprefix(VIRTUAL).partition(":")
    if chip not in ("esp32", *CHIPS_WITH_HMAC) or not file:
        raise BurnError(f"{port} is no virtual board: it has to be {VIRTUAL}CHIP:FILE, with a chip of this list:"
                        f" esp32, {', '.join(CHIPS_WITH_HMAC)}", BurnCode.PORT_MISSING)  # fmt: skip
    return {"virtual": {"chip": chip, "file": file}}


def _run(request: Mapping[str, Any], port: str) -> dict[str, Any]:
    if importlib.util.find_spec("esptool") is None:
        raise BurnError("esptool is missing: pip install 'fleetmint[station]'", BurnCode.NO_ESPTOOL)
    # A session of its own: Ctrl-C in the terminal must not stop it while it burns.
    done = subprocess.run(  # noqa: S603 - this interpreter and a module of this package
        _WORKER,
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        start_new_session=True,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise BurnError(
            f"{port}: the process that burns eFuses ended without a result (exit code {done.returncode}): run the same"
            " command again, which looks what is in them",
            BurnCode.LOST,
        ) from error
    if "code" in answer:
        raise BurnError(f"{port}: {answer['message']}", BurnCode(answer["code"]))
    return answer


def _efuses(answer: Mapping[str, Any]) -> Efuses:
    blocks = tuple(KeyBlock(**{**block, "data": bytes.fromhex(block["data"])}) for block in answer["blocks"])
    return Efuses(answer["mac"], answer["chip"], blocks)
