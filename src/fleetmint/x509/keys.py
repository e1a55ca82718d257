"""Private keys: made, stored and read.

EC everywhere, P-256 for leaves and issuing CAs, P-384 for the root. RSA-3072 only for the leaves of clients and servers
that cannot use EC: no function for CAs or devices makes or takes such a key.
"""

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleetmint import choices
from fleetmint.errors import SecretError, StateError
from fleetmint.x509 import kinds

CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
_KINDS = {curve().name: kind for kind, curve in CURVES.items()}
RSA = choices.RSA
_RSA_BITS, _RSA_EXPONENT = 3072, 65537

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def new_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    """Make a key on the named curve."""
    return ec.generate_private_key(CURVES[curve]())


def new_leaf_key(kind: str) -> PrivateKey:
    """Make a key for a leaf: `kind` is a curve, or RSA-3072."""
    return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS) if kind == RSA else new_key(kind)


def kind_of(key: PublicKey) -> str:
    """Return what kind of key this is, in the words of the profiles where they have one: P-256, P-384, RSA-3072."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    return _KINDS.get(key.curve.name, key.curve.name)


def sealed_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """Return `key` as encrypted PKCS #8 PEM.

    The library derives the encryption key with only 2,048 rounds of PBKDF2, so the passphrase itself has to be random.
    """
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def plain_pem(key: PrivateKey) -> bytes:
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
    """Return the EC key in `pem`.

    Raises SecretError when the passphrase does not open it and StateError when it is damaged or of another kind;
    `what` names the file in the message.
    """
    key = load_leaf_key(pem, passphrase, what)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError(f"{what} is not an EC key: restore it from the backup of the CA")
    return key


def load_leaf_key(pem: bytes, passphrase: bytes | None, what: str) -> PrivateKey:
    """Return the EC or RSA key in `pem`; raise as load_key does."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in pem:
            raise SecretError(
                f"the passphrase does not open {what}: give the one it was made with, or restore the file if it is"
                " damaged"
            ) from error
        but = kinds.but(pem, "a private key")
        raise StateError(f"{what} is no private key{but}: restore it from the backup of the CA") from error
    if not isinstance(key, PrivateKey):
        raise StateError(f"{what} is neither an EC nor an RSA key: restore it from the backup")
    return key


def spki(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of `key`, DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(key: PublicKey) -> bytes:
    """Return the 32-byte SHA-256 of the SubjectPublicKeyInfo: the fingerprint by which ledgers know a key."""
    return hashlib.sha256(spki(key)).digest()
