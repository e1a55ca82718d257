"""`fleetmint audit`: nothing lost, doubled or left lying about."""

import base64
import json
import shlex
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.ca.leaves import plan_client
from fleetmint.ledger import open_ledger
from fleetmint.ledger.factory import Unit
from fleetmint.site import early
from fleetmint.site.audit import gateway_findings
from fleetmint.site.state import Site
from fleetmint.x509 import keys, revocation
from fleetmint.x509.authority import pem


@pytest.fixture
def found(fleetmint):
    """What the audit finds: the same for a person as for a program, and told by the exit code."""

    def run(*arguments) -> list[str]:
        text, machine = fleetmint("audit", *arguments), fleetmint("audit", *arguments, "--json")["findings"]
        assert text.exit_code == bool(machine)
        for each in machine:
            assert each["what"] in text.stdout
            assert each["remedy"] in text.stdout
        return [each["what"] for each in machine]

    return run


def test_a_site_after_ordinary_work_has_no_findings(found, fleetmint):
    assert found() == []
    assert "2 identities checked: nothing found" in fleetmint("audit").stdout


def test_a_private_key_outside_its_place_is_found_whatever_it_is_called(found, state):
    (state / "batches/first/notes.txt").write_bytes(b"for later\n" + keys.plain_pem(keys.new_key()))
    (what,) = (each for each in found() if "private key" in each)
    assert "notes.txt" in what


def test_a_key_of_a_ca_that_is_not_encrypted_is_found(found, state):
    (state / "ca/factory/ca.key").write_bytes(keys.plain_pem(keys.new_key()))
    assert found() == [f"the key of a CA in {state}/ca/factory/ca.key is not encrypted"]


@pytest.mark.parametrize("place", ["issued/operators/bench@test.key", "ca/root/ca.key", "ledger.sqlite", "ca"])
def test_what_others_may_read_is_found(found, state, place):
    (state / place).chmod(0o755)
    assert len(found()) == 1
    assert str(state / place) in found()[0]


