"""The eFuses of a board: what is in the key blocks and in the switches of its security, and burning them.

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
FLASH_PURPOSE = "XTS_AES_128_KEY"
UNUSED_PURPOSE = "USER"
KEY_BLOCKS = range(6)
# Which fields a board tells, as espefuse calls them: the first protects key blocks against reading, the others switch.
FIELDS = (
    "RD_DIS",
    "SPI_BOOT_CRYPT_CNT",
    "SECURE_BOOT_EN",
    "SECURE_BOOT_KEY_REVOKE0",
    "SECURE_BOOT_KEY_REVOKE1",
    "SECURE_BOOT_KEY_REVOKE2",
    "DIS_DOWNLOAD_MANUAL_ENCRYPT",
    "DIS_DOWNLOAD_ICACHE",
    "DIS_DOWNLOAD_DCACHE",
    "DIS_ICACHE",
    "DIS_PAD_JTAG",
    "DIS_USB_JTAG",
    "DIS_DIRECT_BOOT",
    "ENABLE_SECURITY_DOWNLOAD",
)
# The others have no HMAC peripheral, or are none of ours.
CHIPS_WITH_HMAC = ("esp32s3", "esp32c3", "esp32c6")
VIRTUAL = "virtual:"
_WORKER = (sys.executable, "-P", "-m", "fleetmint.flash.efuse_worker")


@dataclass(frozen=True)
class KeyBlock:
    """One of the six: `data` are its 32 bytes as software reads them, zeros for an empty or a read-protected one.

    `fixed` says that its purpose cannot be changed any more.
    """

    number: int
    purpose: str
    readable: bool
    writable: bool
    data: bytes = field(repr=False)
    fixed: bool = False

    @property
    def empty(self) -> bool:
        """Whether a key can be burned into it."""
        return self.readable and self.writable and self.purpose == UNUSED_PURPOSE and not any(self.data)

    @property
    def sealed(self) -> bool:
        """Whether no software can read it or change it any more."""
        return not self.readable and not self.writable


@dataclass(frozen=True)
class Field:
    """One of FIELDS: its value as a number, and whether it can still be burned."""

    value: int
    writable: bool


@dataclass(frozen=True)
class Efuses:
    """A board that answered: `mac` as aa:bb:cc:dd:ee:ff, its chip, its key blocks in their order, and its FIELDS."""

    mac: str
    chip: str
    blocks: tuple[KeyBlock, ...]
    fields: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyBurn:
    """A key (32 bytes) for a block; it is compared after that, and stays readable."""

    block: int
    purpose: str
    key: bytes = field(repr=False)

    @property
    def stored(self) -> bytes:
        """The bytes as the block has them: those of a flash encryption key lie reversed."""
        return self.key[::-1] if self.purpose == FLASH_PURPOSE else self.key


@dataclass(frozen=True)
class Order:
    """What to burn, in this order: keys, fields with their values, protections of blocks, and at last locks.

    `seal` are blocks that no software may read or change any more, `guard` blocks that it may only read, and `lock`
    fields that stay as they are. What locks another bit is never burned together with it: a chip programs word after
    word, and a cut in between could leave the lock alone.
    """

    keys: tuple[KeyBurn, ...] = ()
    fields: Mapping[str, int] = field(default_factory=dict)
    seal: tuple[int, ...] = ()
    guard: tuple[int, ...] = ()
    lock: tuple[str, ...] = ()


def read_efuses(port: str, *, boot: bool = True) -> Efuses:
    """Return the eFuses of the board at `port`; it boots afterwards unless it is not to. Raises BurnError.

    The code of the error is SECURED for a board in secure download mode, which tells nothing any more.
    """
    return _efuses(_run({"do": "read", "boot": boot, **_place(port)}, port))


def burn_efuses(port: str, mac: str, order: Order, *, boot: bool = True) -> None:
    """Burn what `order` says into the board with this MAC; what it has already is not burned again.

    Raises BurnError when the board is another one, or a block is in use; then nothing was burned.
    """
    wanted = {
        "keys": [[each.block, each.purpose, each.stored.hex()] for each in order.keys],
        **{"fields": dict(order.fields), "seal": order.seal, "guard": order.guard, "lock": order.lock},
    }
    _run({"do": "burn", "mac": mac, "boot": boot, **wanted, **_place(port)}, port)


def burn_hmac_key(port: str, mac: str, block: int, key: bytes) -> None:
    """Burn `key` (32 bytes) into key block `block` of the board with this MAC, compare it, and seal the block.

    Sealed means that only the HMAC peripheral can use it. A block that holds the key already is only sealed. Raises
    BurnError when the board is another one or the block is in use; then nothing was burned.
    """
    burn_efuses(port, mac, Order((KeyBurn(block, HMAC_PURPOSE, key),), seal=(block,)))


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
    fields = {name: Field(*found) for name, found in answer["fields"].items()}
    return Efuses(answer["mac"], answer["chip"], blocks, fields)
