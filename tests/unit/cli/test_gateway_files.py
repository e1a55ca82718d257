"""Signed files on a stick: what a gateway takes from one, and what it refuses as a whole."""

import base64
import json
import subprocess
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.gateway_files import gateway_file
from fleetmint.ca.identifier import Kind
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.cli import root
from fleetmint.documents import signature
from fleetmint.errors import StateError
from fleetmint.gateway.config import load_config
from fleetmint.ledger.devices import list_devices
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import load_certificate, load_certificates, new_serial, self_signed
from fleetmint.x509.chain import issued_by
from fleetmint.x509.profiles import PROFILES
from tests.support.gateway_site import board, handover, make_gateway_site, new_key, registration, token_entry

MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def site(tmp_path, tmp_path_factory):
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def bring(site, tmp_path, monkeypatch):
    """Bring a file to the gateway; return what the command said, as an object if it was taken."""
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))

    def run(data: bytes, *options):
        path = tmp_path / "from-the-bench.json"
        path.write_bytes(data)
        result = CliRunner().invoke(root, ["gateway", "import", str(path), "--json", *options])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return json.loads(result.stdout) if result.exit_code == 0 else result

    return run


@pytest.fixture
def signer(site, now):
    """Make somebody who signs documents: a function from a document to a file."""

    def make(name="bench@test", profile="station", authority=None, at=now):
        key = new_key()
        issuer = authority or site.hierarchy.authority("operator")
        certificate = issuer.issue(profile, key.public_key(), name, now=at)

        def sign(document: bytes) -> bytes:
            return signature.sign(document, certificate, key)

        sign.certificate = certificate
        return sign

    return make


@pytest.fixture
def document(now):
    return registration([token_entry("lamp-000001", "t", now + timedelta(days=30))])


@pytest.fixture
def devices(site):
    def look():
        with site.reading() as connection:
            return {each.device: (each.status, each.mac) for each in list_devices(connection)}

    return look


def refused(result, words):
    assert result.exit_code == 1, result
    assert len(result.stderr.strip().splitlines()) == 1
    assert words in result.stderr


def test_a_file_is_taken_once_in_the_name_of_its_station(bring, signer, document, devices, now, site):
    sign = signer()
    assert bring(sign(document), "--check")["added"] == 1
    assert devices() == {}
    done = bring(sign(document))
    assert (done["changed"], done["added"], done["actor"]) == (True, 1, "bench@test")
    boards = sign(handover([board("lamp-000001", MAC, now)]))
    assert bring(boards)["updated"] == 1
    for data in (sign(document), boards):
        assert bring(data)["changed"] is False
    assert devices() == {"lamp-000001": ("registered", MAC)}
    assert site.findings() == ()


def test_a_signed_file_on_stdin_is_judged_like_one_that_is_named(signer, document, site, monkeypatch):
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))

    def bring(data: bytes):
        return CliRunner().invoke(root, ["gateway", "import", "-"], input=data)

    refused(bring(document), "this is no whole signed file")
    assert bring(signer()(document)).stdout.startswith("1 added")


def test_an_older_file_revives_neither_a_token_nor_a_device(bring, signer, document, devices, now, site):
    sign = signer()
    first = sign(document)
    boards = sign(handover([board("lamp-000001", MAC, now)]))
    bring(first)
    bring(boards)
    bring(sign(handover([board("lamp-000001", MAC, now + timedelta(seconds=1), "returned")])))
    for data in (first, boards):
        assert bring(data)["changed"] is False
    assert devices() == {"lamp-000001": ("revoked", MAC)}
    assert site.findings() == ()


