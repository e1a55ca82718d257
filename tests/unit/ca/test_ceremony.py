"""The machine of the root: what it makes, what it answers, and what it refuses."""

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint import files
from fleetmint.ca.ceremony import exchange
from fleetmint.ca.ceremony.root import Custody, check_shares, plan_answers, plan_root
from fleetmint.ca.identifier import CaId, device_ca
from fleetmint.ca.store import common_name
from fleetmint.errors import ClockError, NameRefusedError, SecretError, StateError
from fleetmint.passphrases import shares
from fleetmint.x509 import compat, keys, names, revocation
from fleetmint.x509.authority import load_certificate
from tests.support.ceremony_site import PEOPLE, CeremonySite


@pytest.fixture
def site(tmp_path, now):
    return CeremonySite(tmp_path, now).make_root()


def test_a_ceremony_makes_an_encrypted_root_that_openssl_opens_with_the_joined_passphrase(site, openssl):
    key = site.vault / "root/ca.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in key.read_bytes()
    passphrase = site.root_machine().source.read("root").decode()
    assert openssl("pkey", "-in", key, "-noout", "-passin", f"pass:{passphrase}").returncode == 0
    assert openssl("pkey", "-in", key, "-noout", "-passin", "pass:A").returncode != 0
    text = openssl(
        "x509", "-in", site.vault / "root/ca.crt", "-noout", "-text", "-fingerprint", "-sha256"
    ).stdout.decode()
    assert site.root_fingerprint in text
    assert "secp384r1" in text


def test_a_second_ceremony_makes_nothing(site, snapshot, tmp_path):
    before = snapshot(tmp_path)
    plan = plan_root(site.vault, "test", site.custody, PEOPLE, site.now)
    assert not plan.changed
    plan.apply()
    assert snapshot(tmp_path) == before


def test_a_plan_of_a_ceremony_writes_nothing(tmp_path, now):
    assert plan_root(tmp_path / "ca", "test", Custody(tmp_path / "memory", 3, 2), PEOPLE, now).changed
    assert list(tmp_path.iterdir()) == []


def test_the_transcript_says_who_when_what_and_how_and_holds_no_secret(site):
    text = (site.vault / "root/transcript.txt").read_text()
    for said in (*PEOPLE, f"{site.now:%Y-%m-%d %H:%M:%S}Z", site.root_fingerprint, "OpenSSL", "pycryptodome", "any 3"):
        assert said in text
    passphrase = site.root_machine().source.read("root").decode()
    assert passphrase not in text
    for paper in site.papers():
        for line in shares.code(shares.read_share(paper.read_text())).splitlines():
            assert line not in text


def test_the_passphrase_is_nowhere_on_the_disk(site, tmp_path):
    site.ask()
    site.answer()
    passphrase = site.root_machine().source.read("root")
    secret = shares.join(shares.read_files(site.papers()))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert passphrase not in data, path
            assert secret not in data, path
            assert secret.hex().encode() not in data.lower(), path


def test_the_shares_are_readable_by_their_owner_only(site):
    assert len(site.papers()) == 5
    for paper in site.papers():
        assert paper.stat().st_mode & 0o777 == 0o600
        assert paper.parent.stat().st_mode & 0o777 == 0o700


def test_any_three_papers_are_found_to_open_the_root_and_nothing_is_written(site, snapshot, tmp_path):
    before = snapshot(tmp_path)
    papers = site.papers()
    assert (
        check_shares(site.vault, shares.read_files(papers[2:]))
        == f"The shares 3, 4, 5 open the root {site.root_fingerprint}."
    )
    with pytest.raises(SecretError, match="3 shares are needed"):
        check_shares(site.vault, shares.read_files(papers[:2]))
    assert snapshot(tmp_path) == before


def test_shares_of_another_root_are_told_apart_from_wrong_ones(site, tmp_path, now):
    other = CeremonySite(tmp_path / "other", now).make_root()
    with pytest.raises(StateError, match="is of another root"):
        check_shares(site.vault, shares.read_files(other.papers()))
    parts = shares.read_files(site.papers()[:3])
    forged = [shares.Share(p.number, p.count, p.needed, p.root, bytes(16)) for p in parts]
    with pytest.raises(SecretError, match="does not open"):
        check_shares(site.vault, forged)


def test_a_key_that_is_not_the_roots_is_told_when_the_shares_are_tried(site):
    passphrase = site.root_machine().source.read("root")
    (site.vault / "root/ca.key").write_bytes(keys.sealed_pem(keys.new_key("P-384"), passphrase))
    with pytest.raises(StateError, match=r"does not belong to .*ca\.crt"):
        check_shares(site.vault, shares.read_files(site.papers()))


