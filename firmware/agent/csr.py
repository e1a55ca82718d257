# Certificate requests (PKCS #10, RFC 2986) and private keys (ECPrivateKey, RFC 5915) of P-256, in DER.

from agent import der, p256

# id-ecPublicKey, prime256v1, ecdsa-with-SHA256, commonName: the whole OBJECT IDENTIFIER elements.
_EC_PUBLIC_KEY = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
_PRIME256V1 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
_ECDSA_SHA256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
_COMMON_NAME = b"\x06\x03\x55\x04\x03"


def encode_key(key, point):
    """ECPrivateKey of the private integer `key` and its public `point` (65 bytes): the form `tls` loads."""
    return der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.OCTET_STRING, key.to_bytes(32, "big")),
        der.tlv(0xA0, _PRIME256V1),
        der.tlv(0xA1, der.bit_string(point)),
    )


def decode_key(data):
    """Private integer and public point of an ECPrivateKey. A generator, see `steps`.

    Raises ValueError when it is not one of P-256.
    """
    tag, start, end = der.header(data)
    if tag != der.SEQUENCE or end != len(data):
        raise ValueError("not a private key")
    key = point = None
    while start < end:
        tag, inner, following = der.header(data, start)
        if tag == der.OCTET_STRING:
            key = int.from_bytes(data[inner:following], "big")
        elif tag == 0xA1:
            # [1] { BIT STRING { no unused bits, point } }
            _, inner, _ = der.header(data, inner)
            point = data[inner + 1 : following]
        elif tag == 0xA0 and data[inner:following] != _PRIME256V1:
            raise ValueError("not a key of P-256")
        start = following
    if not key or key >= p256.N:
        raise ValueError("not a private key")
    if not point:
        point = yield from p256.public(key)
    return key, point


def public_key(point):
    """SubjectPublicKeyInfo of a point: what the SHA-256 of a key is made of."""
    return der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, _EC_PUBLIC_KEY, _PRIME256V1), der.bit_string(point))


def build(key, point, common_name=""):
    """A signed request for the key pair, with an empty subject or a common name alone. A generator, see `steps`."""
    name = b""
    if common_name:
        value = der.tlv(der.UTF8_STRING, common_name.encode())
        name = der.tlv(der.SET, der.tlv(der.SEQUENCE, _COMMON_NAME, value))
    info = der.tlv(
        der.SEQUENCE,
        der.integer(0),
        der.tlv(der.SEQUENCE, name),
        public_key(point),
        der.tlv(0xA0),
    )
    r, s = yield from p256.sign(key, info)
    signature = der.tlv(der.SEQUENCE, der.integer(r), der.integer(s))
    return der.tlv(der.SEQUENCE, info, der.tlv(der.SEQUENCE, _ECDSA_SHA256), der.bit_string(signature))
