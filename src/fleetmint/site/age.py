"""Files that a passphrase opens, in the age format, version 1 (https://age-encryption.org/v1).

    header     age-encryption.org/v1, one stanza of scrypt with the wrapped file key, an HMAC over it
    payload    a nonce, then chunks of 64 KiB with ChaCha20-Poly1305, numbered, the last one marked

So the tools `age` and `rage` open them without Fleetmint, and a file that is cut or changed anywhere is refused. It is
written and read in a stream. Only the recipient "scrypt" is known here.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fleetmint.errors import SecretError, StateError

# What `age` takes; scrypt uses 256 MiB with it, and four times as much with the most that is taken here.
WORK_FACTOR = 18
_MOST_WORK = 20
_MAGIC = b"age-encryption.org/v1\n"
_LABEL = b"age-encryption.org/v1/scrypt"
_CHUNK, _TAG = 64 << 10, 16
_FILE_KEY, _SALT, _NONCE = 16, 16, 16
_LARGEST_HEADER = 4096
_STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n--- ([A-Za-z0-9+/]{43})\n")


def encrypt(passphrase: str, parts: Iterable[bytes], *, work_factor: int = WORK_FACTOR) -> Iterator[bytes]:
    """Yield the file that `passphrase` opens to what `parts` are, one after the other."""
    file_key, salt, nonce = os.urandom(_FILE_KEY), os.urandom(_SALT), os.urandom(_NONCE)
    wrapped = ChaCha20Poly1305(_wrap_key(passphrase, salt, work_factor)).encrypt(bytes(12), file_key, None)
    head = _MAGIC + b"-> scrypt " + _encoded(salt) + f" {work_factor}\n".encode() + _encoded(wrapped) + b"\n---"
    mac = _header_mac(file_key, head)
    yield head + b" " + _encoded(mac.finalize()) + b"\n" + nonce
    cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    waiting, number = bytearray(), 0
    for part in parts:
        waiting += part
        while len(waiting) > _CHUNK:  # a full chunk may be the last one
            yield cipher.encrypt(_counter(number, last=False), bytes(waiting[:_CHUNK]), None)
            del waiting[:_CHUNK]
            number += 1
    yield cipher.encrypt(_counter(number, last=True), bytes(waiting), None)


def decrypt(passphrase: str, file: BinaryIO, what: str) -> Iterator[bytes]:
    """Yield what is in `file`, each part of it only once it is known to be genuine; `what` names it in errors.

    Raises SecretError when the passphrase is another one, and StateError when this is no such file, or a changed or cut
    one: then what was yielded is not to be used.
    """
    header = _header(file, what)
    found = _STANZA.fullmatch(header, len(_MAGIC))
    if found is None:
        raise StateError(f"{what} is not encrypted with a passphrase, or its beginning is damaged: bring another copy")
    salt, work, body, mac = found.groups()
    if int(work) > _MOST_WORK:
        raise StateError(f"{what} wants a work factor of {int(work)}, and {_MOST_WORK} is the most that is taken here")
    damaged = StateError(f"{what} is damaged or cut short: bring another copy; nothing was taken from it")
    try:
        wrapped, salt, mac = (_decoded(each) for each in (body, salt, mac))
        file_key = ChaCha20Poly1305(_wrap_key(passphrase, salt, int(work))).decrypt(bytes(12), wrapped, None)
    except InvalidTag as error:
        raise SecretError(f"the passphrase does not open {what}: it is that of another backup, or mistyped") from error
    except binascii.Error as error:
        raise damaged from error
    try:
        _header_mac(file_key, header[: header.rindex(b"---") + 3]).verify(mac)
        nonce = file.read(_NONCE)
        if len(nonce) != _NONCE:
            raise damaged
        cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        number, chunk = 0, file.read(_CHUNK + _TAG)
        while True:
            following = file.read(_CHUNK + _TAG)
            if len(chunk) < _TAG or (len(chunk) == _TAG and number):
                raise damaged
            yield cipher.decrypt(_counter(number, last=not following), chunk, None)
            if not following:
                return
            number, chunk = number + 1, following
    except (InvalidTag, InvalidSignature) as error:
        raise damaged from error


def _header(file: BinaryIO, what: str) -> bytes:
    """Return everything before the nonce."""
    header = file.read(len(_MAGIC))
    if header != _MAGIC:
        raise StateError(f"{what} is no file that age, or Fleetmint, has encrypted: name another one")
    while not (line := file.readline(_LARGEST_HEADER)).startswith(b"---"):
        header += line
        if not line or len(header) > _LARGEST_HEADER:
            raise StateError(f"{what} is damaged or cut short: bring another copy; nothing was taken from it")
    return header + line


def _wrap_key(passphrase: str, salt: bytes, work_factor: int) -> bytes:
    return Scrypt(salt=_LABEL + salt, length=32, n=1 << work_factor, r=8, p=1).derive(passphrase.encode())


def _derived(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(file_key)


def _header_mac(file_key: bytes, head: bytes) -> hmac.HMAC:
    mac = hmac.HMAC(_derived(file_key, b"", b"header"), hashes.SHA256())
    mac.update(head)
    return mac


def _counter(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _encoded(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