def test_a_ceremony_on_a_full_disk_leaves_no_root_and_no_share(tmp_path, now, full_disk, snapshot):
    # the shares are about 500 bytes each, the transcript is more
    with full_disk(800), pytest.raises(StateError, match="cannot write"):
        plan_root(tmp_path / "ca", "test", Custody(tmp_path / "memory", 3, 2), PEOPLE, now).apply()
    assert snapshot(tmp_path) == {}


def test_a_ceremony_that_was_cut_before_the_root_existed_can_be_held_again(site, tmp_path, now):
    (site.vault / "root").rename(site.vault / "root.unfinished")
    (site.vault / "root.unfinished/crl.pem").write_bytes(b"of the root that never came to be")
    stale = {paper.parent for paper in site.papers()}
    again = site.make_root()
    assert again.root_fingerprint != site.root_fingerprint
    fresh = [paper for paper in again.papers() if paper.parent not in stale]
    assert again.root_fingerprint in check_shares(site.vault, shares.read_files(fresh))
    assert not (site.vault / "root.unfinished").exists()
    assert revocation.crl_number(x509.load_pem_x509_crl((site.vault / "root/crl.pem").read_bytes())) == 1


KILLED = """
import os, signal, sys
from datetime import datetime
from itertools import count
from pathlib import Path
from fleetmint.ca.ceremony.root import Custody, plan_root

place, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
for last in count(1):
    if os.fork() == 0:
        steps = count(1)
        def around(function):
            def wrapped(*arguments, **options):
                result = function(*arguments, **options)
                if next(steps) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result
            return wrapped
        os.fsync = around(os.fsync)
        for name in ("replace", "mkdir", "rename"):
            setattr(Path, name, around(getattr(Path, name)))
        each = place / f"{last:03d}"
        each.mkdir(parents=True)
        plan_root(each / "ca", "test", Custody(each / "memory", 3, 2), ("Alice",), now).apply()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.wait()[1]) == 0:
        break
"""


def test_a_ceremony_that_was_killed_at_any_step_leaves_no_share_of_a_root_that_never_came_to_be(tmp_path, now):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "cuts", now.isoformat()], check=True)
    cuts = sorted((tmp_path / "cuts").iterdir())
    unfinished = [cut for cut in cuts if not (cut / "ca/root").exists()]
    assert len(unfinished) > 10
    assert any(list(cut.glob("memory/*/share-*.txt")) for cut in unfinished)
    for cut in unfinished:
        plan = plan_root(cut / "ca", "test", Custody(cut / "memory", 3, 2), PEOPLE, now)
        plan.apply()
        papers = Path(plan.expected.shares)
        assert sorted(cut.glob("memory/**/*")) == [
            papers, *(papers / f"share-{number}.txt" for number in (1, 2, 3))
        ]  # fmt: skip
        assert [path.name for path in (cut / "ca").iterdir()] == ["root"]
        assert sorted(path.name for path in (cut / "ca/root").iterdir()) == [
            "ca.crt", "ca.key", "crl.pem", "transcript.txt"
        ]  # fmt: skip


def test_requests_are_answered_once_and_the_same_way_again(site, snapshot, tmp_path):
    site.ask()
    assert len(site.answer().reasons) == 5  # the CAs; the first CRL came with the root
    before = snapshot(tmp_path / "stick")
    again = site.answer()
    assert again.reasons == ()
    shutil.rmtree(site.post.answers)
    assert not any(reason.startswith("sign") for reason in site.answer().reasons)
    after = {path: data for path, data in snapshot(tmp_path / "stick").items() if "transcript" not in path.name}
    assert after == {path: data for path, data in before.items() if "transcript" not in path.name}


def test_what_the_root_signs_passes_strict_openssl(site, openssl):
    site.ask("gateway", "second")
    site.answer()
    for path in site.post.answers.glob("*.crt"):
        judged = openssl(
            "verify", "-x509_strict", "-crl_check", "-CAfile", site.post.answers / "root.crt",
            "-CRLfile", site.post.answers / "root-crl.pem", path,
        )  # fmt: skip
        assert judged.returncode == 0, judged.stderr.decode()


def test_the_root_crl_lasts_until_the_first_issuing_ca_ends(site):
    site.ask()
    site.answer()
    crl = x509.load_pem_x509_crl((site.post.answers / "root-crl.pem").read_bytes())
    ends = [compat.not_after(load_certificate(path)) for path in (site.vault / "issued").glob("*.crt")]
    assert len(ends) == 5
    assert compat.next_update(crl) == min(ends)


def test_an_empty_directory_of_requests_is_answered_with_a_new_crl_when_it_is_due(site):
    site.ask()
    site.answer()
    for path in site.post.requests.iterdir():
        path.unlink()
    assert site.answer().reasons == ()
    (reason,) = site.answer(now=site.now + timedelta(days=1000)).reasons
    assert "a quarter of the life" in reason
    assert revocation.crl_number(x509.load_pem_x509_crl((site.post.answers / "root-crl.pem").read_bytes())) == 2


