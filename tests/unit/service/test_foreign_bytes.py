"""What strangers send, as no library writes it: refused with a reason, never with an error of the service.

test_debian.py runs this file with the libraries that a gateway has.
"""

import base64
import contextlib
import json

import pytest
from cryptography.hazmat.primitives import serialization

from fleetmint.documents import signature
from fleetmint.documents.registration import read_registration
from fleetmint.errors import RegistrationRefusedError, StateError
from fleetmint.service import identity
from fleetmint.service.identity import IdentityRefusedError
from fleetmint.x509 import revocation
from fleetmint.x509.listeners import LISTENERS
from fleetmint.x509.parsing import UnreadableError, parsing
from tests.support import handmade
from tests.support.gateway_site import environ, new_key, registration

LAMP = b"lamp-000001"
UTF8 = handmade.name(12, LAMP)
# name → what stands for the CN: its tag is no string, or its value does not follow from its tag
NO_NAMES = {
    "boolean": handmade.name(1, b"\xff"),
    "integer": handmade.name(2, b"\x05"),
    "bit string": handmade.name(3, b"\0" + LAMP),
    "octet string": handmade.name(4, LAMP),
    "null": handmade.name(5, b""),
    "UTC time": handmade.name(23, b"260101000000Z"),
    "UTC time, not even one": handmade.name(23, LAMP),
    "generalized time": handmade.name(24, b"20260101000000Z"),
    "sequence": handmade.name(0x30, b""),
    "UTF-8 that is none": handmade.name(12, b"\xff\xfe"),
    "BMP string of odd length": handmade.name(30, LAMP),
    "an empty relative name": handmade.tlv(0x30, handmade.tlv(0x31, b"")),
}
# name → what stands in the attributes of the request
BROKEN_ATTRIBUTES = {
    "an extensionRequest with an empty set": handmade.tlv(0x30, handmade.EXTENSION_REQUEST + handmade.tlv(0x31, b"")),
    "two values": handmade.tlv(0x30, handmade.EXTENSION_REQUEST + handmade.tlv(0x31, b"\x30\x00\x30\x00")),
    "a value of another type": handmade.tlv(0x30, handmade.EXTENSION_REQUEST + handmade.tlv(0x31, b"\x02\x01\x05")),
    "two extensionRequests": 2 * handmade.tlv(0x30, handmade.EXTENSION_REQUEST + handmade.tlv(0x31, b"\x30\x00")),
    "no set": handmade.tlv(0x30, handmade.EXTENSION_REQUEST),
}


@pytest.fixture
def enrol(site, client, now):
    token = site.register(now, "lamp-000001")["lamp-000001"]

    def run(csr: bytes | str):
        text = csr if isinstance(csr, str) else base64.b64encode(csr).decode()
        body = {"device": "lamp-000001", "token": token, "csr": text}
        return client.post("/v1/enrol", json=body, environ_overrides=environ("devices"))

    return run


@pytest.mark.parametrize("subject", NO_NAMES.values(), ids=NO_NAMES)
def test_a_request_whose_name_is_no_text_is_refused(enrol, subject):
    answer = enrol(handmade.request(new_key(), subject))
    assert (answer.status_code, answer.json["error"]) in [(400, "bad_encoding"), (400, "bad_name")]
    assert enrol(handmade.request(new_key(), UTF8)).status_code == 200  # the service goes on


@pytest.mark.parametrize("attributes", BROKEN_ATTRIBUTES.values(), ids=BROKEN_ATTRIBUTES)
def test_a_request_with_broken_attributes_is_refused(enrol, attributes):
    answer = enrol(handmade.request(new_key(), UTF8, attributes))
    # some versions read the one or the other as a request for nothing
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert answer.json["error"] in ("bad_encoding", "bad_extension")


def test_an_empty_set_in_an_extension_request_is_a_refusal_and_no_error(enrol):
    answer = enrol(handmade.request(new_key(), UTF8, BROKEN_ATTRIBUTES["an extensionRequest with an empty set"]))
    assert (answer.status_code, answer.json["error"]) == (400, "bad_encoding")


def test_a_request_signed_with_sha1_is_refused_by_that_name(enrol):
    answer = enrol(handmade.request(new_key(), UTF8, digest="sha1"))
    assert (answer.status_code, answer.json["error"]) == (400, "bad_hash")
    assert "SHA-1" in answer.json["message"]


