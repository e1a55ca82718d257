"""Handing over: the gateway learns which board a device is, and what became of it."""

import json
from datetime import timedelta

import pytest

from fleetmint.documents import handover as documents
from fleetmint.errors import RegistrationRefusedError
from fleetmint.ledger import handover as module
from fleetmint.ledger.devices import list_devices
from tests.support.gateway_site import board, certificate_entry, handover, new_key, registration, token_entry

MAC, OTHER = "24:0a:c4:00:00:01", "24:0a:c4:00:00:02"


@pytest.fixture
def hand_over(site):
    """Import a document twice, and see that the second time changes nothing."""

    def run(now, *entries, **document):
        data = handover(list(entries), **document)
        read = documents.read_handover(data, site="test", gateway="gateway")
        with site.writing() as connection:
            decision = module.import_handover(connection, read, actor="bench@test", now=now)
        with site.writing() as connection:
            assert not module.import_handover(connection, read, actor="bench@test", now=now).changed
        return decision

    return run


@pytest.fixture
def devices(site, now):
    """Three registered devices, the third with a certificate; returned is a look at them."""
    leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000003", now=now)
    expires = now + timedelta(days=365)
    entries = [token_entry(f"lamp-00000{number}", str(number), expires) for number in (1, 2)]
    site.import_(registration([*entries, certificate_entry("lamp-000003", leaf)]), now)

    def look():
        with site.reading() as connection:
            return {each.device: (each.status, each.mac, each.result) for each in list_devices(connection)}

    return look


def test_a_board_becomes_an_attribute_of_its_device(hand_over, devices, site, now):
    decision = hand_over(now, board("lamp-000001", MAC, now), board("lamp-000002", OTHER, now, "quarantined"))
    assert (len(decision.updated), decision.revoked, decision.skipped) == (2, (), ())
    assert devices()["lamp-000001"] == ("registered", MAC, "burned")
    assert devices()["lamp-000002"] == ("registered", OTHER, "quarantined")
    assert devices()["lamp-000003"] == ("active", None, None)
    assert site.findings() == ()


def test_a_device_that_was_returned_is_revoked_and_its_board_free_for_another(hand_over, devices, site, now):
    hand_over(now, board("lamp-000003", MAC, now))
    later = now + timedelta(days=9)
    decision = hand_over(later, board("lamp-000003", MAC, later, "returned"), board("lamp-000001", MAC, later))
    assert decision.revoked == ("lamp-000003",)
    assert devices()["lamp-000003"] == ("revoked", MAC, "returned")
    assert devices()["lamp-000001"] == ("registered", MAC, "burned")
    assert site.findings() == ()


def test_an_older_document_changes_nothing_whatever_it_says(hand_over, devices, now):
    old = board("lamp-000003", MAC, now)
    hand_over(now, old)
    later = now + timedelta(days=9)
    hand_over(later, board("lamp-000003", MAC, later, "returned"))
    before = devices()
    decision = hand_over(later, old)
    assert decision.skipped[0].reason == "it was returned later than the document knows"
    assert devices() == before


def test_what_was_returned_is_never_revived_not_even_by_a_later_word(hand_over, devices, now):
    hand_over(now, board("lamp-000003", MAC, now, "returned"))
    later = now + timedelta(days=1)
    decision = hand_over(later, board("lamp-000003", OTHER, later))
    assert decision.skipped[0].reason == "it was returned, which is for ever"
    assert devices()["lamp-000003"] == ("revoked", MAC, "returned")


def test_a_board_cannot_be_two_devices(hand_over, devices, now):
    hand_over(now, board("lamp-000001", MAC, now))
    with pytest.raises(
        RegistrationRefusedError, match=r"the board 24:0a:c4:00:00:01 is lamp-000001 here.*device return"
    ):
        hand_over(now, board("lamp-000002", MAC, now))
    with pytest.raises(RegistrationRefusedError, match="24:0a:c4:00:00:02 is in the document twice"):
        hand_over(now, board("lamp-000002", OTHER, now), board("lamp-000003", OTHER, now))
    assert devices()["lamp-000002"] == ("registered", None, None)


def test_two_boards_that_changed_places_are_taken(hand_over, devices, now):
    hand_over(now, board("lamp-000001", MAC, now), board("lamp-000002", OTHER, now))
    later = now + timedelta(seconds=1)
    hand_over(later, board("lamp-000001", OTHER, later), board("lamp-000002", MAC, later))
    assert devices()["lamp-000001"][1] == OTHER


@pytest.mark.parametrize(
    ("entry", "options", "reason"),
    [
        ({"device": "lamp-000009"}, {}, "lamp-000009 is not registered here: register the batch first"),
        ({}, {"batch": "lamps-2"}, "of the batch 'lamps-1' here, not of 'lamps-2'"),
        ({}, {"site": "other"}, "the document's site"),
        ({}, {"gateway": "other"}, "the document's gateway"),
        ({"result": "planned"}, {}, "the result has to be one of burned, quarantined, returned"),
        ({"mac": "24:0A:C4:00:00:01"}, {}, "the mac has to look like"),
        ({"mac": None}, {}, "the mac has to look like"),
        ({"at": "yesterday"}, {}, "at has to be a UTC time"),
        ({"at": "2999-01-01T00:00:00.000000Z"}, {}, "which is to come: set the clock"),
        ({"device": "LAMP"}, {}, "entry 2 of the document"),
        ({"more": 1}, {}, "entry 2 of the document has to have"),
    ],
)
def test_one_bad_entry_keeps_the_whole_document_out(hand_over, devices, now, entry, options, reason):
    before = devices()
    with pytest.raises(RegistrationRefusedError, match=reason):
        hand_over(now, board("lamp-000001", MAC, now), board("lamp-000002", OTHER, now) | entry, **options)
    assert devices() == before


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 100_000, json.dumps({"format": documents.FORMAT}).encode()])
def test_what_is_no_document_is_refused(data):
    with pytest.raises(RegistrationRefusedError):
        documents.read_handover(data, site="test", gateway="gateway")
