"""The commands of `fleetmint gateway`, as a play calls them."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleetmint.cli import root
from fleetmint.ledger.schema import VERSION
from fleetmint.x509 import keys, revocation
from fleetmint.x509.authority import Authority, pem, public_key_bytes, self_signed
from tests.support.gateway_site import certificate_entry, make_gateway_site, new_key, registration, token_entry

DUMPS = Path(__file__).parents[1] / "ledger" / "dumps"


@pytest.fixture
def site(tmp_path, tmp_path_factory):
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def gateway(site, monkeypatch):
    """Run a command and return its result; with `--json` among the arguments, the object it printed."""
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))

    def run(*arguments, data=b""):
        result = CliRunner().invoke(root, ["gateway", *map(str, arguments)], input=data)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        if "--json" in arguments and result.exit_code == 0:
            return json.loads(result.stdout)
        return result

    return run


def refused(result, *words) -> None:
    """One sentence on stderr, nothing on stdout, exit code 1."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.fixture
def document(site, now):
    """A batch of one device with a token and one with a certificate."""
    factory = site.hierarchy.authority("factory")
    leaf = factory.issue("factory-device", new_key().public_key(), "lamp-000002", now=now)
    expires = now + timedelta(days=365)
    return registration([token_entry("lamp-000001", "a" * 32, expires), certificate_entry("lamp-000002", leaf)])


def ca_pem(authority) -> bytes:
    return pem(authority.certificate) + keys.plain_pem(authority.key)


def test_init_creates_the_ledger_once_and_for_its_owner_only(site, gateway):
    for path in site.root.glob("ledger.sqlite*"):
        path.unlink()
    made = {"changed": True, "migrated": False, "before": "", "version": VERSION}
    assert gateway("init", "--check", "--json") == made
    assert not list(site.root.glob("ledger.sqlite*"))
    assert gateway("init", "--json") == made
    assert gateway("init", "--json") == {"changed": False, "migrated": False, "before": VERSION, "version": VERSION}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in site.root.glob("ledger.sqlite*")}
    assert set(modes.values()) == {0o600}


def test_without_a_ledger_every_command_says_how_to_make_one(site, gateway):
    for path in site.root.glob("ledger.sqlite*"):
        path.unlink()
    refused(gateway("devices"), "fleetmint gateway init")
    refused(gateway("revoke", "lamp-000001"), "fleetmint gateway init")
    assert not list(site.root.glob("ledger.sqlite*"))


