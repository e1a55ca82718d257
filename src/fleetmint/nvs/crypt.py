"""Encrypted NVS: the keys, where a device has them from, and the encryption of the entries.

Source: ESP-IDF, "NVS Encryption", components/nvs_flash/src/nvs_encrypted_partition.cpp and
components/nvs_sec_provider. The entries are XTS-AES-256, 32 bytes each, with the entry's offset in the partition as
the tweak (16 bytes, little-endian); the head of a page and its bitmap stay plain. The device has the two keys

- from a partition nvs_keys, which only flash encryption protects: XTS key 32 | tweak key 32 | CRC u32 | FF … to 4096;
- or makes them with its HMAC peripheral of a key in an eFuse block that no software can read:
  HMAC-SHA256(key, 5A5ABEAE x 8) and HMAC-SHA256(key, A5A5DECE x 8).
"""

import hmac
import secrets
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fleetmint.errors import NvsError
from fleetmint.nvs.layout import ENTRY_SIZE, FIRST_ENTRY_OFFSET, PAGE_SIZE, crc32

KEYS_PARTITION_SIZE = PAGE_SIZE
HMAC_KEY_SIZE = 32
_XTS_SIZE = 64
_CRC = struct.Struct("<I")
_BLOCK = 16
# x^128 + x^7 + x^2 + x + 1
_REDUCTION = 1 << 128 | 0x87
_ERASED = b"\xff" * ENTRY_SIZE
_SEED_OF_KEY = bytes.fromhex("5a5abeae") * 8
_SEED_OF_TWEAK = bytes.fromhex("a5a5dece") * 8


@dataclass(frozen=True)
class NvsKeys:
    """The XTS key and the tweak key, 32 bytes each, one behind the other. No message and no repr shows them."""

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.data) != _XTS_SIZE:
            raise NvsError(f"the keys of an encrypted NVS have {_XTS_SIZE} bytes, not {len(self.data)}")
        if self.data[:32] == self.data[32:]:
            raise NvsError("the two keys of an encrypted NVS are the same: they are not random")

    @classmethod
    def new(cls) -> "NvsKeys":
        """Return random keys, for a partition nvs_keys."""
        return cls(secrets.token_bytes(_XTS_SIZE))

    @classmethod
    def of_hmac_key(cls, key: bytes) -> "NvsKeys":
        """Return the keys that a device makes of the HMAC key in its eFuse, 32 bytes."""
        if len(key) != HMAC_KEY_SIZE:
            raise NvsError(f"an HMAC key of an eFuse block has {HMAC_KEY_SIZE} bytes, not {len(key)}")
        return cls(hmac.digest(key, _SEED_OF_KEY, "sha256") + hmac.digest(key, _SEED_OF_TWEAK, "sha256"))

    @classmethod
    def from_partition(cls, image: bytes) -> "NvsKeys":
        """Return the keys in the image of a partition nvs_keys; raise NvsError when there are none, or damaged ones."""
        end = _XTS_SIZE + _CRC.size
        if len(image) < end or image[end:].strip(b"\xff"):
            raise NvsError("this is no partition nvs_keys: it holds 64 bytes of keys, their CRC, and FF")
        keys, (crc,) = image[:_XTS_SIZE], _CRC.unpack_from(image, _XTS_SIZE)
        if crc != crc32(keys):
            raise NvsError("the keys in this partition nvs_keys are damaged: their CRC is wrong")
        return cls(keys)

    @classmethod
    def from_file(cls, content: bytes, what: str) -> "NvsKeys":
        """Return the keys in a file: a partition nvs_keys, the two keys alone, or the HMAC key that they are made of.

        Raises NvsError, which names `what`, for anything else.
        """
        if len(content) == HMAC_KEY_SIZE:
            return cls.of_hmac_key(content)
        try:
            if len(content) == _XTS_SIZE:
                return cls(content)
            if content and len(content) % PAGE_SIZE == 0:
                return cls.from_partition(content)
        except NvsError as error:
            raise NvsError(
                f"{what} holds no keys of an NVS: {error}; of a board with flash encryption they cannot be read back"
            ) from error
        raise NvsError(
            f"{what} has {len(content)} bytes, and is no keys of an NVS: those are a partition nvs_keys of"
            f" {PAGE_SIZE} bytes (or a multiple), the two keys of it alone ({_XTS_SIZE}), or the HMAC key of an eFuse"
            f" ({HMAC_KEY_SIZE})"
        )

    def to_partition(self, size: int = KEYS_PARTITION_SIZE) -> bytes:
        """Return the image of a partition nvs_keys of `size` bytes."""
        if size < KEYS_PARTITION_SIZE or size % PAGE_SIZE:
            raise NvsError(f"a partition nvs_keys has whole pages of {PAGE_SIZE} bytes; {size:#x} bytes are not")
        return (self.data + _CRC.pack(crc32(self.data))).ljust(size, b"\xff")


