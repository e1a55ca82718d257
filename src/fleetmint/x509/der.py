"""Just enough DER (X.690) to call things by their names that the library does not read, or each version differently.

Which kind of structure it is, whose key, on which curve, signed with which hash: all of it follows from where things
stand and from object identifiers. Nothing here checks a signature.
"""

from dataclasses import dataclass

from fleetmint.x509.parsing import UnreadableError

_INTEGER, _BITS, _OID, _SEQUENCE = 0x02, 0x03, 0x06, 0x30
_LONGEST_LENGTH = 4

P256 = "EC P-256"
# Others can be made to say the same: what no server and no device takes a signature with.
BROKEN_HASHES = ("MD2", "MD4", "MD5", "SHA-1")
_EC = "1.2.840.10045.2.1"
_PSS = "1.2.840.113549.1.1.10"
_SM2 = "1.2.156.10197.1.301"
_NIST = "2.16.840.1.101.3.4"
_BRAINPOOL = [f"brainpoolP{bits}{kind}" for bits in (160, 192, 224, 256, 320, 384, 512) for kind in ("r1", "t1")]
_CURVES = {
    "1.2.840.10045.3.1.7": "P-256",
    "1.3.132.0.34": "P-384",
    "1.3.132.0.35": "P-521",
    "1.3.132.0.33": "secp224r1",
    "1.3.132.0.10": "secp256k1",
    "1.2.840.10045.3.1.1": "secp192r1",
    **{f"1.2.840.10045.3.1.{number}": f"prime239v{number - 3}" for number in (4, 5, 6)},
    **{f"1.3.132.0.{number}": f"secp{name}" for number, name in ((8, "160r1"), (31, "192k1"), (32, "224k1"))},
    **{
        f"1.3.132.0.{number}": f"sect{bits}k1"
        for number, bits in ((1, 163), (26, 233), (16, 283), (36, 409), (38, 571))
    },
    **{f"1.3.132.0.{number}": f"sect{bits}r1" for number, bits in ((27, 233), (17, 283), (37, 409), (39, 571))},
    **{f"1.3.36.3.3.2.8.1.1.{number}": name for number, name in enumerate(_BRAINPOOL, 1)},
}
_KEYS = {
    "1.2.840.113549.1.1.1": "RSA",
    _PSS: "RSA-PSS",
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.10046.2.1": "DH",
    "1.2.840.113549.1.3.1": "DH",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    _SM2: "SM2",
    "1.2.643.2.2.19": "GOST",
    "1.2.643.7.1.1.1.1": "GOST",
    "1.2.643.7.1.1.1.2": "GOST",
    **{f"{_NIST}.3.{number}": f"ML-DSA-{size}" for number, size in ((17, 44), (18, 65), (19, 87))},
    **{f"{_NIST}.3.{number}": "SLH-DSA" for number in range(20, 32)},
    **{f"{_NIST}.4.{number}": f"ML-KEM-{size}" for number, size in ((1, 512), (2, 768), (3, 1024))},
}
_HASHES = {
    "1.2.840.113549.2.2": "MD2",
    "1.2.840.113549.2.4": "MD4",
    "1.2.840.113549.2.5": "MD5",
    "1.3.14.3.2.26": "SHA-1",
    "1.3.36.3.2.1": "RIPEMD-160",
    **{f"{_NIST}.2.{number}": f"SHA-{bits}" for number, bits in ((4, 224), (1, 256), (2, 384), (3, 512))},
    **{f"{_NIST}.2.{number}": f"SHA3-{bits}" for number, bits in ((7, 224), (8, 256), (9, 384), (10, 512))},
}
_SHA3 = ("SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512")
# What a signature is made with, as far as a hash is named by it.
_SIGNATURES = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.3": "MD4",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.2.840.113549.1.1.14": "SHA-224",
    "1.2.840.113549.1.1.11": "SHA-256",
    "1.2.840.113549.1.1.12": "SHA-384",
    "1.2.840.113549.1.1.13": "SHA-512",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
    "1.2.840.10045.4.3.1": "SHA-224",
    "1.2.840.10045.4.3.2": "SHA-256",
    "1.2.840.10045.4.3.3": "SHA-384",
    "1.2.840.10045.4.3.4": "SHA-512",
    "1.3.14.3.2.2": "MD4",
    "1.3.14.3.2.3": "MD5",
    "1.3.14.3.2.13": "SHA-1",
    "1.3.14.3.2.27": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.3.36.3.3.1.2": "RIPEMD-160",
    "1.2.156.10197.1.501": "SM3",
    "1.2.643.7.1.1.3.2": "Streebog",
    "1.2.643.7.1.1.3.3": "Streebog",
    f"{_NIST}.3.1": "SHA-224",
    f"{_NIST}.3.2": "SHA-256",
    f"{_NIST}.3.3": "SHA-384",
    f"{_NIST}.3.4": "SHA-512",
    **{f"{_NIST}.3.{number}": name for number, name in enumerate(_SHA3, 5)},
    **{f"{_NIST}.3.{number}": name for number, name in enumerate(_SHA3, 9)},
    **{f"{_NIST}.3.{number}": name for number, name in enumerate(_SHA3, 13)},
}
# Signed without a hash of its own, by what its key says: Ed25519, Ed448, ML-DSA, SLH-DSA.
_WITHOUT_HASH = {"1.3.101.112", "1.3.101.113", *(f"{_NIST}.3.{number}" for number in range(17, 32))}


