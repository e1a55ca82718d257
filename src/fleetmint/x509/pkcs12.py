"""PKCS #12 files (RFC 7292): key and certificate of a person, as browsers and phones take them.

Two ways to encrypt, since a file that a system does not know is refused as "wrong password":

    modern    PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA-256, MAC with SHA-256: what OpenSSL 3 writes by default.
              Firefox, Windows 10 and newer take it.
    legacy    Triple DES and SHA-1, for systems that refuse the other. Reported for macOS 12 and 13 (pyca/cryptography
              #7293, chris2511/xca #474) and Android 11 and 12 (strongswan-docs #5). Its key derivation adds next to
              nothing, so it is as good as its password and made with a random one only.
"""

import base64
import codecs
import re
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from fleetmint import choices
from fleetmint.errors import SecretError
from fleetmint.x509 import keys

ENCRYPTIONS = MODERN, LEGACY = choices.ENCRYPTIONS
# OpenSSL's own number is 2,048; a tenth of a second is nothing for a person and something for who guesses.
ROUNDS = 100_000
MIN_PASSWORD = 12
_RANDOM_BYTES = 15
_GROUP = 4


def random_password() -> str:
    """Return 120 random bits as six groups of lower-case letters and digits, which can be typed on a phone."""
    text = base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().lower()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def checked_password(text: bytes, where: str) -> bytes:
    """Return the password in the first line of `text`; raise SecretError when it is too short or cannot be typed."""
    password = first_line(text)
    # nobody would type the blanks around it, nor could type what is no letter of a keyboard
    if len(password) < MIN_PASSWORD or not re.fullmatch(rb"[!-~]([ -~]*[!-~])?", password):
        raise SecretError(
            f"the password in {where} has to be one line of at least {MIN_PASSWORD} ASCII characters, without control"
            " characters in it and blanks around it"
        )
    return password


def first_line(text: bytes) -> bytes:
    """Return the first line of `text`, which an editor may have begun with a byte order mark."""
    return next(iter(text.removeprefix(codecs.BOM_UTF8).splitlines()), b"")


def make_pkcs12(
    key: keys.PrivateKey,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    name: str,
    password: bytes,
    encryption: str = MODERN,
) -> bytes:
    """Return the file; `name` is what a browser shows.

    It holds the issuing CA and not the root: a root in it would be offered for trust in everything.
    """
    builder = PrivateFormat.PKCS12.encryption_builder()
    if encryption == LEGACY:
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())  # noqa: S303
    else:
        builder = (
            builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
            .hmac_hash(hashes.SHA256())
            .kdf_rounds(ROUNDS)
        )
    return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, [issuer], builder.build(password))


def is_pkcs12(data: bytes) -> bool:
    """Whether `data` looks like a PFX: a DER sequence that begins with the version 3 (RFC 7292, section 4)."""
    if data[:1] != b"\x30" or len(data) < 8:
        return False
    header = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
    return data[header : header + 3] == b"\x02\x01\x03" and data[header + 3 : header + 4] == b"\x30"


def open_pkcs12(data: bytes, password: bytes, what: str) -> pkcs12.PKCS12KeyAndCertificates:
    """Return what the file holds; raise SecretError when the password does not open it."""
    try:
        return pkcs12.load_pkcs12(data, password)
    except ValueError as error:
        raise SecretError(
            f"the password does not open {what}, or it is damaged: give the one it was made with"
        ) from error
