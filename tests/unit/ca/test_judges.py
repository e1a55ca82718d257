"""Every certificate and CRL of every profile before judges that are not ours: pkilint, openssl and GnuTLS."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pkilint.bin import lint_crl, lint_pkix_cert, lint_pkix_signer_signee_cert_chain

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.passphrases import open_source
from fleetmint.x509 import keys, names, revocation
from fleetmint.x509.authority import pem
from fleetmint.x509.profiles import PROFILES
from fleetmint.x509.revocation import Revoked

# pkilint's commands leave the closing of their file to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

# Two labels, because pkilint takes no single one for a DNS name, though RFC 1034 (3.5), which RFC 5280 names, does.
SERVER_NAMES = ("gateway.example", "192.0.2.7", "2001:db8::7")

# profile → the directory of the CA itself, or of the CA that issues it, its common name and alternative names
AUTHORITIES = {
    "root": "root",
    "server-ca": "server",
    "operator-ca": "operator",
    "factory-ca": "factory",
    "device-ca": "device-gateway",
}
LEAVES = {
    "server": ("server", "gateway", SERVER_NAMES),
    "server-rsa": ("server", "gateway", SERVER_NAMES),
    "service": ("server", "grafana", ("grafana.example", "192.0.2.9")),
    "operator": ("operator", "alice@test", ()),
    "operator-rsa": ("operator", "alice@test", ()),
    "station": ("operator", "bench@test", ()),
    "dashboard": ("operator", "wall@test", ()),
    "device": ("device-gateway", "lamp-000001", ()),
    "factory-device": ("factory", "lamp-000001", ()),
}
SIGNERS = ("root", "operator", "factory", "device-gateway")


@dataclass(frozen=True)
class Judged:
    """Files of one certificate: itself, its issuer, everything to trust, and the CRLs of the whole chain."""

    certificate: Path
    issuer: Path
    trust: Path
    crls: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Hierarchy:
    directory = tmp_path_factory.mktemp("judged")
    made = Hierarchy(directory / "ca", "test", open_source(f"file:{directory / 'passphrases'}"))
    plan_hierarchy(made, ["gateway"], datetime.now(UTC)).apply()
    return made


@pytest.fixture(params=list(PROFILES))
def judged(request, site, tmp_path) -> Judged:
    """What a profile issues; a profile that is in no table here fails."""
    root, now = site.directory / "root", datetime.now(UTC)
    if request.param in AUTHORITIES:
        certificate = site.directory / AUTHORITIES[request.param] / "ca.crt"
        return Judged(certificate, root / "ca.crt", root / "ca.crt", root / "crl.pem")
    ca, name, sans = LEAVES[request.param]
    authority = site.authority(ca)
    key = keys.new_leaf_key(PROFILES[request.param].key_kind)
    leaf = authority.issue(request.param, key.public_key(), name, now=now, sans=sans)
    found = Judged(*(tmp_path / f"{part}.pem" for part in ("leaf", "issuer", "trust", "crls")))
    found.certificate.write_bytes(pem(leaf))
    found.issuer.write_bytes(pem(authority.certificate))
    found.trust.write_bytes((root / "ca.crt").read_bytes() + pem(authority.certificate))
    crl = revocation.build_crl(authority, [], number=1, now=now, lifetime=timedelta(days=7))
    found.crls.write_bytes((root / "crl.pem").read_bytes() + revocation.crl_pem(crl))
    return found


@pytest.fixture
def pkilint(capsys):
    """Run one of pkilint's linters and return what it finds at WARNING or above."""

    def run(linter, *arguments) -> str:
        capsys.readouterr()
        count = linter.main(["lint", "--severity", "WARNING", *map(str, arguments)])
        found = capsys.readouterr()
        assert found.err == ""
        assert bool(count) == bool(found.out.strip())
        return found.out.strip()

    return run


def test_pkilint_finds_nothing_in_any_certificate(judged, pkilint):
    assert pkilint(lint_pkix_cert, judged.certificate) == ""
    assert pkilint(lint_pkix_signer_signee_cert_chain, judged.issuer, judged.certificate) == ""


def test_strict_openssl_accepts_every_certificate_with_the_crls_of_its_chain(judged, openssl):
    verified = openssl(
        "verify", "-x509_strict", "-crl_check_all", "-CAfile", judged.trust, "-CRLfile", judged.crls, judged.certificate
    )
    assert verified.returncode == 0, verified.stderr.decode()