def put_ledger(path: Path, version: str) -> None:
    """An older ledger of this gateway."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DUMPS / f"{version}.sqlite.sql").read_text())
        connection.execute("update settings set value = 'test' where name = 'site'")
        connection.execute("update settings set value = 'gateway' where name = 'owner'")
        connection.commit()


def test_init_brings_an_older_ledger_up_to_date_and_keeps_it_as_it_was(site, gateway):
    path = site.root / "ledger.sqlite"
    put_ledger(path, "0002")
    before = path.read_bytes()
    found = {"changed": True, "migrated": True, "before": "0002", "version": VERSION}
    assert gateway("init", "--check", "--json") == found
    assert gateway("init", "--check").output == f"the ledger would be brought from version 0002 to {VERSION}\n"
    assert not list(site.root.glob("*.version-*"))
    result = gateway("init")
    assert result.stdout == f"the ledger was brought from version 0002 to {VERSION}\n"
    assert f"as it was before it is kept in {path}.version-0002" in result.stderr
    with closing(sqlite3.connect(path.with_name("ledger.sqlite.version-0002"))) as kept:
        dump = "\n".join(kept.iterdump())
    (site.root / "before").write_bytes(before)
    with closing(sqlite3.connect(site.root / "before")) as original:
        assert "\n".join(original.iterdump()) == dump
    assert [row["device"] for row in gateway("devices", "--json")["devices"]] == [
        "lamp-000001", "lamp-000002", "lamp-000005",
    ]  # fmt: skip
    assert gateway("init", "--json")["changed"] is False


def test_init_refuses_a_newer_ledger_also_when_it_only_looks(site, gateway):
    with closing(sqlite3.connect(site.root / "ledger.sqlite")) as connection:
        connection.execute("update alembic_version set version_num = '0917'")
        connection.commit()
    for words in (["init"], ["init", "--check"]):
        refused(gateway(*words), "version 0917", VERSION, "gateway.yml")


def test_whoever_opens_an_older_ledger_is_told_to_bring_it_up_to_date(site, gateway):
    put_ledger(site.root / "ledger.sqlite", "0004")
    for words in (["devices"], ["revoke", "lamp-000001"], ["audit"]):
        refused(gateway(*words), "version 0004", "fleetmint gateway init")


def test_the_ledger_of_another_gateway_is_refused(site, gateway):
    site.config_path.write_text(
        site.config_path.read_text().replace('gateway = "gateway"', 'gateway = "other-gateway"')
    )
    refused(gateway("init"), "'gateway'", "'other-gateway'")


def test_ca_status_tells_which_ca_is_installed(site, gateway):
    fingerprint = keys.spki_sha256(site.device_ca.key.public_key()).hex()
    found = gateway("ca-status", "--json")
    assert (found["installed"], found["spki_sha256"], found["crl_only"]) == (True, fingerprint, [])
    assert found["certificate_sha256"] == site.device_ca.certificate.fingerprint(hashes.SHA256()).hex()
    (site.config.device_ca / "ca.crt").unlink()
    assert gateway("ca-status", "--json")["installed"] is False
    assert gateway("ca-status", "--json")["spki_sha256"] is None


def test_install_ca_puts_key_and_certificate_in_place_once(site, gateway):
    for path in site.config.device_ca.iterdir():
        path.unlink()
    site.config.device_ca.rmdir()
    installed = gateway("install-ca", "--json", data=ca_pem(site.device_ca))
    assert installed["changed"] is True
    assert stat.S_IMODE(site.config.device_ca.stat().st_mode) == 0o700
    assert stat.S_IMODE((site.config.device_ca / "ca.key").stat().st_mode) == 0o400
    assert stat.S_IMODE((site.config.device_ca / "ca.crt").stat().st_mode) == 0o644
    assert gateway("install-ca", "--json", data=ca_pem(site.device_ca))["changed"] is False
    assert gateway("ca-status", "--json")["spki_sha256"] == installed["spki_sha256"]


def test_an_installation_that_was_cut_is_done_again(site, gateway):
    (site.config.device_ca / "ca.crt").write_bytes((site.config.trust / "factory.crt").read_bytes())
    assert gateway("ca-status", "--json")["installed"] is False
    assert gateway("install-ca", "--json", data=ca_pem(site.device_ca))["changed"] is True
    assert gateway("ca-status", "--json")["installed"] is True


def other_sites_device_ca(now):
    key, root = keys.new_key(), self_signed("other", "other root", keys.new_key("P-384"), now)
    return Authority(root.issue("device-ca", key.public_key(), "other device CA of gateway", now=now), key)


def test_the_option_of_one_version_before_is_taken_and_the_new_name_told(site, gateway):
    said = gateway("install-ca", "--beside", data=ca_pem(site.device_ca))
    assert said.exit_code == 0
    assert "--beside is called --crl-only now" in said.stderr
    status = gateway("ca-status", "--json")
    assert status["crl_only"] == status["beside"]
    assert len(status["crl_only"]) == 1


@pytest.mark.parametrize(
    ("what", "word"),
    [("root", "no device CA"), ("server", "no device CA"), ("operator", "no device CA"), ("mixed", "does not belong"),
     ("certificate only", "no CA"), ("key only", "no CA"), ("nothing", "no CA"), ("leaf", "no device CA"),
     ("other site", "belongs to the site 'other'")],
)  # fmt: skip
def test_only_a_device_ca_can_be_installed(site, gateway, now, what, word):
    device_ca = site.device_ca
    key = new_key()
    leaf = device_ca.issue("device", key.public_key(), "lamp-000001", now=now)
    data = {
        "mixed": lambda: pem(device_ca.certificate) + keys.plain_pem(new_key()),
        "certificate only": lambda: pem(device_ca.certificate),
        "key only": lambda: keys.plain_pem(device_ca.key),
        "nothing": lambda: b"",
        "leaf": lambda: pem(leaf) + keys.plain_pem(key),
        "other site": lambda: ca_pem(other_sites_device_ca(now)),
    }.get(what) or (lambda: ca_pem(site.hierarchy.authority(what)))
    before = (site.config.device_ca / "ca.key").read_bytes()
    result = gateway("install-ca", data=data())
    refused(result, word)
    assert "PRIVATE" not in result.output
    assert (site.config.device_ca / "ca.key").read_bytes() == before


def test_another_device_ca_needs_to_be_meant(site, gateway, now):
    key = new_key()
    certificate = site.hierarchy.authority("root").issue("device-ca", key.public_key(), "another", now=now)
    data = pem(certificate) + keys.plain_pem(key)
    refused(gateway("install-ca", data=data), "--replace")
    assert gateway("install-ca", "--replace", "--json", data=data)["changed"] is True


def test_importing_a_batch_twice_changes_nothing_the_second_time(gateway, document):
    predicted = gateway("import", "--check", "--json", data=document)
    assert gateway("devices", "--json") == {"devices": []}
    done = gateway("import", "--json", data=document)
    assert done == predicted
    assert done == {
        "changed": True,
        "added": 2,
        "replaced": 0,
        "unchanged": 0,
        "skipped": [],
        "kept": [],
        "actor": "command line",
    }
    again = gateway("import", "--json", data=document)
    assert again == done | {"changed": False, "added": 0, "unchanged": 2}


def test_a_document_that_is_none_is_refused(gateway):
    for data in (b"", b"[]", b"{}", b"[" * 100_000, registration([], site="other"), registration([], gateway="other")):
        refused(gateway("import", data=data))


def test_devices_lists_what_the_ledger_knows(gateway, document):
    gateway("import", data=document)
    first, second = gateway("devices", "--json")["devices"]
    assert first.items() >= {
        "device": "lamp-000001", "batch": "lamps-1", "status": "registered", "serial": None, "not_before": None,
        "not_after": None, "issuer": None, "mac": None, "result": None,
    }.items()  # fmt: skip
    assert first["token_expires"].endswith("Z")
    assert second["token_expires"] is None
    assert (second["device"], second["status"], second["issuer"]) == ("lamp-000002", "active", "factory")
    assert second["not_after"].endswith("Z")
    table = gateway("devices").stdout
    assert table.splitlines()[0].split() == list(first)
    assert "lamp-000002" in table


def test_revoking_a_device_says_what_is_revoked_and_by_whom(gateway, document):
    gateway("import", data=document)
    serial = gateway("devices", "--json")["devices"][1]["serial"]
    predicted = gateway("revoke", "lamp-000002", "--check", "--json")
    assert gateway("devices", "--json")["devices"][1]["status"] == "active"
    done = gateway("revoke", "lamp-000002", "--reason", "key_compromise", "--json")
    assert predicted == {"changed": True, "device": "lamp-000002", "serials": [serial], "issuers": ["factory"]}
    assert done | predicted == done
    # nothing publishes here, which is said
    assert (done["in_force"], done["unlisted"]) == (False, {"lamp-000002": [serial]})
    assert "publish.sock" in done["problems"][0]
    assert gateway("revoke", "lamp-000002", "--json") == done | {"changed": False}
    again = gateway("revoke", "lamp-000002")
    assert (again.exit_code, "not in force yet" in again.stderr) == (1, True)
    assert "lamp-000002 was revoked before" in again.stdout
    assert gateway("devices", "--json")["devices"][1]["status"] == "revoked"


def test_importing_does_not_revive_a_revoked_device(gateway, document):
    gateway("import", data=document)
    gateway("revoke", "lamp-000001")
    gateway("revoke", "lamp-000002")
    kept = gateway("import", "--json", data=document)
    assert kept["changed"] is False
    assert [entry["reason"] for entry in kept["skipped"]] == ["the device is revoked"] * 2


def test_revoking_an_unknown_device_is_refused(gateway):
    refused(gateway("revoke", "lamp-999999"), "lamp-999999", "fleetmint gateway devices")
    refused(gateway("revoke", "Lamp 1"), "device id")


def test_an_unknown_reason_is_wrong_usage(gateway):
    result = gateway("revoke", "lamp-000001", "--reason", "because")
    assert result.exit_code == 2
    assert "key_compromise" in result.stderr


def test_sign_crl_signs_once(site, gateway):
    assert gateway("sign-crl", "--check", "--json") == {"changed": True, "number": 1}
    assert not site.config.device_crl.exists()
    assert gateway("sign-crl", "--json") == {"changed": True, "number": 1}
    assert gateway("sign-crl", "--json") == {"changed": False, "number": 1}
    assert gateway("sign-crl", "--force", "--json") == {"changed": True, "number": 2}


def test_publish_prints_what_was_done_even_when_something_failed(site, gateway):
    gateway("sign-crl")
    result = gateway("publish", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["changed"] is True
    assert "cannot run" in result.stderr


@pytest.fixture
def brought(site, now):
    """What a play or a station brings: the factory CA's lists, one that revokes 7 and an older one that does not."""
    factory = site.hierarchy.authority("factory")
    (site.root / "systemctl").write_text("#!/bin/sh\necho inactive\n")
    (site.root / "systemctl").chmod(0o755)

    def lists(number, *serials):
        revoked = [revocation.Revoked(serial, now) for serial in serials]
        crl = revocation.build_crl(factory, revoked, number=number, now=now, lifetime=timedelta(days=365))
        return json.dumps({"lists": {"factory": revocation.crl_pem(crl).decode()}}).encode()

    return lists