def test_the_transcript_of_answers_lists_every_certificate_and_the_crl(site):
    site.ask()
    site.answer()
    (path,) = site.post.answers.glob("transcript-*.txt")
    text = path.read_text()
    for name in ("server CA", "next server CA", "operator CA", "factory CA", "device CA of gateway"):
        assert f"Certificate of the {name}" in text
    assert "CRL number 1" in text
    assert site.root_fingerprint in text
    assert (site.vault / "issued" / path.name).read_text() == text


def test_a_revoked_issuing_ca_is_on_the_crl_and_may_ask_with_a_new_key(site, tmp_path):
    site.ask()
    site.answer()
    stolen = load_certificate(site.post.answers / "device-gateway.crt").serial_number
    fresh = exchange.build_request("test", device_ca("gateway"), "test device CA of gateway", keys.new_key())
    (site.post.requests / "device-gateway.csr").write_bytes(fresh)
    with pytest.raises(StateError, match=f"asks with another key.*{stolen:x}.*revoke"):
        site.answer()
    site.answer(revoke=[stolen])
    crl = x509.load_pem_x509_crl((site.post.answers / "root-crl.pem").read_bytes())
    assert [entry.serial for entry in revocation.entries(crl)] == [stolen]
    assert revocation.crl_number(crl) == 2
    assert load_certificate(site.post.answers / "device-gateway.crt").serial_number != stolen


def csr(site: str, name: str, *, curve: str = "P-256", extension=None, subject=None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        subject or exchange.subject(site, CaId.parse(name), common_name(site, CaId.parse(name)))
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(keys.new_key(curve), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def unsigned(site: str, name: str) -> bytes:
    """A request whose key is exchanged for another one after it was signed."""
    requests = [x509.load_pem_x509_csr(csr(site, name)) for _ in range(2)]
    der, points = requests[0].public_bytes(serialization.Encoding.DER), [
        request.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        ) for request in requests
    ]  # fmt: skip
    forged = x509.load_der_x509_csr(der.replace(points[0], points[1]))
    return forged.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        (
            "server",
            csr("other", "server"),
            "names CN=other server CA,OU=authorities,O=other, not the server CA of test",
        ),
        ("server", csr("test", "operator"), "not the server CA of test"),
        ("server", csr("test", "server", curve="P-384"), "its key is not EC on P-256"),
        ("server", csr("test", "server", extension=x509.BasicConstraints(True, 3)), "asks for extensions"),
        ("server", csr("test", "server", subject=names.subject("test", "devices", "x")), "not the server CA of test"),
        ("server", unsigned("test", "server"), "not signed by its own key"),
        ("server", b"", "cannot be read"),
        ("server", csr("test", "server") * 9, "cannot be read"),
    ],
)
def test_a_request_that_is_not_exactly_its_ca_is_refused_and_nothing_is_signed(
    site, snapshot, tmp_path, name, data, why
):
    site.ask()
    (site.post.requests / f"{name}.csr").write_bytes(data)
    before = snapshot(tmp_path)
    with pytest.raises(StateError, match=f"refused: .*{why}"):
        plan_answers(site.root_machine(), site.post.requests, site.post.answers, PEOPLE, site.now)
    shutil.rmtree(tmp_path / "brought")
    assert snapshot(tmp_path) == before


def test_a_request_of_no_known_ca_is_refused(site):
    site.ask()
    files.write_atomically(site.post.requests / "evil.csr", csr("test", "server"))
    with pytest.raises(NameRefusedError, match="'evil' is no issuing CA"):
        site.answer()


def test_a_clock_before_the_root_signs_nothing(site, snapshot, tmp_path):
    site.ask()
    before = snapshot(site.vault)
    with pytest.raises(ClockError, match="set the clock of this machine"):
        site.answer(now=site.now - timedelta(hours=2))
    assert snapshot(site.vault) == before
    assert not site.post.answers.exists()


def test_the_root_of_another_site_is_not_used(site):
    with pytest.raises(StateError, match="belongs to the site 'test', not to 'other'"):
        plan_root(site.vault, "other", site.custody, PEOPLE, site.now)


def test_without_requests_the_root_says_what_to_plug_in(site):
    with pytest.raises(StateError, match="plug in the medium with the requests"):
        site.answer()


def test_the_stick_carries_requests_and_no_key(site):
    site.ask()
    assert {path.suffix for path in site.post.requests.iterdir()} == {".csr"}
    for path in site.post.requests.iterdir():
        assert b"PRIVATE" not in path.read_bytes()