def test_gnutls_accepts_every_certificate(judged, tmp_path):
    chain = tmp_path / "chain.pem"
    # one certificate of its own is a chain that ends in itself
    parts = {path.read_bytes(): None for path in (judged.certificate, judged.issuer)}
    chain.write_bytes(b"".join(parts))
    command = ["certtool", "--verify", "--load-ca-certificate", str(judged.trust), "--infile", str(chain)]
    verdict = subprocess.run(command, capture_output=True, check=False)
    assert verdict.returncode == 0, verdict.stdout.decode()


@pytest.mark.parametrize("profile", LEAVES)
def test_a_leaf_serves_its_purpose_and_no_other(site, openssl, tmp_path, profile, now):
    ca, name, sans = LEAVES[profile]
    key = keys.new_leaf_key(PROFILES[profile].key_kind)
    leaf, trust = tmp_path / "leaf.pem", tmp_path / "trust.pem"
    leaf.write_bytes(pem(site.authority(ca).issue(profile, key.public_key(), name, now=now, sans=sans)))
    trust.write_bytes(b"".join((site.directory / part / "ca.crt").read_bytes() for part in ("root", ca)))
    purposes = {"sslserver", "sslclient"}
    accepted = {
        purpose for purpose in purposes if not openssl("verify", "-purpose", purpose, "-CAfile", trust, leaf).returncode
    }
    assert accepted == {"sslserver" if ca == "server" else "sslclient"}


@pytest.mark.parametrize("revoked", [0, 1, 3])
@pytest.mark.parametrize("name", SIGNERS)
def test_pkilint_openssl_and_gnutls_find_nothing_in_any_crl(site, openssl, pkilint, tmp_path, now, name, revoked):
    reasons = ("unspecified", "key_compromise", "superseded")
    entries = [Revoked(x509.random_serial_number(), now, reason) for reason in reasons[:revoked]]
    lifetime = PROFILES[next(profile for profile, ca in AUTHORITIES.items() if ca == name)].crl_lifetime
    crl = revocation.build_crl(
        site.authority(name), entries, number=7, now=now, lifetime=lifetime or timedelta(days=3650)
    )
    path = tmp_path / "crl.pem"
    path.write_bytes(revocation.crl_pem(crl))
    kind = "ARL" if name == "root" else "CRL"
    assert pkilint(lint_crl, "--type", kind, "--profile", "PKIX", path) == ""
    issuer = site.directory / name / "ca.crt"
    verified = openssl("crl", "-in", path, "-noout", "-CAfile", issuer)
    assert b"verify OK" in verified.stderr
    command = ["certtool", "--verify-crl", "--load-ca-certificate", str(issuer), "--infile", str(path)]
    judged = subprocess.run(command, capture_output=True, check=False)
    assert judged.returncode == 0, judged.stdout.decode()


@pytest.mark.parametrize("name", [name for name in SIGNERS if name != "device-gateway"])
def test_pkilint_finds_nothing_in_the_crls_that_ca_yml_signs(site, pkilint, name):
    kind = "ARL" if name == "root" else "CRL"
    assert pkilint(lint_crl, "--type", kind, "--profile", "PKIX", site.directory / name / "crl.pem") == ""


def test_the_judge_finds_what_is_wrong(site, pkilint, tmp_path, now):
    authority, path = site.authority("operator"), tmp_path / "bad.pem"
    builder = x509.CertificateBuilder().subject_name(names.subject("test", "operators", "alice@test"))
    builder = builder.issuer_name(authority.certificate.subject).public_key(keys.new_key().public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    path.write_bytes(pem(builder.sign(authority.key, hashes.SHA256())))
    assert "ERROR" in pkilint(lint_pkix_cert, path)


def test_all_that_pkilint_has_against_a_host_name_of_one_label_is_the_label(site, pkilint, tmp_path, now):
    # Written down rather than silenced: sites do call their gateway `localhost` or `gateway` in a hosts file.
    leaf = site.authority("server").issue(
        "server", keys.new_key().public_key(), "gateway", now=now, sans=("localhost", "192.0.2.7")
    )
    path = tmp_path / "leaf.pem"
    path.write_bytes(pem(leaf))
    found = [line.strip() for line in pkilint(lint_pkix_cert, path).splitlines()[1:] if line.strip()]
    assert found == ['pkix.invalid_domain_name_syntax (ERROR): Invalid domain name syntax: "localhost"']
