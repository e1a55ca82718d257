"""A controller beside a ceremony: it asks, waits, and takes over nothing but what it asked for."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleetmint.ca.ceremony import exchange
from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.external_root import ExternalRoot
from fleetmint.errors import ClockError, FleetmintError, StateError
from fleetmint.x509 import compat, keys, revocation
from fleetmint.x509.authority import Authority, load_certificate, pem, self_signed
from tests.support.ceremony_site import CeremonySite

ISSUING = ["server", "server-next", "operator", "factory", "device-gateway"]


@pytest.fixture
def site(tmp_path, now):
    """Requests made, and not answered."""
    site = CeremonySite(tmp_path, now).make_root()
    site.ask()
    return site


@pytest.fixture
def answered(site):
    """Requests answered, and the answers not yet taken over."""
    site.answer()
    return site


def test_the_controller_asks_for_every_issuing_ca_and_says_which_are_waiting(tmp_path, now, snapshot):
    site = CeremonySite(tmp_path, now)
    plan = site.ask()
    assert list(plan.expected.waiting) == ISSUING
    assert sorted(path.stem for path in site.post.requests.iterdir()) == sorted(ISSUING)
    before = snapshot(tmp_path)
    again = site.ask()
    assert again.reasons == ()
    assert list(again.expected.waiting) == ISSUING
    assert snapshot(tmp_path) == before


def test_the_answers_make_a_whole_site_in_which_a_second_run_changes_nothing(answered, snapshot, tmp_path, openssl):
    ca = answered.controller.directory
    assert not (ca / "bundle.bin").exists()
    plan = answered.ask()
    assert list(plan.expected.waiting) == []
    assert (ca / "bundle.bin").exists()
    for name in ISSUING:
        assert openssl("verify", "-x509_strict", "-CAfile", ca / "root/ca.crt", ca / name / "ca.crt").returncode == 0
        assert answered.controller.authority(name).site == "test"
    for name in ("root", "operator", "factory"):
        assert openssl("crl", "-in", ca / name / "crl.pem", "-CAfile", ca / name / "ca.crt", "-noout").returncode == 0
    assert list(answered.post.requests.iterdir()) == []
    before = snapshot(tmp_path)
    assert answered.ask().reasons == ()
    assert snapshot(tmp_path) == before


def test_the_key_of_the_root_never_reaches_the_controller(answered):
    answered.ask()
    controller = [path for path in (answered.base / "controller").rglob("*") if path.is_file()]
    key = (answered.vault / "root/ca.key").read_bytes()
    assert not any(key in path.read_bytes() for path in controller)
    assert not (answered.controller.directory / "root/ca.key").exists()
    assert not (answered.base / "controller/passphrases/root").exists()
    with pytest.raises(StateError, match="plug in the medium that holds the root of test"):
        answered.controller.authority("root")


def test_a_new_gateway_asks_alone_and_leaves_everything_else_as_it_is(answered, snapshot):
    answered.ask()
    before = snapshot(answered.controller.directory)
    plan = answered.ask("gateway", "second")
    assert list(plan.expected.waiting) == ["device-second"]
    assert [path.name for path in answered.post.requests.iterdir()] == ["device-second.csr"]
    after = snapshot(answered.controller.directory)
    assert {path: after[path] for path in before} == before


def test_answers_to_some_requests_are_taken_over_and_the_rest_goes_on_waiting(answered):
    (answered.post.answers / "factory.crt").unlink()
    assert list(answered.ask().expected.waiting) == ["factory"]
    assert (answered.controller.directory / "operator/ca.crt").exists()


def test_a_root_without_a_fingerprint_to_compare_is_not_taken_over(answered, snapshot, tmp_path):
    refused(replace(answered, root_fingerprint=""), snapshot, "compare that with the transcript")


def test_another_root_than_that_of_the_transcript_is_refused(answered, snapshot, now):
    other = CeremonySite(answered.base / "other", now).make_root()
    refused(replace(answered, root_fingerprint=other.root_fingerprint), snapshot, "but ca_root_fingerprint says")
    shutil.copy(other.vault / "root/ca.crt", answered.post.answers / "root.crt")
    refused(replace(answered, root_fingerprint=other.root_fingerprint), snapshot, "not signed by the root")


def test_a_fingerprint_is_understood_with_and_without_colons_in_either_case(answered):
    bare = answered.root_fingerprint.replace(":", "").lower()
    assert list(replace(answered, root_fingerprint=bare).ask().expected.waiting) == []


def test_an_answer_for_another_key_is_refused(answered, snapshot, now):
    write(answered, answered.root().issue("server-ca", keys.new_key().public_key(), "test server CA", now=now))
    refused(answered, snapshot, "for another key than that of the server CA")


def test_an_answer_of_another_profile_is_refused(answered, snapshot, now):
    public = load_certificate(answered.post.answers / "server.crt").public_key()
    write(answered, answered.root().issue("factory-ca", public, "test server CA", now=now))
    refused(answered, snapshot, "not what the profile server-ca says")


def test_an_answer_under_another_name_is_refused(answered, snapshot, now):
    public = load_certificate(answered.post.answers / "server.crt").public_key()
    write(answered, answered.root().issue("server-ca", public, "test next server CA", now=now))
    refused(answered, snapshot, "not what the profile server-ca says")


def test_an_answer_with_one_extension_more_is_refused(answered, snapshot):
    root, good = answered.root(), load_certificate(answered.post.answers / "server.crt")
    builder = (
        x509.CertificateBuilder(
            good.issuer, good.subject, good.public_key(), good.serial_number,
            compat.not_before(good), compat.not_after(good), list(good.extensions),
        ).add_extension(x509.SubjectAlternativeName([x509.DNSName("evil.example")]), critical=False)
    )  # fmt: skip
    write(answered, builder.sign(root.key, hashes.SHA384()))
    refused(answered, snapshot, "not what the profile server-ca says")


def test_an_answer_of_another_site_is_refused(answered, snapshot, now):
    other = self_signed("other", "other root", keys.new_key("P-384"), now)
    public = load_certificate(answered.post.answers / "server.crt").public_key()
    write(answered, other.issue("server-ca", public, "other server CA", now=now))
    refused(answered, snapshot, "not signed by the root of test")


def test_a_forged_root_of_the_same_name_signs_nothing_that_is_taken_over(answered, snapshot, now):
    good = load_certificate(answered.vault / "root/ca.crt")
    forger = Authority(good, keys.new_key("P-384"))
    public = load_certificate(answered.post.answers / "server.crt").public_key()
    write(answered, forger.issue("server-ca", public, "test server CA", now=now))
    refused(answered, snapshot, "not signed by the root of test")


def test_a_revoked_answer_is_refused(answered, snapshot, now):
    serial = load_certificate(answered.post.answers / "server.crt").serial_number
    crl(answered, now, 2, [revocation.Revoked(serial, now)])
    refused(answered, snapshot, "is revoked by the root's CRL")


def test_a_newer_root_crl_is_taken_over_and_an_older_one_is_not(answered, now):
    answered.ask()
    own = answered.controller.directory / "root/crl.pem"
    crl(answered, now, 3, [revocation.Revoked(7, now)])
    assert answered.ask().reasons == ("take over the root's CRL number 3",)
    newest = own.read_bytes()
    crl(answered, now, 2, [])
    assert answered.ask().reasons == ()
    assert own.read_bytes() == newest


def test_a_root_crl_that_takes_a_revocation_back_is_refused(answered, snapshot, now):
    answered.ask()
    crl(answered, now, 3, [revocation.Revoked(7, now)])
    answered.ask()
    crl(answered, now, 4, [])
    refused(answered, snapshot, "does not revoke 7")


def test_a_root_crl_of_another_root_or_one_that_has_ended_is_refused(answered, snapshot, now):
    other = self_signed("test", "test root", keys.new_key("P-384"), now)
    crl(answered, now, 2, [], root=other)
    refused(answered, snapshot, r"root-crl\.pem is not signed by the root of test")
    crl(answered, now - timedelta(days=100), 2, [])
    refused(answered, snapshot, r"root-crl\.pem ended on .*: let the root sign a new one")


def test_an_answer_from_a_clock_that_is_ahead_is_refused(answered, snapshot, now):
    public = load_certificate(answered.post.answers / "server.crt").public_key()
    write(answered, answered.root().issue("server-ca", public, "test server CA", now=now + timedelta(days=2)))
    refused(answered, snapshot, "set the clock that is wrong")


def test_a_clock_before_the_root_takes_over_nothing(answered, snapshot):
    refused(
        replace(answered, now=answered.now - timedelta(days=1)), snapshot, "set the clock of this machine", ClockError
    )


def test_a_damaged_answer_is_refused_wherever_the_damage_is(answered, snapshot):
    path = answered.post.answers / "server.crt"
    good = path.read_bytes()
    for at in range(40, len(good) - 40, 61):
        path.write_bytes(good[:at] + (b"A" if good[at : at + 1] != b"A" else b"B") + good[at + 1 :])
        refused(answered, snapshot, r"server\.crt", FleetmintError)


def test_a_full_disk_takes_over_nothing(answered, snapshot, full_disk, tmp_path):
    before = snapshot(tmp_path)
    with full_disk(700), pytest.raises(StateError, match="cannot write"):
        answered.ask()
    assert snapshot(tmp_path) == before
    assert list(answered.ask().expected.waiting) == []


def test_a_controller_that_holds_the_key_of_its_root_is_told_so(hierarchy, site):
    with pytest.raises(StateError, match="which a controller beside a ceremony must not hold"):
        plan_hierarchy(hierarchy, ["gateway"], site.now, ExternalRoot(site.post))


def test_a_damaged_request_is_named_and_can_be_removed(site):
    path = site.post.requests / "server.csr"
    key = (site.controller.directory / "server/ca.key").read_bytes()
    path.write_bytes(b"damaged")
    with pytest.raises(StateError, match="remove it, and it is made again for the same key"):
        site.ask()
    path.unlink()
    assert site.ask().reasons == (f"ask for the server CA in {site.post.requests}",)
    assert (site.controller.directory / "server/ca.key").read_bytes() == key
    assert exchange.read_request(path, "test") is not None


def refused(site, snapshot, why, kind=StateError):
    """Check that nothing is taken over, and why."""
    before = snapshot(site.base)
    with pytest.raises(kind, match=why):
        site.ask()
    assert snapshot(site.base) == before


def write(site, certificate):
    (site.post.answers / "server.crt").write_bytes(pem(certificate))


def crl(site, now, number, revoked, root=None):
    signed = revocation.build_crl(root or site.root(), revoked, number=number, now=now, lifetime=timedelta(days=99))
    (site.post.answers / "root-crl.pem").write_bytes(revocation.crl_pem(signed))


def test_a_request_for_the_root_is_refused_by_its_hash_or_by_what_it_is(openssl, tmp_path):
    (tmp_path / "key").write_bytes(keys.plain_pem(keys.new_key()))
    path, make = tmp_path / "operator.csr", ["req", "-new", "-key", tmp_path / "key", "-subj", "/CN=x"]
    for arguments, said in (
        ([*make, "-sha1"], "the request is signed with SHA-1, which is not taken"),
        ([*make, "-x509"], "it cannot be read as a certificate request, but a certificate"),
        (["ec", "-in", tmp_path / "key"], "it cannot be read as a certificate request, but a private key"),
    ):
        path.write_bytes(openssl(*arguments).stdout)
        with pytest.raises(StateError) as error:
            exchange.read_request(path, "test")
        assert said in str(error.value)