@dataclass(frozen=True)
class Element:
    """One element: its tag, what is in it, and all of it."""

    tag: int
    content: bytes
    whole: bytes


@dataclass(frozen=True)
class Signed:
    """What a signed structure says of itself: `hash` is None for a signature that names none; `spki` is DER.

    `pss`: the signature is an RSA-PSS one (RFC 8017). `parameters` are what stands behind its algorithm.
    """

    hash: str | None
    key: str
    spki: bytes
    pss: bool
    parameters: bytes


def elements(data: bytes) -> list[Element]:
    """Return the elements that lie one after the other in `data`; raise UnreadableError when they do not fill it."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise UnreadableError("an element is cut off")
        length, header = data[at + 1], 2
        if length & 0x80:
            header += length & 0x7F
            length = int.from_bytes(data[at + 2 : at + header], "big")
        end = at + header + length
        if end > len(data) or header > 2 + _LONGEST_LENGTH or data[at + 1] == 0x80:
            raise UnreadableError("an element is longer than what holds it")
        found.append(Element(data[at], data[at + header : end], data[at:end]))
        at = end
    return found


def pem_label(part: bytes) -> str | None:
    """Return under which label PEM has the structure `part`, judged by its form alone; None for an unknown one."""
    if part[:1] != b"\x30":
        return None
    try:
        (outer,) = elements(part)
        inner = elements(outer.content)
    except (UnreadableError, ValueError):
        return None
    tags = [each.tag for each in inner]
    match tags:
        case [0x30, 0x30, 0x03]:
            return _signed_label(inner[0].content)
        case [0x30, 0x04]:
            return "ENCRYPTED PRIVATE KEY"
        case [0x30, 0x03]:
            return "PUBLIC KEY"
        case [0x02, 0x30] | [0x02, 0x30, 0x30]:
            return "PKCS12"
        case [0x02, 0x30, 0x04, *_]:
            return "PRIVATE KEY"
        case [0x02, 0x04, *_]:
            return "EC PRIVATE KEY"
        case [0x06, 0xA0]:
            return "PKCS7"
        case [0x02, 0x02]:
            return "RSA PUBLIC KEY"
    if set(tags) == {_INTEGER}:
        return {9: "RSA PRIVATE KEY", 6: "DSA PRIVATE KEY"}.get(len(tags))
    return None


def _signed_label(content: bytes) -> str | None:
    try:
        tags = [each.tag for each in elements(content)]
    except UnreadableError:
        return None
    match tags:
        case [0x02, 0x30, 0x30] | [0x02, 0x30, 0x30, 0xA0]:
            return "CERTIFICATE REQUEST"
        case [0x02, 0x30, 0x30, 0x17 | 0x18, *_] | [0x30, 0x30, 0x17 | 0x18, *_]:
            return "X509 CRL"
        case [0xA0, 0x02, 0x30, 0x30, 0x30, 0x30, 0x30, *_] | [0x02, 0x30, 0x30, 0x30, 0x30, 0x30, *_]:
            return "CERTIFICATE"
    return None


def request(whole: bytes) -> Signed:
    """Describe a PKCS #10 request; raise UnreadableError for anything else."""
    body, algorithm = _signed(whole)
    return _described(body, 2, algorithm)


