"""Certificates of the maker's own servers: for their own names alone, renewed for the same key."""

from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.ca.leaves import alternative_names
from fleetmint.ca.services import Service, list_services, plan_renewals, plan_service, refuse_names_of_services
from fleetmint.errors import FleetmintError, StateError
from fleetmint.x509 import compat, keys
from fleetmint.x509.authority import load_certificate, pem
from tests.support.gateway_site import make_csr

WANTED = Service("grafana", ("grafana.example", "192.0.2.9"))


@pytest.fixture
def issued(hierarchy, tmp_path, now):
    """A directory in which a gateway has its certificate."""
    place = tmp_path / "issued/gateway"
    place.mkdir(parents=True)
    names = ["Gateway.example", "192.0.2.7"]
    leaf = hierarchy.authority("server").issue("server", keys.new_key().public_key(), "gateway", now=now, sans=names)
    (place / "nginx.crt").write_bytes(pem(leaf))
    return place.parent


@pytest.fixture
def made(hierarchy, issued, now):
    plan_service(hierarchy, issued, WANTED, now).apply()
    return issued / "services"


def leaf_of(made) -> x509.Certificate:
    return load_certificate(made / "grafana.crt")


def test_a_server_gets_what_clients_of_the_server_ca_take_and_nothing_for_a_client(made, hierarchy, now, openssl):
    root, ca = (hierarchy.directory / name / "ca.crt" for name in ("root", "server"))
    chain = ("-CAfile", root, "-untrusted", ca, made / "grafana.crt")
    assert openssl("verify", "-purpose", "sslserver", "-verify_hostname", "grafana.example", *chain).returncode == 0
    assert openssl("verify", "-purpose", "sslserver", "-verify_ip", "192.0.2.9", *chain).returncode == 0
    assert openssl("verify", "-purpose", "sslserver", "-verify_hostname", "gateway.example", *chain).returncode != 0
    assert openssl("verify", "-purpose", "sslclient", *chain).returncode != 0
    assert (made / "grafana.key").stat().st_mode & 0o777 == 0o600
    assert compat.not_after(leaf_of(made)) == now + timedelta(days=365)


def test_a_second_time_changes_nothing_and_a_renewal_keeps_the_key(made, hierarchy, issued, now):
    key, old = (made / "grafana.key").read_bytes(), leaf_of(made)
    assert not plan_service(hierarchy, issued, WANTED, now).changed
    assert not plan_renewals(hierarchy, issued, now + timedelta(days=89)).changed
    plan = plan_renewals(hierarchy, issued, now + timedelta(days=91))
    assert plan.reasons
    assert leaf_of(made) == old
    plan.apply()
    assert (made / "grafana.key").read_bytes() == key
    assert leaf_of(made).serial_number != old.serial_number
    assert compat.not_after(leaf_of(made)) == now + timedelta(days=91 + 365)
    assert not plan_renewals(hierarchy, issued, now + timedelta(days=91)).changed


def test_other_names_and_another_life_make_another_certificate(made, hierarchy, issued, now):
    wanted = Service("grafana", ("stats.example",), 30)
    plan_service(hierarchy, issued, wanted, now).apply()
    assert alternative_names(leaf_of(made)) == ["stats.example"]
    assert compat.not_after(leaf_of(made)) == now + timedelta(days=30)
    assert list_services(issued) == [wanted]
    plan_renewals(hierarchy, issued, now + timedelta(days=11)).apply()
    assert compat.not_after(leaf_of(made)) == now + timedelta(days=41)


def test_the_key_of_a_request_stays_where_it_is(hierarchy, issued, now):
    key = keys.new_key()
    plan_service(hierarchy, issued, WANTED, now, request=make_csr(key)).apply()
    made = issued / "services"
    assert not (made / "grafana.key").exists()
    assert keys.spki(leaf_of(made).public_key()) == keys.spki(key.public_key())
    plan_renewals(hierarchy, issued, now + timedelta(days=91)).apply()
    assert keys.spki(leaf_of(made).public_key()) == keys.spki(key.public_key())


def test_a_request_does_not_take_the_place_of_a_key_that_was_made_here(made, hierarchy, issued, now):
    with pytest.raises(StateError, match="was made here, and lies in"):
        plan_service(hierarchy, issued, WANTED, now, request=make_csr(keys.new_key()))


@pytest.mark.parametrize("name", ["gateway.example", "GATEWAY.EXAMPLE", "192.0.2.7", "next.example"])
def test_a_name_of_a_gateway_is_refused_however_it_is_written(hierarchy, issued, now, name):
    with pytest.raises(FleetmintError, match="is a name of a gateway"):
        plan_service(hierarchy, issued, Service("web", ("web.example", name)), now, taken=["next.example"])
    assert not (issued / "services").exists()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Service("web", ()), "lacks a name"),
        (Service("web", ("*.example",)), "wildcard"),
        (Service("web", ("https://web.example",)), "is a URL"),
        (Service("../web", ("web.example",)), "no name of a service"),
        (Service("web", ("web.example",), 366), "lasts 1 to 365 days"),
    ],
)
def test_what_no_client_could_call_is_refused(hierarchy, issued, now, wanted, words):
    with pytest.raises(FleetmintError, match=words):
        plan_service(hierarchy, issued, wanted, now)
    assert not (issued / "services").exists()


def test_a_gateway_does_not_get_a_name_that_a_service_has(made, hierarchy, issued, now):
    with pytest.raises(FleetmintError, match=r"grafana.example is a name of the service grafana.*ca_rollover"):
        refuse_names_of_services(issued, ["pi.example", "Grafana.example"])
    refuse_names_of_services(issued, ["pi.example"])
    taken = hierarchy.authority("server").issue(
        "server", keys.new_key().public_key(), "gateway", now=now, sans=["grafana.example"]
    )
    (issued / "gateway/mosquitto.crt").write_bytes(pem(taken))
    with pytest.raises(FleetmintError, match="is a name of a gateway"):
        plan_renewals(hierarchy, issued, now)


def test_a_damaged_description_says_how_it_is_written_again(made, hierarchy, issued, now):
    (made / "grafana.json").write_text("{")
    with pytest.raises(StateError, match="service-cert grafana --san HOST"):
        plan_renewals(hierarchy, issued, now)
