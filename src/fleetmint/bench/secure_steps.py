"""What `fleetmint secure` does to a board, step by step, and which of it a board has already. Pure: knows no board.

The order is such that a cut leaves a board that can be finished at every step:

    images            encrypted and signed: they can be written anew, and nothing of them starts, until the rest is on
    keys              burned readable, and compared bit by bit
    protect           no software reads the secret keys any more, and the digests stay readable for ever (RD_DIS is
                      locked). Before secure boot: firmware that switches that on locks RD_DIS, whatever is readable
    secure-boot       the digests have been compared, and the images are signed by their keys
    flash-encryption  what the chip decrypts from now on was compared as it lies there. Only now a firmware starts, and
                      finds both switched on
    debug             JTAG, and the doors of the download mode
    download          the secure download mode: nothing can be read or burned after it, so it is the last

A firmware that starts between the last of them may burn the same bits by itself: a bit that is there is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError
from fleetmint.flash.efuse import FLASH_PURPOSE, HMAC_PURPOSE, KEY_BLOCKS, Efuses, KeyBlock, KeyBurn, Order
from fleetmint.flash.signature import MOST_KEYS

IMAGES, KEYS, PROTECT, BOOT, FLASH, DEBUG, DOWNLOAD = (
    "images", "keys", "protect", "secure-boot", "flash-encryption", "debug", "download"
)  # fmt: skip
DIGEST_PURPOSE = "SECURE_BOOT_DIGEST"
# All three bits: an odd number, which no further bit can make even.
_CRYPT_COUNT = {"SPI_BOOT_CRYPT_CNT": 7}
_REVOKED = "SECURE_BOOT_KEY_REVOKE"
_DEBUG = ("DIS_DOWNLOAD_MANUAL_ENCRYPT", "DIS_DOWNLOAD_ICACHE", "DIS_DOWNLOAD_DCACHE", "DIS_DIRECT_BOOT",
          "DIS_PAD_JTAG", "DIS_USB_JTAG")  # fmt: skip
# It stays zero for ever: burned by mistake it would stop the chip. The bit that protects it also protects the others.
_CACHE = "DIS_ICACHE"
_TEXTS = {
    FLASH: "switch flash encryption on (SPI_BOOT_CRYPT_CNT = 7): the chip never starts a plain image again",
    PROTECT: "close the secret keys to all software, and lock which blocks are closed (RD_DIS)",
    DEBUG: "switch JTAG off, and the download mode's way around the encryption",
    DOWNLOAD: "allow no more than the secure download mode: nothing can be read or burned over the port any more",
}


@dataclass(frozen=True)
class Keys:
    """What one board gets burned. `hmac` is None where the NVS has its keys in a partition."""

    flash: bytes = field(repr=False)
    digests: tuple[bytes, ...]
    hmac: bytes | None = field(default=None, repr=False)
    hmac_block: int = 0

    def burns(self) -> tuple[KeyBurn, ...]:
        """Return which key goes into which block: that of the HMAC where the firmware looks, the others behind."""
        free = [number for number in KEY_BLOCKS if self.hmac is None or number != self.hmac_block]
        secret = [KeyBurn(free[0], FLASH_PURPOSE, self.flash)]
        if self.hmac is not None:
            secret.insert(0, KeyBurn(self.hmac_block, HMAC_PURPOSE, self.hmac))
        public = [
            KeyBurn(block, f"{DIGEST_PURPOSE}{number}", digest)
            for number, (block, digest) in enumerate(zip(free[1:], self.digests, strict=False))
        ]
        return (*secret, *public)


@dataclass(frozen=True)
class Step:
    """One step: what it is called in the ledger, what it does in words, and what is burned (nothing for the images)."""

    name: str
    text: str
    order: Order = field(default_factory=Order)


def steps(keys: Keys, efuses: Efuses, firmware: str) -> tuple[Step, ...]:
    """Return all steps in their order for a board with these eFuses; `firmware` is what its file is called."""
    burns = keys.burns()
    digests = [each.block for each in burns if _is_public(each)]
    secret = [each.block for each in burns if not _is_public(each)]
    unused = range(len(keys.digests), MOST_KEYS)
    text = ", ".join(f"block {each.block}: {each.purpose}" for each in burns)
    # one that is sealed is its own (refuse_used), and `fleetmint efuse` has put it there
    open_ = tuple(each for each in burns if not _is_sealed(efuses.blocks[each.block], each))
    named = {name: 1 for name in _DEBUG if name in efuses.fields}
    return (
        Step(IMAGES, f"write {firmware} and the identity, signed and encrypted"),
        Step(KEYS, f"burn the keys and compare them ({text})", Order(open_)),
        Step(PROTECT, _TEXTS[PROTECT], Order(seal=tuple(secret), guard=tuple(digests), lock=("RD_DIS",))),
        Step(
            BOOT,
            f"switch secure boot on (SECURE_BOOT_EN): the chip starts what {len(digests)} key(s) signed, and nothing"
            " else, for ever; further keys are ruled out",
            Order(fields={"SECURE_BOOT_EN": 1, **{f"{_REVOKED}{number}": 1 for number in unused}}),
        ),
        Step(FLASH, _TEXTS[FLASH], Order(fields=_CRYPT_COUNT)),
        Step(DEBUG, _TEXTS[DEBUG], Order(fields=named, lock=(_CACHE,))),
        Step(DOWNLOAD, _TEXTS[DOWNLOAD], Order(fields={"ENABLE_SECURITY_DOWNLOAD": 1})),
    )


def is_burned(step: Step, efuses: Efuses) -> bool:
    """Whether a board with these eFuses has all that the step burns."""
    order, blocks = step.order, efuses.blocks
    return (
        all(_holds(blocks[each.block], each) for each in order.keys)
        and all(efuses.fields[name].value == value for name, value in order.fields.items())
        and all(blocks[number].sealed for number in order.seal)
        and all(blocks[number].fixed for number in (*order.seal, *order.guard))
        and all(not blocks[number].writable for number in order.guard)
        and all(not efuses.fields[name].writable for name in order.lock)
    )


def refuse_used(port: str, keys: Keys, efuses: Efuses, *, begun: bool, hmac_begun: bool) -> None:
    """Raise BurnError for a board that somebody else has secured, or whose key blocks hold other keys.

    `begun` says that the ledger knows that this board was begun with these keys: then what is sealed is its own. So it
    is with `hmac_begun` for the HMAC key, which `fleetmint efuse` may have burned.
    """
    on = [name for name in ("SPI_BOOT_CRYPT_CNT", "SECURE_BOOT_EN") if efuses.fields[name].value]
    if on and not begun:
        raise _refusal(port, efuses, f"has {' and '.join(on)} burned already, and not by this ledger")
    for each in keys.burns():
        block = efuses.blocks[each.block]
        known = begun or (hmac_begun and each.purpose == HMAC_PURPOSE)
        if block.empty or _holds(block, each, purpose=False) or (known and _is_sealed(block, each)):
            continue
        if block.purpose == each.purpose and block.readable and block.writable and not any(block.data):
            continue  # cut off between the purpose and the key
        free = ", ".join(str(other.number) for other in efuses.blocks if other.empty) or "none"
        raise _refusal(port, efuses, f"has its key block {each.block} in use ({block.purpose}); free are: {free}")
    blocks = [efuses.blocks[each.block] for each in keys.burns() if not _is_public(each)]
    if not efuses.fields["RD_DIS"].writable and not all(block.sealed for block in blocks):
        raise _refusal(port, efuses, "lets no block be closed to software any more (RD_DIS is locked)")
    taken = {each.block for each in keys.burns()}
    foreign = [
        block for block in efuses.blocks if block.purpose.startswith(DIGEST_PURPOSE) and block.number not in taken
    ]
    if foreign:
        raise _refusal(port, efuses, f"has a key of secure boot in block {foreign[0].number} that is none of yours")


def risks(keys: Keys) -> Sequence[str]:
    """Return what a person has to know before: what cannot be undone, and what makes the board useless."""
    number = len(keys.digests)
    only = "that key is" if number == 1 else f"all {number} keys are"
    return (
        "all of it is for ever: the chip cannot be given another purpose, key or bootloader that is not signed",
        f"if the private part of {only} lost, no board ever takes new firmware again; keep it twice, in two places",
        "firmware that was not built for flash encryption, secure boot v2 and this NVS encryption never starts on it",
        "after the last step nobody can read or repair its flash over the port: updates come over the network alone",
        "do not take the board out meanwhile; if the power goes, the same command goes on where it was",
    )


def _holds(block: KeyBlock, burn: KeyBurn, *, purpose: bool = True) -> bool:
    return block.readable and block.data == burn.stored and (not purpose or block.purpose == burn.purpose)


def _is_sealed(block: KeyBlock, burn: KeyBurn) -> bool:
    return block.sealed and block.purpose == burn.purpose


def _is_public(burn: KeyBurn) -> bool:
    return burn.purpose.startswith(DIGEST_PURPOSE)


def _refusal(port: str, efuses: Efuses, reason: str) -> BurnError:
    return BurnError(
        f"{port}: the board ({efuses.mac}) {reason}: nothing was burned; take another board",
        BurnCode.SECURED,
        efuses.mac,
    )