def test_openssl_finds_the_signature_good_and_a_changed_payload_bad(signer, document, tmp_path):
    parts = {name: base64.b64decode(text) for name, text in json.loads(signer()(document)).items() if name != "format"}
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    public = ["openssl", "x509", "-inform", "DER", "-in", "certificate", "-pubkey", "-noout", "-out", "key"]
    subprocess.run(public, cwd=tmp_path, check=True)
    check = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "signature", "payload"]
    assert b"Verified OK" in subprocess.run(check, cwd=tmp_path, capture_output=True, check=True).stdout
    assert (tmp_path / "payload").read_bytes() == document
    (tmp_path / "payload").write_bytes(document.replace(b"lamp-000001", b"lamp-000002"))
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_a_file_that_was_cut_short_or_damaged_is_refused(bring, signer, document, devices):
    whole = signer()(document)
    for length in (0, 1, 200, len(whole) // 2, len(whole) - 10):
        refused(bring(whole[:length]), "damaged or cut short")
    for part in ("payload", "certificate", "signature"):
        broken = json.loads(whole) | {part: "AA=="}
        assert bring(json.dumps(broken).encode()).exit_code == 1
    refused(bring(json.dumps(json.loads(whole) | {"more": ""}).encode()), "no whole signed file")
    assert devices() == {}


def test_a_file_that_was_changed_is_refused(bring, signer, document, devices):
    content = json.loads(signer()(document))
    payload = base64.b64decode(content["payload"]).replace(b"lamp-000001", b"lamp-000002")
    content["payload"] = base64.b64encode(payload).decode()
    refused(bring(json.dumps(content).encode()), "is not what was signed")
    # somebody else's certificate on the station's signature
    content = json.loads(signer()(document)) | {"certificate": json.loads(signer()(document))["certificate"]}
    refused(bring(json.dumps(content).encode()), "is not what was signed")
    assert devices() == {}


def test_a_document_without_a_signature_is_refused_as_a_file(bring, document, devices):
    refused(bring(document), "no whole signed file")
    assert devices() == {}


def test_nobody_but_the_station_signs(bring, signer, site, document, devices, now):
    stranger = self_signed("test", "stranger", new_key(), now)
    for sign, words in [
        (signer("alice@test", "operator"), "alice@test is no station of this gateway"),
        (signer("wall@test", "dashboard"), "wall@test is no station of this gateway"),
        (signer(authority=stranger), "no certificate of this site's operator CA"),
        (signer("lamp-000001", "device", site.device_ca), "no certificate of this site's operator CA"),
    ]:
        refused(bring(sign(document)), words)
    assert devices() == {}


def test_a_revoked_station_signs_no_more(bring, signer, site, document, devices, now):
    sign = signer()
    plan_authority_crl(site.hierarchy, "operator", [sign.certificate.serial_number], now, "key_compromise").apply()
    crl = (site.hierarchy.directory / "operator/crl.pem").read_bytes()
    (site.config.crls / "operator.pem").write_bytes(crl)
    refused(bring(sign(document)), "the certificate of bench@test is revoked")
    assert bring(signer()(document))["added"] == 1


def test_under_a_revoked_operator_ca_nobody_signs(bring, signer, site, document, devices, now):
    authority = site.hierarchy.authority("operator").certificate
    plan_authority_crl(site.hierarchy, "root", [authority.serial_number], now, "key_compromise").apply()
    (site.config.crls / "root.pem").write_bytes((site.hierarchy.directory / "root/crl.pem").read_bytes())
    refused(bring(signer()(document)), "operator CA is revoked")
    assert devices() == {}


@pytest.mark.parametrize("revoked_under", ["root", "outgoing/root"])
def test_while_a_root_is_replaced_the_lists_of_both_say_who_is_revoked(
    bring, signer, site, document, devices, now, revoked_under
):
    for move in ("introduce", "switch"):
        plan_move(Rollover(site.hierarchy, Kind.ROOT, ["gateway"], site.root), move, now).apply()
    ca = site.hierarchy.directory
    for file, target in {
        "roots": site.config.trusted("root"),
        "operator": site.config.trusted("operator"),
        "root.crl": site.config.crl("root"),
    }.items():
        target.write_bytes(gateway_file(ca, "gateway", file))
    assert bring(signer()(document), "--check")["added"] == 1
    both = load_certificates(site.config.trusted("operator"))
    root_certificate = load_certificate(ca / revoked_under / "ca.crt")
    serial = next(each.serial_number for each in both if issued_by(each, root_certificate))
    plan_authority_crl(site.hierarchy, revoked_under, [serial], now).apply()
    site.config.crl("root").write_bytes(gateway_file(ca, "gateway", "root.crl"))
    refused(bring(signer()(document)), "operator CA is revoked")
    site.config.crl("root").write_bytes((ca / "root/crl.pem").read_bytes())
    refused(bring(signer()(document)), "cannot be told")
    assert devices() == {}


def test_a_certificate_of_another_kind_signs_nothing_though_its_ca_is_the_right_one(
    bring, site, document, devices, now
):
    authority = site.hierarchy.authority("operator")
    for subject in (names.subject("test", "devices", "bench@test"), names.subject("other", "operators", "bench@test")):
        key = new_key()
        forged = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(new_serial())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=30))
            .sign(authority.key, hashes.SHA256())
        )
        refused(bring(signature.sign(document, forged, key)), "is no operator of test")
    assert devices() == {}


