"""Whose clients a listener lets in, held against what the CAs themselves may certify."""

import pytest

from fleetmint.errors import NameRefusedError
from fleetmint.x509.listeners import DELIVERED, LISTENERS
from fleetmint.x509.profiles import PROFILES


@pytest.mark.parametrize("name", LISTENERS)
def test_a_listener_trusts_every_ca_that_may_certify_its_clients_and_no_other(name):
    policy = LISTENERS[name]
    wanted = {f"{issuer}-ca" for issuer in policy.issuers}
    assert {each.name for each in PROFILES.values() if each.is_ca and each.clients == policy.unit} == wanted
    assert policy.authorities == ("root", *policy.issuers)


@pytest.mark.parametrize("name", LISTENERS)
def test_every_client_of_these_cas_has_the_unit_of_the_listener(name):
    leaves = [each for each in PROFILES.values() if each.issuer in {f"{one}-ca" for one in LISTENERS[name].issuers}]
    assert {leaf.unit for leaf in leaves} == {LISTENERS[name].unit}


def test_no_name_is_good_at_two_listeners():
    for name in ("lamp-000001", "alice@workshop", "lamp", "a@b"):
        let_in = []
        for policy in LISTENERS.values():
            try:
                policy.check_name(name)
                let_in.append(policy.name)
            except NameRefusedError:
                pass
        assert let_in == ["operators" if "@" in name else "devices"]


def test_every_list_comes_from_the_controller_but_the_one_that_a_gateway_signs():
    assert DELIVERED == ("root", "factory", "operator")
