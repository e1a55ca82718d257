"""A gateway while its device CA is replaced: two CAs, two lists, one that issues."""

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509
from sqlalchemy import update

from fleetmint.ca.gateway_files import gateway_file
from fleetmint.ca.identifier import CaId, Kind
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.ca.store import CaStore
from fleetmint.cli import root
from fleetmint.errors import PublishError, StateError
from fleetmint.gateway import device_ca
from fleetmint.gateway.audit import findings
from fleetmint.gateway.crl_files import read_bundle, read_lists
from fleetmint.ledger.schema import certificates
from fleetmint.x509 import compat, keys, revocation
from fleetmint.x509.authority import Authority, pem
from fleetmint.x509.chain import issued_by
from tests.support.gateway_site import environ, make_csr, new_key

DEVICES = "devices"


@pytest.fixture
def gateway(site, monkeypatch):
    """Run a command; raise what it raises, return the object it printed."""
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))

    def run(*arguments, data=b""):
        result = CliRunner().invoke(root, ["gateway", *arguments, "--json"], input=data, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def roll(site, gateway, now):
    """Make a move on the controller, and bring to the gateway what follows, as the play does."""

    def follow(move):
        plan_move(Rollover(site.hierarchy, Kind.DEVICE, ["gateway"], site.root), move, now).apply()
        ca = site.hierarchy.directory
        for name in ("device", "factory"):
            (site.config.trusted(name)).write_bytes(gateway_file(ca, "gateway", name))
        names = CaStore(ca).generations(CaId.parse("device-gateway"))
        if len(names) > 1:
            for each in names:
                gateway("install-ca", "--crl-only", data=ca_pem(site.hierarchy.authority(each)))
        gateway("install-ca", data=ca_pem(site.hierarchy.authority("device-gateway")))

    return follow


@pytest.fixture
def refused(site):
    """Run a command that is refused, and return why."""

    def run(*arguments, data=b"") -> str:
        result = CliRunner().invoke(root, ["gateway", *arguments], input=data)
        assert result.exit_code == 1
        return result.output

    return run


def ca_pem(authority) -> bytes:
    return pem(authority.certificate) + keys.plain_pem(authority.key)


def spki(authority) -> str:
    return keys.spki_sha256(authority.key.public_key()).hex()


@pytest.fixture
def enrol(site, client):
    def run(device) -> x509.Certificate:
        token = site.register(datetime.now(UTC).replace(microsecond=0), device)[device]
        body = {"device": device, "token": token, "csr": base64.b64encode(make_csr(new_key())).decode()}
        answer = client.post("/v1/enrol", json=body, environ_base=environ(DEVICES))
        assert answer.status_code == 200, answer.json
        return x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))

    return run


def lists(site) -> dict[str, set[int]]:
    """What each list of the device CAs revokes, by the name of its CA."""
    return {
        crl.issuer.rfc4514_string().partition(",")[0].removeprefix("CN="): {row.serial_number for row in crl}
        for crl in read_lists(site.config.device_crl, "CRL")
    }


OLD, NEW = "test device CA of gateway", "test device CA of gateway G2"


def test_the_service_issues_with_the_new_ca_without_a_restart_and_knows_devices_of_both(site, client, enrol, roll):
    old_ca = site.device_ca
    old = enrol("lamp-000001")
    roll("introduce")
    during = enrol("lamp-000002")
    roll("switch")
    new = enrol("lamp-000003")
    assert [issued_by(leaf, old_ca.certificate) for leaf in (old, during, new)] == [True, True, False]
    assert issued_by(new, site.device_ca.certificate)
    for leaf in (old, during, new):
        assert client.get("/", environ_base=environ(DEVICES, leaf)).status_code == 200


