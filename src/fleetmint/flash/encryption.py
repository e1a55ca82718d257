"""What a chip with flash encryption reads through its cache: XTS-AES-128, made before it is written.

Source: espsecure's encrypt-flash-data, and "Flash Encryption" of ESP-IDF for the chips after the classic ESP32. A data
unit has 128 bytes of the flash and their offset as its tweak (16 bytes, little-endian); the peripheral takes the bytes
of a unit from the last to the first. The key has 32 bytes, which lie reversed in their eFuse block.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_SIZE = 32
_UNIT = 0x80
_TWEAK = 16


def encrypt(data: bytes, offset: int, key: bytes) -> bytes:
    """Return what has to be at `offset` of the flash for the chip to read `data`; both are whole data units."""
    if offset % _UNIT or len(data) % _UNIT:
        raise ValueError("flash encryption takes whole data units of 128 bytes")
    cipher, parts = algorithms.AES(key), []
    for start in range(0, len(data), _UNIT):
        tweak = (offset + start).to_bytes(_TWEAK, "little")
        encryptor = Cipher(cipher, modes.XTS(tweak)).encryptor()
        parts.append(encryptor.update(data[start : start + _UNIT][::-1])[::-1])
    return b"".join(parts)
