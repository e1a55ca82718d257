"""Secure boot v2: who signed an image, and how the chip knows a key. Reads public keys only; nothing here can sign.

Source: "Secure Boot v2" of ESP-IDF, and espsecure's sign-data. Behind the image, at the next multiple of 4096 bytes,
lies a sector with up to three signature blocks of 1216 bytes, numbers little-endian:

    block   E7 | version u8 = 2 | 2 zeros | SHA-256 of all before the sector 32
            | modulus 384 | exponent u32 | R = 2^6144 mod modulus 384 | M' = -1/modulus mod 2^32 u32
            | signature 384: RSA-PSS with SHA-256 and a salt of 32 bytes, reversed | CRC-32 of all before | 16 zeros

A chip keeps in its eFuses the SHA-256 of modulus to M'. Version 3 is ECDSA, which some chips can; not here.
"""

import hashlib
import struct
import zlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from fleetmint import files
from fleetmint.errors import ImageError
from fleetmint.flash.table import SECTOR_SIZE

MOST_KEYS = 3
_BITS, _SIZE = 3072, 384
_MAGIC, _RSA, _ECDSA = 0xE7, 2, 3
_BLOCK, _SIGNED = 1216, 1196
_KEY = slice(36, 812)
_SIGNATURE = slice(812, 1196)
_SALT = 32


def read_public_key(path: Path) -> bytes:
    """Return what the eFuses hold of the RSA-3072 public key in the PEM file at `path`: 32 bytes.

    Raises ImageError for any other file, and for a private key: that has no business at a bench.
    """
    content = files.read_foreign(path, "public key of secure boot")
    if b"PRIVATE KEY" in content:
        raise ImageError(
            f"{path} is a private key, and none is needed here: keep it where images are signed, and take the public"
            f" part (openssl pkey -in {path.name} -pubout -out public.pem)"
        )
    try:
        key = serialization.load_pem_public_key(content)
    except ValueError as error:
        raise ImageError(f"{path} is no public key in PEM") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != _BITS:
        raise ImageError(f"{path} is no RSA key of {_BITS} bits, which is what secure boot of these chips takes here")
    return hashlib.sha256(_packed(key)).digest()


def signers(data: bytes, size: int) -> tuple[bytes, ...]:
    """Return the digest of each key that signed the image of `size` bytes at the start of `data`; see read_public_key.

    Raises ImageError, with the rest of a sentence, when there is no good signature.
    """
    end = -(-size // SECTOR_SIZE) * SECTOR_SIZE
    sector = data[end : end + SECTOR_SIZE]
    digest = hashlib.sha256(data[:end].ljust(end, b"\xff")).digest()
    found, ecdsa = [], False
    for number in range(MOST_KEYS):
        block = sector[number * _BLOCK : (number + 1) * _BLOCK]
        if len(block) < _BLOCK or block[0] != _MAGIC or zlib.crc32(block[:_SIGNED]) != _crc(block):
            continue
        ecdsa = ecdsa or block[1] == _ECDSA
        if block[1] == _RSA and block[4:36] != digest:
            raise ImageError("is signed, but not as it is: it was changed after that; sign it anew")
        if block[1] == _RSA and _is_signed(block, digest):
            found.append(hashlib.sha256(block[_KEY]).digest())
    if not found:
        how = " with RSA-3072 (it is with ECDSA)" if ecdsa else ""
        raise ImageError(f"is not signed for secure boot v2{how}: sign it with espsecure sign-data --version 2")
    return tuple(found)


def _is_signed(block: bytes, digest: bytes) -> bool:
    try:
        key = rsa.RSAPublicNumbers(*_numbers(block[_KEY])).public_key()
    except ValueError:
        return False
    if key.key_size != _BITS or _packed(key) != block[_KEY]:
        return False  # R or M' is not of this key, and the chip would compute nonsense
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), _SALT)
    try:
        key.verify(block[_SIGNATURE][::-1], digest, pss, utils.Prehashed(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _numbers(packed: bytes) -> tuple[int, int]:
    return int.from_bytes(packed[_SIZE : _SIZE + 4], "little"), int.from_bytes(packed[:_SIZE], "little")


def _packed(key: rsa.RSAPublicKey) -> bytes:
    numbers = key.public_numbers()
    inverse = -pow(numbers.n, -1, 1 << 32) % (1 << 32)
    remainder = (1 << 2 * _BITS) % numbers.n
    parts = (numbers.n.to_bytes(_SIZE, "little"), numbers.e, remainder.to_bytes(_SIZE, "little"), inverse)
    return struct.pack(f"<{_SIZE}sI{_SIZE}sI", *parts)


def _crc(block: bytes) -> int:
    return int.from_bytes(block[_SIGNED : _SIGNED + 4], "little")