def serials(path):
    found = x509.load_pem_x509_crl(path.read_bytes())
    return {entry.serial_number for entry in found}


@pytest.mark.parametrize("way", ["--lists", "--answer"])
def test_a_list_is_put_in_force_alike_whoever_brings_it(site, gateway, brought, way):
    gateway("sign-crl")
    path = site.config.crl("factory")
    before = path.read_bytes()
    if way == "--lists":
        assert gateway("publish", way, "--check", "--json", data=brought(5, 7))["changed"] is True
        assert path.read_bytes() == before
    assert gateway("publish", way, data=brought(5, 7)).exit_code == 0
    assert serials(path) == {7}
    assert b"".join(path.read_bytes().splitlines()) in b"".join(
        (site.config.nginx / "devices.crl.pem").read_bytes().splitlines()
    )
    kept = path.read_bytes()
    for bad, words in [
        (brought(4, 7, 8), "holds number 5"),
        (brought(6, 8), "does not revoke 7"),
        (b'{"lists": {"device": "x"}}', "lists are PEM by the name of their CA"),
        (b"garbage", "no JSON with the lists"),
    ]:
        said = gateway("publish", way, data=bad)
        if way == "--answer":
            assert words in json.loads(said.stdout)["problems"][0]
        else:
            assert said.exit_code == 1
            assert words in said.stderr
        assert path.read_bytes() == kept