@pytest.mark.parametrize("kind", ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_pem_under_either_name_is_taken(enrol, kind, line_end):
    text = handmade.pem(kind, handmade.request(new_key(), UTF8)).replace("\n", line_end)
    assert enrol(text).status_code == 200


@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_base64_with_line_feeds_is_taken(enrol, width, line_end):
    text = base64.b64encode(handmade.request(new_key(), UTF8)).decode()
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    assert enrol(line_end.join(lines) + line_end).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        handmade.pem("CERTIFICATE REQUEST", b"\x30\x00").replace("END CERT", "END NEW CERT"),
        handmade.pem("CERTIFICATE REQUEST", b"\x30\x00") * 2,
        "hello\n" + handmade.pem("CERTIFICATE REQUEST", b"\x30\x00"),
        handmade.pem("CERTIFICATE", b"\x30\x00"),
        "MII=\x0b",
        "\u00e4\u00f6",
    ],
)
def test_what_is_neither_pem_nor_base64_is_refused(enrol, text):
    answer = enrol(text)
    assert (answer.status_code, answer.json["error"]) == (400, "bad_encoding")


def test_a_certificate_in_the_place_of_a_request_is_called_that(enrol):
    der = handmade.certificate(new_key(), UTF8)
    for csr in (der, handmade.pem("CERTIFICATE", der)):
        answer = enrol(csr)
        assert (answer.status_code, answer.json["error"]) == (400, "bad_encoding")
        assert "a certificate" in answer.json["message"]


def test_text_in_front_of_a_block_is_told(enrol):
    answer = enrol(f"Certificate Request:\n{handmade.pem('CERTIFICATE REQUEST', handmade.request(new_key(), UTF8))}")
    assert (answer.status_code, answer.json["error"]) == (400, "bad_encoding")
    assert "one CERTIFICATE REQUEST and nothing else" in answer.json["message"]


@pytest.mark.parametrize("subject", NO_NAMES.values(), ids=NO_NAMES)
def test_a_client_certificate_whose_name_is_no_text_is_refused(client, site, subject):
    pem = handmade.pem("CERTIFICATE", handmade.certificate(new_key(), subject))
    peer = {identity.LISTENER: "devices", identity.VERIFY: "SUCCESS", identity.CERTIFICATE: pem}
    with pytest.raises(IdentityRefusedError):
        identity.peer(peer, LISTENERS["devices"], [site.device_ca.certificate])
    assert client.get("/v1/trust-bundle", environ_overrides=peer).status_code == 403


@pytest.mark.parametrize("subject", NO_NAMES.values(), ids=NO_NAMES)
def test_a_registration_with_such_a_certificate_is_refused(site, subject):
    der = handmade.certificate(new_key(), subject)
    data = registration([{"device": "lamp-000001", "certificate": base64.b64encode(der).decode()}])
    factory = site.hierarchy.authority("factory").certificate
    with pytest.raises(RegistrationRefusedError, match="lamp-000001: the certificate"):
        read_registration(data, site="test", gateway="gateway", factory_cas=[factory])


@pytest.mark.parametrize("subject", NO_NAMES.values(), ids=NO_NAMES)
def test_a_signed_file_with_such_a_certificate_is_refused(subject):
    der = handmade.certificate(new_key(), subject)
    texts = {name: base64.b64encode(value).decode() for name, value in
             {"payload": b"{}", "certificate": der, "signature": b"\x30\x00"}.items()}  # fmt: skip
    with pytest.raises(RegistrationRefusedError, match="no whole signed file"):
        signature.read(json.dumps({"format": signature.FORMAT, **texts}).encode())


@pytest.mark.parametrize("place", range(0, 400, 13))
def test_a_list_that_is_bent_anywhere_is_no_list_of_its_ca(site, place):
    issuer = site.hierarchy.authority("operator").certificate
    good = revocation.load_crl((site.config.crls / "operator.pem").read_bytes(), "the list")
    data = bytearray(good.public_bytes(serialization.Encoding.DER))
    data[place % len(data)] ^= 0xFF
    with contextlib.suppress(StateError):
        assert not revocation.signed_by(revocation.read_crl(bytes(data), "the list"), issuer)
    assert revocation.signed_by(good, issuer)


def test_what_is_meant_for_a_person_is_not_taken_for_a_panic():
    with pytest.raises(KeyboardInterrupt), parsing():
        raise KeyboardInterrupt
    panic = type("PanicException", (BaseException,), {})  # as PyO3 makes it
    with pytest.raises(UnreadableError), parsing():
        raise panic("called `Option::unwrap()` on a `None` value")
