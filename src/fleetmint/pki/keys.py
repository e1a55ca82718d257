"""Private keys: made, stored and read. EC only: P-256 for leaves and issuing CAs, P-384 for the root."""

import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.errors import SecretError, StateError

CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}


def new_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    """Make a key on the named curve."""
    return ec.generate_private_key(CURVES[curve]())


def sealed_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """Return `key` as encrypted PKCS #8 PEM.

    The library derives the encryption key with only 2,048 rounds of PBKDF2, so the passphrase itself has to be random.
    """
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def plain_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return `key` as unencrypted PKCS #8 PEM, for a server or a client that has nobody to ask for a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def device_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return `key` as SEC 1 ECPrivateKey DER, the form that the firmware makes itself."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def load_key(pem: bytes, passphrase: bytes | None, what: str) -> ec.EllipticCurvePrivateKey:
    """Return the key in `pem`.

    Raises SecretError when the passphrase does not open it and StateError when it is damaged or of another kind;
    `what` names the file in the message.
    """
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (TypeError, ValueError) as error:
        if b"ENCRYPTED" in pem:
            raise SecretError(f"the passphrase does not open {what}: give the one it was made with") from error
        raise StateError(f"{what} is no private key: restore it from the backup of the CA") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError(f"{what} is not an EC key: restore it from the backup of the CA")
    return key


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of `key`, DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the 32-byte SHA-256 of the SubjectPublicKeyInfo: the fingerprint by which ledgers know a key."""
    return hashlib.sha256(spki(key)).digest()
