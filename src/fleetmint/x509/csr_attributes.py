"""What a device's certificate request should look like, as EST tells clients (RFC 7030, 4.5.2; RFC 9908)."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from fleetmint.x509 import names

_OID, _SEQUENCE, _SET = 0x06, 0x30, 0x31
# [0] and [1] of CertificationRequestInfoTemplate
_KEY, _ATTRIBUTES = 0xA0, 0xA1
_VERSION_1 = b"\x02\x01\x00"
_LONGEST_SHORT = 127

_EC_KEY = bytes.fromhex("2a8648ce3d0201")
_P256 = bytes.fromhex("2a8648ce3d030107")
_ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")
# id-aa-certificationRequestInfoTemplate, 1.2.840.113549.1.9.16.2.61
_TEMPLATE = bytes.fromhex("2a864886f70d010910023d")
_COMMON_NAME = bytes.fromhex("550403")


def csr_attributes(site: str) -> bytes:
    """Return CsrAttrs, DER, of a site's devices: an EC key on P-256, signed with SHA-256, for the subject O, OU, CN.

    Twice: as the list of RFC 7030, and as the template of RFC 9908, which whoever knows both goes by alone (section 4).
    """
    key_type = _tlv(_SEQUENCE, _tlv(_OID, _EC_KEY), _tlv(_SET, _tlv(_OID, _P256)))
    template = _tlv(_SEQUENCE, _tlv(_OID, _TEMPLATE), _tlv(_SET, _template(site)))
    return _tlv(_SEQUENCE, key_type, _tlv(_OID, _ECDSA_SHA256), template)


def _template(site: str) -> bytes:
    algorithm = _tlv(_SEQUENCE, _tlv(_OID, _EC_KEY), _tlv(_OID, _P256))
    # a name without a value is for the client to fill in: only it knows which device it is
    common_name = _tlv(_SET, _tlv(_SEQUENCE, _tlv(_OID, _COMMON_NAME)))
    subject = _tlv(_SEQUENCE, _rdns(site), common_name)
    return _tlv(_SEQUENCE, _VERSION_1, subject, _tlv(_KEY, algorithm), _tlv(_ATTRIBUTES))


def _rdns(site: str) -> bytes:
    values = {NameOID.ORGANIZATION_NAME: site, NameOID.ORGANIZATIONAL_UNIT_NAME: names.DEVICES_UNIT}
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in values.items()])
    return name.public_bytes()[2:]  # without the SEQUENCE around them


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) <= _LONGEST_SHORT:
        return bytes([tag, len(body)]) + body
    return bytes([tag, 0x81, len(body)]) + body