def test_a_retry_of_an_enrolment_before_the_switch_gets_its_certificate_after_it(site, client, roll, now):
    token = site.register(now, "lamp-000001")["lamp-000001"]
    csr = base64.b64encode(make_csr(new_key())).decode()
    body = {"device": "lamp-000001", "token": token, "csr": csr}
    roll("introduce")
    first = client.post("/v1/enrol", json=body, environ_base=environ(DEVICES)).json
    roll("switch")
    again = client.post("/v1/enrol", json=body, environ_base=environ(DEVICES)).json
    assert again.pop("renew_at") <= f"{now:%Y-%m-%dT%H:%M:%SZ}" < first.pop("renew_at")
    assert again == first


def test_an_enrolment_that_was_cut_before_the_new_ca_was_made_is_finished_by_it(site, client, roll, now, monkeypatch):
    token = site.register(now, "lamp-000001")["lamp-000001"]
    csr = base64.b64encode(make_csr(new_key())).decode()
    body = {"device": "lamp-000001", "token": token, "csr": csr}

    def cut(*_arguments, **_options):
        raise StateError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Authority, "issue", cut)
        assert client.post("/v1/enrol", json=body, environ_base=environ(DEVICES)).status_code == 503
    with site.writing() as connection:
        connection.execute(update(certificates).values(reserved_at=now - timedelta(days=2)))
    roll("introduce")
    roll("switch")
    answer = client.post("/v1/enrol", json=body, environ_base=environ(DEVICES))
    assert answer.status_code == 200, answer.json
    leaf = x509.load_der_x509_certificate(base64.b64decode(answer.json["certificate"]))
    assert issued_by(leaf, site.device_ca.certificate)
    assert compat.not_before(leaf) >= compat.not_before(site.device_ca.certificate)


def test_each_list_holds_what_its_own_ca_signed_and_both_go_on_after_the_switch(site, gateway, enrol, roll):
    old = enrol("lamp-000001")
    roll("introduce")
    gateway("sign-crl")
    assert lists(site) == {OLD: set(), NEW: set()}
    roll("switch")
    new = enrol("lamp-000002")
    for device in ("lamp-000001", "lamp-000002"):
        gateway("revoke", device)
    gateway("sign-crl")
    assert lists(site) == {NEW: {new.serial_number}, OLD: {old.serial_number}}
    assert gateway("sign-crl")["changed"] is False


def test_only_the_list_that_changed_is_signed_again(site, gateway, enrol, roll):
    enrol("lamp-000001")
    roll("introduce")
    roll("switch")
    gateway("sign-crl")
    before = read_lists(site.config.device_crl, "CRL")
    gateway("revoke", "lamp-000001")
    gateway("sign-crl")
    after = read_lists(site.config.device_crl, "CRL")
    assert revocation.crl_pem(after[0]) == revocation.crl_pem(before[0])
    assert revocation.crl_number(after[1]) == revocation.crl_number(before[1]) + 1


def test_a_listener_without_the_list_of_a_ca_that_it_trusts_stays_as_it_was(site, gateway, roll, now):
    gateway("sign-crl")
    assert len(read_bundle(site.config, DEVICES, now=now).lists) == 3
    roll("introduce")
    with pytest.raises(PublishError, match="holds no CRL of test device CA of gateway G2"):
        read_bundle(site.config, DEVICES, now=now)
    gateway("sign-crl")
    assert list(read_bundle(site.config, DEVICES, now=now).lists) == ["root", "device", "device-2", "factory"]


def test_the_old_ca_is_not_removed_while_its_certificates_are_valid_unless_forced(site, gateway, refused, enrol, roll):
    old_ca, leaf = spki(site.device_ca), enrol("lamp-000001")
    roll("introduce")
    roll("switch")
    enrol("lamp-000002")
    end = f"{compat.not_after(leaf):%Y-%m-%d}"
    assert f"the old device CA has 1 valid certificate, the last until {end}" in refused("retire-ca", old_ca)
    assert gateway("retire-ca", "--force", "--check", old_ca)["changed"] is True
    assert old_ca in device_ca.crl_only(site.config)
    gateway("revoke", "lamp-000001")
    assert gateway("retire-ca", old_ca)["changed"] is True
    assert gateway("retire-ca", old_ca)["changed"] is False
    roll("retire")
    gateway("sign-crl")
    assert list(lists(site)) == [NEW]