def certificate(whole: bytes) -> Signed:
    """Describe a certificate; raise UnreadableError for anything else."""
    body, algorithm = _signed(whole)
    return _described(body, 6 if body and body[0].tag == 0xA0 else 5, algorithm)


def signature_hash(whole: bytes) -> str | None:
    """Return the hash that a certificate, request or CRL is signed with; None for a signature that names none."""
    return _hash_of(_signed(whole)[1])


def private_key_text(whole: bytes) -> str:
    """Return the kind of an open PKCS #8 or SEC 1 key, such as `EC P-256`."""
    inner = _inside(whole)
    match [part.tag for part in inner]:
        case [0x02, 0x30, *_]:
            return _key_text(inner[1])
        case [0x02, 0x04, 0xA0, *_]:
            return _curve_text(elements(inner[2].content)[:1])
    raise UnreadableError("no private key")


def public_key_text(spki: bytes) -> str:
    """Return the kind of a public key, such as `EC P-256` or `RSA`; its object identifier where it has no name."""
    inner = _inside(spki)
    if not inner:
        raise UnreadableError("no public key")
    return _key_text(inner[0])


def _signed(whole: bytes) -> tuple[list[Element], Element]:
    parts = _inside(whole)
    if [part.tag for part in parts] != [_SEQUENCE, _SEQUENCE, _BITS]:
        raise UnreadableError("nothing signed")
    return elements(parts[0].content), parts[1]


def _described(body: list[Element], place: int, algorithm: Element) -> Signed:
    if place >= len(body):
        raise UnreadableError("there is no key in it")
    spki = body[place].whole
    parameters = b"".join(each.whole for each in elements(algorithm.content)[1:])
    return Signed(_hash_of(algorithm), public_key_text(spki), spki, _algorithm(algorithm)[0] == _PSS, parameters)


def _inside(whole: bytes) -> list[Element]:
    outer = elements(whole)
    if not outer or outer[0].tag != _SEQUENCE:
        raise UnreadableError("no sequence")
    return elements(outer[0].content)


def _hash_of(algorithm: Element) -> str | None:
    oid, parameters = _algorithm(algorithm)
    if oid == _PSS:  # RFC 8017, A.2.3: SHA-1 where it says nothing
        chosen = [part for part in elements(parameters.content) if part.tag == 0xA0] if parameters else []
        inner = elements(chosen[0].content) if chosen else []
        return _named(_HASHES, _algorithm(inner[0])[0]) if inner else "SHA-1"
    return None if oid in _WITHOUT_HASH else _named(_SIGNATURES, oid)


def _key_text(algorithm: Element) -> str:
    oid, parameters = _algorithm(algorithm)
    if oid != _EC:
        return _named(_KEYS, oid)
    return _curve_text([] if parameters is None else [parameters])


def _curve_text(parameters: list[Element]) -> str:
    if not parameters or parameters[0].tag != _OID:
        return "EC with parameters of its own"
    curve = _oid(parameters[0].content)
    return "SM2" if curve == _SM2 else f"EC {_named(_CURVES, curve)}"


def _algorithm(element: Element) -> tuple[str, Element | None]:
    inner = elements(element.content)
    if element.tag != _SEQUENCE or not inner or inner[0].tag != _OID:
        raise UnreadableError("no algorithm")
    return _oid(inner[0].content), inner[1] if len(inner) > 1 else None


def _named(known: dict[str, str], oid: str) -> str:
    return known.get(oid, oid)


def _oid(content: bytes) -> str:
    numbers, value = [], 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    if not numbers or content[-1] & 0x80:
        raise UnreadableError("no object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))