def test_whose_sessions_were_ended_is_also_said_by_the_name_of_one_version_before(site, gateway, brought):
    gateway("sign-crl")
    done = gateway("publish", "--json", "--lists", data=brought(5, 7))
    assert (done["disconnected"], done["kicked"]) == ([], [])


def test_the_key_of_one_version_before_is_read_and_the_new_name_told(site, gateway):
    text = site.config_path.read_text()
    site.config_path.write_text(text.replace("disconnect_socket", "kick_socket"))
    said = gateway("devices")
    assert said.exit_code == 0
    assert "kick_socket is called disconnect_socket now" in said.stderr


def test_request_makes_a_key_once_and_never_prints_it(gateway, openssl, tmp_path):
    path = tmp_path / "host.key"
    first = gateway("request", "gateway.local", "--san", "gateway.local", "--san", "192.0.2.7", "--key", path)
    key = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in first.output
    text = openssl("req", "-noout", "-verify", "-text", data=first.stdout.encode()).stdout.decode()
    assert "DNS:gateway.local, IP Address:192.0.2.7" in text
    assert "CN = gateway.local" in text
    assert "ASN1 OID: prime256v1" in text
    second = gateway("request", "gateway.local", "--key", path, "--json")
    assert second["changed"] is False
    assert path.read_bytes() == key
    csrs = [x509.load_pem_x509_csr(csr.encode()) for csr in (first.stdout, second["csr"])]
    assert public_key_bytes(csrs[0]) == public_key_bytes(csrs[1])


