"""Which CRL may take the place of which, and what a serial number is."""

from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.errors import StateError
from fleetmint.x509 import keys, revocation
from fleetmint.x509.authority import self_signed
from tests.support import handmade


@pytest.fixture
def authority(now):
    return self_signed("test", "test root", keys.new_key("P-384"), now)


def crl(authority, now, number, serials):
    revoked = [revocation.Revoked(serial, now) for serial in serials]
    return revocation.build_crl(authority, revoked, number=number, now=now, lifetime=timedelta(days=7))


def refuse(new, old, asked=None):
    def remedy(forgotten):
        if asked is not None:
            asked.append(forgotten)
        return "keep it"

    revocation.refuse_forgetting(new, old, what="what came", where="what is here", remedy=remedy)


@pytest.mark.parametrize(("number", "serials"), [(4, [7, 8]), (4, [7, 8, 9]), (5, [7, 8]), (5, [9, 8, 7])])
def test_a_list_that_revokes_all_that_the_one_before_did_may_follow_it(authority, now, number, serials):
    refuse(crl(authority, now, number, serials), crl(authority, now, 4, [7, 8]))


def test_a_list_with_a_lower_number_may_not_even_when_it_revokes_more(authority, now):
    asked = []
    said = "what came has the number 3, and what is here holds number 4: an older list would forget revocations; keep"
    with pytest.raises(StateError, match=said):
        refuse(crl(authority, now, 3, [7, 8, 9]), crl(authority, now, 4, [7]), asked)
    assert asked == [()]


@pytest.mark.parametrize("number", [4, 5, 1 << 40])
def test_a_list_that_forgets_somebody_may_not_whatever_its_number(authority, now, number):
    asked = []
    said = f"what came, number {number}, does not revoke 7, 9, which what is here does: .*; keep it"
    with pytest.raises(StateError, match=said):
        refuse(crl(authority, now, number, [8]), crl(authority, now, 4, [9, 8, 7]), asked)
    assert asked == [(7, 9)]


def test_a_sentence_names_ten_of_many_forgotten_serials_and_counts_the_rest(authority, now):
    asked = []
    with pytest.raises(StateError, match="does not revoke 1, 2, 3, 4, 5, 6, 7, 8, 9, a and 990 more, which"):
        refuse(crl(authority, now, 5, []), crl(authority, now, 4, range(1, 1001)), asked)
    assert len(asked[0]) == 1000


def test_a_list_without_a_good_number_gives_way_to_any_and_follows_none(authority, now):
    made = handmade.crl(authority, now, handmade.key_id(authority), x509.CRLNumber(1 << 160))
    odd = revocation.load_crl(made, "CRL")
    refuse(crl(authority, now, 1, []), odd)
    with pytest.raises(StateError, match="no CRL number"):
        refuse(odd, crl(authority, now, 1, []))


@pytest.mark.parametrize("text", ["", "xyz", "0x"])
def test_what_is_no_serial_number_is_told(text):
    with pytest.raises(StateError, match="hexadecimal"):
        revocation.serial_number(text)