def test_ssh_keys_and_large_files_are_no_business_of_ours(found, state):
    (state / "ssh_key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (state / "flash.bin").write_bytes(bytes(1 << 20) + b"PRIVATE KEY-----")
    assert found() == []


def test_batch_files_that_lost_a_device_are_found(found, state):
    path = state / "batches/first/registration.json"
    document = json.loads(path.read_text())
    del document["devices"][1]
    path.write_text(json.dumps(document))
    assert found() == ["the files of the batch first and the ledger differ in lamp-000002"]
    path.write_text("{")
    assert found() == [f"{path} is damaged"]


def test_a_lost_ledger_is_found_and_an_empty_site_is_fine(found, state):
    for path in state.glob("ledger.sqlite*"):
        path.unlink()
    assert found() == [f"there are batches in {state} and no ledger"]


def test_a_damaged_ledger_is_told_with_its_remedy(fleetmint, state, refused):
    with (state / "ledger.sqlite").open("r+b") as file:
        file.write(b"this is no database")
    refused(fleetmint("audit"), "restore the latest backup")


def test_a_ledger_elsewhere_is_named_by_its_url(found, state, tmp_path):
    (state / "ledger.sqlite").rename(tmp_path / "elsewhere.sqlite")
    assert found("--ledger", f"sqlite:///{tmp_path}/elsewhere.sqlite") == []
    engine = open_ledger(f"sqlite:///{tmp_path}/elsewhere.sqlite")
    with engine.connect() as connection:
        connection.exec_driver_sql("update events set actor = 'nobody'")
        connection.exec_driver_sql("commit")
    engine.dispose()
    assert len(found("--ledger", f"sqlite:///{tmp_path}/elsewhere.sqlite")) == 1


@pytest.fixture
def elsewhere(hierarchy, state):
    """The site with its CAs in another place, as `fleet_ca_dir` says."""
    place = state.parent / f"{state.name}-cas"
    hierarchy.directory.rename(place)
    site = json.loads((state / "site.json").read_text())
    site["ca"]["directory"] = str(place)
    (state / "site.json").write_text(json.dumps(site))
    return place


def test_cas_elsewhere_are_looked_at_where_they_are(found, elsewhere, state, now):
    assert found() == []
    (elsewhere / "factory/ca.key").write_bytes(keys.plain_pem(keys.new_key()))
    (elsewhere / "operator/ca.key").write_bytes(b"")
    elsewhere.chmod(0o755)
    assert found() == [
        f"others may look into {elsewhere}",
        f"the key of a CA in {elsewhere}/factory/ca.key is not encrypted",
        f"{elsewhere}/operator/ca.key is empty",
    ]
    early_by = now - timedelta(days=90)
    assert any(each.what.startswith(f"{elsewhere}/root/ca.crt") for each in early.findings(Site(state), early_by))


def test_a_key_that_stayed_when_the_cas_went_is_out_of_place(found, elsewhere, state):
    (state / "ca/factory").mkdir(parents=True, mode=0o700)
    (state / "ca/factory/ca.key").write_bytes((elsewhere / "factory/ca.key").read_bytes())
    (state / "ca/factory/ca.key").chmod(0o600)
    assert found() == [f"there is a private key in {state}/ca/factory/ca.key, where none belongs"]


def test_a_state_that_is_named_from_where_one_stands_is_looked_at_alike(found, state, monkeypatch):
    monkeypatch.chdir(state.parent)
    assert found("--state", state.name) == []


def test_a_damaged_key_of_the_root_on_its_medium_is_found(found, hierarchy, state, tmp_path):
    (tmp_path / "medium").mkdir(mode=0o700)
    (hierarchy.directory / "root/ca.key").rename(tmp_path / "medium/ca.key")
    site = json.loads((state / "site.json").read_text())
    site["ca"]["root_directory"] = str(tmp_path / "medium")
    (state / "site.json").write_text(json.dumps(site))
    (tmp_path / "medium/ca.key").write_bytes(b"")
    assert found() == [f"{tmp_path}/medium/ca.key is empty"]


def unit(device, state, mac=None, now=None):
    return Unit(device, "lamps-1", "device", state, mac, registered_at=now)


def row(device, status="active", mac=None, batch="lamps-1"):
    return {"device": device, "batch": batch, "status": status, "mac": mac}


def test_a_gateway_that_was_told_everything_has_no_findings(now):
    units = [unit("lamp-000001", "burned", "m1", now), unit("lamp-000002", "returned", "m2", now),
             unit("lamp-000003", "planned", now=now), unit("lamp-000004", "planned")]  # fmt: skip
    rows = [
        row("lamp-000001", mac="m1"),
        row("lamp-000002", "revoked"),
        row("lamp-000003", "registered"),
        row("bulb-1", batch="x"),
    ]
    assert gateway_findings(units, rows) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "lamp-000001 was registered, and the gateway does not know it: `fleetmint batch register lamps-1`"),
        ([row("lamp-000001")], "the gateway says none: `fleetmint batch handover lamps-1`"),
        ([row("lamp-000001", mac="m9")], "is the board m1, and the gateway says m9"),
        ([row("lamp-000001", mac="m1"), row("lamp-000009")], "the gateway knows lamp-000009"),
    ],
)
def test_what_the_gateway_was_not_told_is_found(now, rows, words):
    findings = gateway_findings([unit("lamp-000001", "burned", "m1", now)], rows)
    assert len(findings) == 1
    assert words in str(findings[0])


def test_a_returned_board_that_the_gateway_still_lets_in_is_found(now):
    (finding,) = gateway_findings([unit("lamp-000001", "returned", "m1", now)], [row("lamp-000001", mac="m1")])
    assert "still lets it in" in finding.what


@pytest.mark.parametrize("known", [row("lamp-000001", "registered", "m1"), row("lamp-000001", "active")])
def test_a_ledger_that_is_older_than_what_was_burned_is_found(now, known):
    (finding,) = gateway_findings([unit("lamp-000001", "planned", now=now)], [known])
    assert "would give this identity out twice" in finding.what
    assert "restore a later backup" in finding.remedy


def test_a_machine_that_has_enrolled_was_never_burned_and_is_no_finding(now):
    waiting, known = unit("lamp-000001", "planned", now=now), row("lamp-000001", "active")
    assert gateway_findings([waiting], [known], [waiting.batch]) == []
    (finding,) = gateway_findings([waiting], [{**known, "mac": "m1"}], [waiting.batch])
    assert "would give this identity out twice" in finding.what