def test_the_copy_of_the_ca_that_issues_is_removed_without_a_question(site, gateway, enrol, roll):
    roll("introduce")
    roll("switch")
    enrol("lamp-000001")
    mine = spki(site.device_ca)
    assert gateway("retire-ca", mine)["changed"] is True
    assert gateway("ca-status")["spki_sha256"] == mine


def test_another_ca_is_installed_only_when_the_old_one_is_kept_for_its_crl(site, gateway, refused, now):
    plan_move(Rollover(site.hierarchy, Kind.DEVICE, ["gateway"], site.root), "introduce", now).apply()
    new = ca_pem(site.hierarchy.authority("incoming/device-gateway"))
    assert "another device CA is installed" in refused("install-ca", data=new)
    gateway("install-ca", "--crl-only", data=new)
    assert "another device CA is installed" in refused("install-ca", data=new)
    gateway("install-ca", "--crl-only", data=ca_pem(site.device_ca))
    assert gateway("install-ca", data=new)["changed"] is True


def test_between_the_new_key_and_the_new_certificate_the_service_goes_on_with_the_old_ones(site, enrol, now):
    enrol("lamp-000001")
    plan_move(Rollover(site.hierarchy, Kind.DEVICE, ["gateway"], site.root), "introduce", now).apply()
    new = site.hierarchy.authority("incoming/device-gateway")
    key = site.config.device_ca / "ca.key"
    key.unlink()
    key.touch(0o600)
    key.write_bytes(keys.plain_pem(new.key))
    assert issued_by(enrol("lamp-000002"), site.device_ca.certificate)
    (site.config.device_ca / "ca.crt").write_bytes(pem(new.certificate))
    assert issued_by(enrol("lamp-000003"), new.certificate)


def test_half_a_ca_for_its_crl_counts_as_none_and_is_installed_again(site, gateway, roll):
    roll("introduce")
    mine = spki(site.device_ca)
    (site.config.device_ca / "crl-only" / mine / "ca.crt").unlink()
    assert mine not in device_ca.crl_only(site.config)
    assert gateway("install-ca", "--crl-only", data=ca_pem(site.device_ca))["changed"] is True
    assert mine in device_ca.crl_only(site.config)


def test_what_a_power_cut_left_of_a_key_goes_with_the_ca_that_is_retired(site, gateway, roll):
    old = spki(site.device_ca)
    roll("introduce")
    roll("switch")
    place = site.config.device_ca / "crl-only" / old
    (place / ".ca.key.x1y2").write_bytes((place / "ca.key").read_bytes())
    roll("retire")
    gateway("retire-ca", old)
    assert not place.exists()


def test_no_copy_of_a_key_stays_when_it_is_over(site, gateway, roll):
    roll("introduce")
    roll("switch")
    for each in list(device_ca.crl_only(site.config)):
        gateway("retire-ca", each)
    assert not [path for path in site.config.device_ca.rglob("*") if path.is_file() and "crl-only" in path.parts]
    shutil.rmtree(site.config.device_ca / "crl-only")
    assert gateway("ca-status")["crl_only"] == []


def test_the_audit_has_no_findings_during_a_rollover_and_misses_the_list_of_either_ca(site, gateway, enrol, roll, now):
    enrol("lamp-000001")
    roll("introduce")
    roll("switch")
    gateway("revoke", "lamp-000001")
    gateway("sign-crl")
    with site.reading() as connection:
        assert findings(site.config, connection, now) == ()
        newer, _ = read_lists(site.config.device_crl, "CRL")
        site.config.device_crl.write_bytes(revocation.crl_pem(newer))
        assert "holds no CRL of test device CA of gateway" in str(findings(site.config, connection, now)[0])