def encrypt_page(entries: bytes | bytearray, number: int, keys: NvsKeys) -> bytes:
    """Return the written `entries` of page `number` (0, 1, …) encrypted; the length stays."""
    return _Xts(keys).encrypt(entries, number * PAGE_SIZE + FIRST_ENTRY_OFFSET)


def decrypt(image: bytes, keys: NvsKeys) -> bytes:
    """Return the image of an encrypted NVS partition as a plain one. With other keys its entries are noise."""
    xts, parts = _Xts(keys), []
    for page in range(0, len(image), PAGE_SIZE):
        first = page + FIRST_ENTRY_OFFSET
        entries = image[first : page + PAGE_SIZE]
        plain = xts.decrypt(entries, first)
        parts.append(image[page:first])
        for start in range(0, len(entries), ENTRY_SIZE):
            entry = entries[start : start + ENTRY_SIZE]
            # what was never written is erased flash; a written entry looks like it once in 2^256 times
            parts.append(entry if entry == _ERASED else plain[start : start + ENTRY_SIZE])
    return b"".join(parts)


class _Xts:
    """XTS-AES-256 (IEEE 1619) of many data units of 32 bytes at once.

    The library has XTS too, but only for one unit a call, and setting up a call costs more than the unit. This is its
    definition: each block is AES-ECB between two XORs with the encrypted tweak, doubled in GF(2^128) from one block of
    a unit to the next.
    """

    def __init__(self, keys: NvsKeys) -> None:
        self._data = Cipher(algorithms.AES(keys.data[:32]), modes.ECB())  # noqa: S305 - the building block of XTS
        self._tweak = Cipher(algorithms.AES(keys.data[32:]), modes.ECB())  # noqa: S305

    def encrypt(self, units: bytes | bytearray, offset: int) -> bytes:
        """Return `units` encrypted; the tweaks are their offsets, of which the first is `offset`."""
        masks = self._masks(len(units), offset)
        return _xor(self._data.encryptor().update(_xor(units, masks)), masks)

    def decrypt(self, units: bytes, offset: int) -> bytes:
        """Return `units` decrypted."""
        masks = self._masks(len(units), offset)
        return _xor(self._data.decryptor().update(_xor(units, masks)), masks)

    def _masks(self, length: int, offset: int) -> bytes:
        tweaks = b"".join(at.to_bytes(_BLOCK, "little") for at in range(offset, offset + length, ENTRY_SIZE))
        secret = self._tweak.encryptor().update(tweaks)
        masks = []
        for start in range(0, len(secret), _BLOCK):
            first = secret[start : start + _BLOCK]
            doubled = int.from_bytes(first, "little") << 1
            if doubled >> 128:
                doubled ^= _REDUCTION
            masks += [first, doubled.to_bytes(_BLOCK, "little")]
        return b"".join(masks)


def _xor(one: bytes | bytearray, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(other), "little")