def test_a_request_for_no_host_name_is_refused_before_a_key_is_made(gateway, tmp_path):
    path = tmp_path / "host.key"
    for name in ("a b", "", "*.local", "-x", "a" * 65, "ümlaut", "a..b", "a\n"):
        refused(gateway("request", "--key", path, "--", name), "neither a host name nor an IP address")
    assert not path.exists()


def test_a_key_that_is_none_is_left_alone(gateway, tmp_path):
    path = tmp_path / "host.key"
    path.write_text("garbage")
    refused(gateway("request", "gateway.local", "--key", path), "host.key")
    assert path.read_text() == "garbage"


@pytest.mark.parametrize(
    ("text", "word"),
    [(None, "cannot read configuration"), ("site = ", "is not TOML"), ('gateway = "gateway"', "no 'site'"),
     ('site = "test"\ngateway = "gateway"\ncolour = "red"', "colour"), ('site = "test"\ngateway = 3', "text in quotes"),
     ('site = "T"\ngateway = "gateway"', "site name"), ('site = "test"\ngateway = "gateway"\nledger = "x"', "URL"),
     ('site = "test"\ngateway = "gateway"\nledger = "sqlite://"', "keeps nothing"),
     ('site = "test"\ngateway = "gateway"\nledger = "nosuchthing://"', "URL")],
)  # fmt: skip
def test_a_configuration_that_is_wrong_is_named(site, gateway, text, word):
    site.config_path.unlink()
    if text is not None:
        site.config_path.write_text(text)
    refused(gateway("devices"), word)


def test_the_commands_need_only_the_libraries_of_the_gateway(site):
    """A fresh interpreter in which everything else that the project uses cannot be imported."""
    script = (
        "import sys\n"
        "for name in ('ansible', 'esptool', 'flask', 'paho', 'rich', 'littlefs', 'jinja2', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        "from fleetmint.cli import main\n"
        "sys.argv = ['fleetmint', 'gateway', 'devices', '--json']\n"
        "main()\n"
    )
    environment = os.environ | {"FLEETMINT_CONFIG": str(site.config_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"devices": []}


def test_every_command_explains_itself(gateway):
    listed = gateway("--help").stdout
    for name in ("ca-status", "install-ca", "init", "import", "devices", "revoke", "sign-crl", "publish", "request"):
        assert name in listed
        assert gateway(name, "--help").exit_code == 0


def test_the_look_at_what_ends_fails_while_something_is_due_and_leaves_it_for_the_broker(gateway, site):
    said = gateway("expiries", "--tell")  # nobody has signed a list for the device CA here
    assert said.exit_code == 1
    assert "device.pem" in said.stdout
    left = json.loads((site.config.alerts / "due.json").read_text())
    assert left["gateway"] == "gateway"
    assert "device.pem" in left["due"][0]["what"]
    assert gateway("sign-crl").exit_code == 0
    again = gateway("expiries", "--tell")
    assert (again.exit_code, again.stdout) == (0, "nothing is due\n")
    assert json.loads((site.config.alerts / "due.json").read_text())["due"] == []


def test_what_ends_is_listed_the_earliest_first_and_a_ledger_that_is_away_hides_nothing_else(gateway, site):
    gateway("sign-crl")
    ends = [row["ends"] for row in gateway("expiries", "--json")["expiries"]]
    assert ends == sorted(ends)
    assert "CRL test device CA of gateway" in gateway("expiries").stdout
    (site.root / "ledger.sqlite").unlink()
    said = gateway("expiries")
    assert said.exit_code == 1
    assert "CRL test device CA of gateway" in said.stdout
    assert "ledger.sqlite" in said.stdout


def test_health_is_what_the_service_says_and_why_when_it_is_not(site, gateway, monkeypatch):
    said = {"status": 200}
    monkeypatch.setattr("fleetmint.gateway.service_socket._ask", lambda path, route, seconds: said["status"])
    assert gateway("health").stdout == "ok\n"
    (site.root / "ledger.sqlite").unlink()
    said["status"] = 503
    refused(gateway("health"), "no device could enrol here", "ledger.sqlite is not there")
    assert gateway("health", "--loaded", "--json") == {"changed": False, "status": 503}


def test_a_service_that_has_not_loaded_is_told_with_where_to_look(gateway):
    refused(gateway("health", "--loaded"), "does not answer", "its application did not load", "journalctl -u fleetmint")