def test_a_factory_certificate_that_waits_for_its_board_is_no_finding(now):
    waiting = Unit("lamp-000001", "lamps-1", "factory", "planned", registered_at=now)
    assert gateway_findings([waiting], [row("lamp-000001", "active")]) == []


def test_batches_of_other_stations_on_a_shared_ledger_are_for_those_to_compare(found, state):
    (state / "batches/first").rename(state / "elsewhere")
    assert found("--ask-gateway") == []


def test_what_a_clock_that_ran_ahead_signed_is_found_with_what_makes_it_anew(state, hierarchy, now):
    ahead = now + timedelta(days=90)
    assert early.findings(Site(state), now) == []
    plan_client(hierarchy, "operator", "carol@test", state / "issued/operators", ahead).apply()
    server, factory = hierarchy.authority("server"), hierarchy.authority("factory")
    leaf = server.issue("server", keys.new_key().public_key(), "gateway", now=ahead, sans=["gateway.local"])
    (state / "issued/gateway/nginx.crt").write_bytes(pem(leaf, server.certificate))
    for name in ("root", "operator", "factory"):
        crl = revocation.build_crl(hierarchy.authority(name), [], number=7, now=ahead, lifetime=timedelta(days=30))
        (state / "ca" / name / "crl.pem").write_bytes(revocation.crl_pem(crl))
    registration = state / "batches/first/registration.json"
    document = json.loads(registration.read_text())
    row = next(row for row in document["devices"] if "certificate" in row)
    leaf = factory.issue("factory-device", keys.new_key().public_key(), row["device"], now=ahead)
    row["certificate"] = base64.b64encode(leaf.public_bytes(Encoding.DER)).decode()
    registration.write_text(json.dumps(document))
    remedies = {each.what.split(" begins")[0]: each.remedy for each in early.findings(Site(state), now)}
    assert {what.replace(str(state), "STATE"): word for what, word in _words(remedies).items()} == {
        "STATE/ca/root/crl.pem": "root's key",
        "STATE/ca/operator/crl.pem": "ca.yml",
        "STATE/ca/factory/crl.pem": "ca.yml",
        "STATE/issued/gateway/nginx.crt": "gateway.yml",
        "STATE/issued/operators/carol@test.crt": "operator add carol@test",
        f"the factory's certificate of {row['device']}": f"token new {row['device']}",
    }
    for remedy in remedies.values():  # or preflight would refuse the play for the very thing that it is to mend
        assert remedy.count("ansible-playbook") == remedy.count("preflight_clock_is_right=true")
    assert early.findings(Site(state), ahead + timedelta(minutes=1)) == []


def _words(remedies: dict[str, str]) -> dict[str, str]:
    """Each remedy by the first of these words that it has."""
    words = ("root's key", "operator add carol@test", "token new lamp-000002", "ca.yml", "gateway.yml")
    return {what: next(word for word in words if word in remedy) for what, remedy in remedies.items()}


def test_a_ca_of_the_future_is_found(state, now):
    found = {
        each.what.split(" begins")[0]: each.remedy for each in early.findings(Site(state), now - timedelta(days=90))
    }
    assert "ca_rollover=server" in found[f"{state}/ca/server/ca.crt"]
    assert "nothing takes its place" in found[f"{state}/ca/root/ca.crt"]


def test_the_command_looks_for_what_begins_in_the_future(found, state, hierarchy, now):
    plan_client(hierarchy, "operator", "carol@test", state / "issued/operators", now + timedelta(days=90)).apply()
    (what,) = found()
    assert "carol@test.crt begins on" in what


def test_the_command_that_is_named_renews_a_certificate_of_either_kind(found, fleetmint, state, hierarchy, now):
    ahead = now + timedelta(days=90)
    for name, profile in (("carol@test", "operator"), ("phone@test", "operator-rsa")):
        plan_client(hierarchy, profile, name, state / "issued/operators", ahead).apply()
    for each in early.findings(Site(state), now):
        words = shlex.split(each.remedy.split("`")[1])
        assert fleetmint(*words[1:]).exit_code == 0
    assert found() == []
