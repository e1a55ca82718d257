"""What is left to do until a gateway holds the keys of its device CAs, carried out by the gateway's own command."""

import json

import pytest
from click.testing import CliRunner

from fleetmint.ca import gateway_keys
from fleetmint.ca.gateway_keys import NOTHING_HELD, plan_steps
from fleetmint.ca.identifier import Kind
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.cli import root
from fleetmint.errors import StateError
from fleetmint.gateway.clock import utc_now
from tests.support.gateway_site import make_gateway_site


@pytest.fixture
def site(tmp_path, tmp_path_factory, monkeypatch):
    made = make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")
    monkeypatch.setenv("FLEETMINT_CONFIG", str(made.config_path))
    return made


@pytest.fixture
def gateway(site):
    """Run a command of the gateway; return the object it printed."""

    def run(name, *arguments, data=b""):
        result = CliRunner().invoke(root, ["gateway", name, "--json", *arguments], input=data, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def follow(site, gateway):
    """Do all that is left to do, as the action does it; return why."""

    def run(**options):
        steps = plan_steps(site.hierarchy, "gateway", gateway("ca-status"), **options)
        for step in steps:
            data = gateway_keys.handed_over(site.hierarchy, step.authority) if step.authority else b""
            assert gateway(*step.command, data=data)["changed"]
        return [step.reason for step in steps]

    return run


def move(site, name):
    plan_move(Rollover(site.hierarchy, Kind.DEVICE, ["gateway"], site.root), name, utc_now()).apply()


def test_a_bare_gateway_gets_its_device_ca_once(site, gateway, follow):
    for path in (site.config.device_ca / "ca.key", site.config.device_ca / "ca.crt"):
        path.unlink()
    assert gateway("ca-status")["installed"] is False
    assert follow() == ["the gateway has no device CA yet"]
    assert gateway("ca-status")["installed"] is True
    assert follow() == []


def test_a_gateway_keeps_both_cas_during_a_rollover_and_one_after_it(site, gateway, follow):
    old = gateway("ca-status")["spki_sha256"]
    move(site, "introduce")
    copies = [f"the gateway has no copy of the {name} CA to sign its CRL" for name in
              ("device-gateway", "incoming/device-gateway")]  # fmt: skip
    assert follow() == copies
    assert gateway("ca-status")["spki_sha256"] == old
    move(site, "switch")
    assert follow() == ["the gateway holds another device CA"]
    assert gateway("ca-status")["spki_sha256"] != old
    assert follow() == []
    move(site, "retire")
    assert f"the device CA {old[:16]} is retired" in follow()
    assert gateway("ca-status")["crl_only"] == []


def test_a_rollover_that_one_version_before_began_is_finished(site, gateway, follow):
    old = gateway("ca-status")["spki_sha256"]
    move(site, "introduce")
    follow()
    (site.config.device_ca / "crl-only").rename(site.config.device_ca / "beside")
    assert follow() == []
    assert len(gateway("ca-status")["beside"]) == 2
    move(site, "switch")
    follow()
    gateway("sign-crl")
    assert site.config.device_crl.read_bytes().count(b"BEGIN") == 2
    move(site, "retire")
    assert f"the device CA {old[:16]} is retired" in follow()
    assert not list((site.config.device_ca / "beside").rglob("*.key"))
    assert not list((site.config.device_ca / "crl-only").rglob("*.key"))


def test_a_gateway_of_one_version_before_is_asked_in_its_words(site):
    move(site, "introduce")
    held = {"installed": False, "beside": []}
    assert next(step.command for step in plan_steps(site.hierarchy, "gateway", held)) == ("install-ca", "--beside")
    held = {"installed": False, "crl_only": [], "beside": []}
    assert next(step.command for step in plan_steps(site.hierarchy, "gateway", held)) == ("install-ca", "--crl-only")


def test_a_gateway_that_has_missed_a_switch_gets_copies_before_what_replaces_its_ca(site, follow):
    move(site, "introduce")
    move(site, "switch")
    # the gateway would refuse to replace a CA of which it keeps no copy
    assert [reason.split(" to sign")[0] for reason in follow()] == [
        "the gateway has no copy of the device-gateway CA",
        "the gateway has no copy of the outgoing/device-gateway CA",
        "the gateway holds another device CA",
    ]


def test_only_force_is_handed_on_to_what_retires(site, gateway, follow):
    move(site, "introduce")
    follow()
    move(site, "switch")
    follow()
    move(site, "retire")
    held = gateway("ca-status")
    assert {step.command[:-1] for step in plan_steps(site.hierarchy, "gateway", held)} == {("retire-ca",)}
    forced = plan_steps(site.hierarchy, "gateway", held, force=True)
    assert {step.command[:-1] for step in forced} == {("retire-ca", "--force")}


def test_a_device_ca_that_was_not_made_is_refused_unless_the_run_only_pretends(site):
    with pytest.raises(StateError, match=r"there is no .*device-second/ca\.crt: run "):
        plan_steps(site.hierarchy, "second", NOTHING_HELD)
    (step,) = plan_steps(site.hierarchy, "second", NOTHING_HELD, foreseen=True)
    assert step.reason == "the gateway has no device CA yet"
