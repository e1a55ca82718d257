"""What a bench writes is what a gateway reads: each document with its own reader, whole and in parts."""

import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.documents import handover, registration
from fleetmint.documents.document import encode, parts
from fleetmint.documents.handover import RESULTS, Entry
from fleetmint.documents.registration import CertificateEntry, Policy, TokenEntry
from fleetmint.errors import RegistrationRefusedError
from tests.support.gateway_site import new_key

ADDRESS = {"site": "test", "gateway": "gateway"}


def test_a_registration_comes_back_as_it_was_written(hierarchy, now):
    factory = hierarchy.authority("factory")
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000002", now=now)
    rows = [
        registration.token_row("lamp-000001", "ab" * 16, "2027-11-22T00:00:00Z"),
        registration.certificate_row("lamp-000002", leaf.public_bytes(Encoding.DER)),
    ]
    data = b"".join(registration.write_registration("test", "gateway", "spring", rows))
    read = registration.read_registration(data, **ADDRESS, factory_cas=[factory.certificate])
    first, second = read.entries
    assert isinstance(first, TokenEntry)
    assert isinstance(second, CertificateEntry)
    assert (read.batch, first.device, second.der) == ("spring", "lamp-000001", leaf.public_bytes(Encoding.DER))
    assert b"ab" * 16 not in data
    assert json.loads(b"".join(registration.write_registration("test", "gateway", "spring", [])))["devices"] == []


@pytest.mark.parametrize("policy", [Policy("manual"), Policy("auto", "mac"), Policy("manual", "mac")])
def test_what_a_batch_wants_of_its_tokens_comes_back_and_an_older_gateway_does_not_take_it(policy):
    row = registration.token_row("lamp-000001", "ab" * 16, "2027-11-22T00:00:00Z")
    data = b"".join(registration.write_registration("test", "gateway", "spring", [row], policy))
    for part in (data, *parts(json.loads(data), 60)):
        assert registration.read_registration(part, **ADDRESS, factory_cas=[]).policy == policy
    assert json.loads(data)["format"] != registration.FORMAT
    plain = b"".join(registration.write_registration("test", "gateway", "spring", [row], Policy()))
    assert json.loads(plain)["format"] == registration.FORMAT
    assert registration.read_registration(plain, **ADDRESS, factory_cas=[]).policy == Policy()


@pytest.mark.parametrize(("name", "value"), [("approval", "perhaps"), ("approval", None), ("token_binding", ["mac"])])
def test_a_policy_that_is_none_is_refused(name, value):
    document = {"format": registration.FORMAT_WITH_POLICY, **ADDRESS, "batch": "spring", "devices": [], name: value}
    with pytest.raises(RegistrationRefusedError, match=f"{name} has to be one of"):
        registration.read_registration(encode(document), **ADDRESS, factory_cas=[])


@pytest.fixture
def entries(now):
    return [
        Entry(f"lamp-{number:06}", RESULTS[number % 3], f"24:0a:c4:00:{number // 256:02x}:{number % 256:02x}", now)
        for number in range(400)
    ]


def test_a_handover_comes_back_as_it_was_written(entries, now):
    head = {
        "format": registration.FORMAT,
        **ADDRESS,
        "batch": "spring",
        "devices": ["of the registration"],
        "approval": "manual",
    }
    document = handover.write_handover(head, entries)
    read = handover.read_handover(encode(document), **ADDRESS)
    assert (read.batch, list(read.entries)) == ("spring", entries)
    later = [Entry(each.device, each.result, each.mac, now + timedelta(microseconds=1)) for each in entries]
    assert handover.read_handover(encode(handover.write_handover(head, later)), **ADDRESS).entries == tuple(later)


def test_a_large_document_comes_back_in_parts(entries):
    head = {**ADDRESS, "batch": "spring"}
    pieces = list(parts(handover.write_handover(head, entries), 4096))
    assert len(pieces) > 5
    assert max(map(len, pieces)) <= 4096
    found = [entry for piece in pieces for entry in handover.read_handover(piece, **ADDRESS).entries]
    assert found == entries