def test_a_key_that_no_station_has_signs_nothing(bring, document, devices, now):
    key = keys.new_key("P-384")
    refused(bring(signature.sign(document, self_signed("test", "x", key, now).certificate, key)), "not P-256")
    assert devices() == {}


def test_without_the_list_that_tells_who_is_revoked_nobody_signs(bring, signer, site, document, devices):
    (site.config.crls / "operator.pem").write_bytes((site.config.crls / "factory.pem").read_bytes())
    refused(bring(signer()(document)), "cannot be told")
    (site.config.crls / "operator.pem").unlink()
    refused(bring(signer()(document)), "cannot be told")
    assert devices() == {}


def test_a_certificate_that_has_ended_signs_no_more(bring, signer, site, document, devices, now, monkeypatch):
    sign = signer()
    monkeypatch.setattr(
        "fleetmint.cli.gateway.ledger.utc_now", lambda: now + PROFILES["station"].lifetime + timedelta(days=1)
    )
    refused(bring(sign(document)), "sign with the station's new one")
    assert devices() == {}


def test_a_certificate_that_has_not_begun_signs_nothing_yet(bring, signer, document, devices, now):
    refused(bring(signer(at=now + timedelta(days=2))(document)), "set the clock")
    assert devices() == {}


def test_a_file_for_another_site_or_gateway_is_refused(bring, signer, devices, now):
    entries = [token_entry("lamp-000001", "t", now + timedelta(days=30))]
    for options in ({"site": "other"}, {"gateway": "other-gateway"}):
        refused(bring(signer()(registration(entries, **options))), "to the gateway it was made for")
        refused(bring(signer()(handover([], **options))), "to the gateway it was made for")
    assert devices() == {}


def test_the_stations_of_a_configuration_are_operators_names(site):
    site.config_path.write_text(site.config_path.read_text().replace("bench@test", "bench@test second@test"))
    assert load_config(site.config_path).station_names == {"bench@test", "second@test"}
    site.config_path.write_text(site.config_path.read_text().replace("second@test", "lamp-000001"))
    with pytest.raises(StateError, match="no operator name"):
        load_config(site.config_path)


def test_while_an_operator_ca_is_replaced_a_gateway_takes_the_files_of_both_and_the_list_of_the_old_one_counts(
    bring, signer, site, document, devices, now
):
    old = signer()
    for move in ("introduce", "switch"):
        plan_move(Rollover(site.hierarchy, Kind.OPERATOR, ["gateway"], site.root), move, now).apply()
    ca = site.hierarchy.directory
    ship(site)
    new = signer()
    assert bring(old(document), "--check")["added"] == 1
    assert bring(new(document), "--check")["added"] == 1
    plan_authority_crl(site.hierarchy, "outgoing/operator", [old.certificate.serial_number], now).apply()
    ship(site)
    refused(bring(old(document)), "revoked")
    assert bring(new(document), "--check")["added"] == 1
    # a list of one of the two alone is a gap, not a permission
    site.config.crl("operator").write_bytes((ca / "operator/crl.pem").read_bytes())
    refused(bring(old(document)), "cannot be told")
    plan_move(Rollover(site.hierarchy, Kind.OPERATOR, ["gateway"], site.root), "retire", now).apply()
    ship(site)
    refused(bring(old(document)), "has no certificate of this site's operator CA")
    assert bring(new(document))["added"] == 1


def ship(site):
    ca = site.hierarchy.directory
    site.config.trusted("operator").write_bytes(gateway_file(ca, "gateway", "operator"))
    site.config.crl("operator").write_bytes(gateway_file(ca, "gateway", "operator.crl"))
