"""PKCS #12 files, opened by openssl and GnuTLS."""

import re
import subprocess

import pytest

from fleetmint.errors import SecretError
from fleetmint.x509 import keys, pkcs12

PASSWORD = b"correct-horse-battery"


@pytest.fixture
def made(hierarchy, now):
    def make(encryption: str, password: bytes = PASSWORD) -> bytes:
        key, ca = keys.new_key(), hierarchy.authority("operator")
        leaf = ca.issue("operator", key.public_key(), "alice@test", now=now)
        return pkcs12.make_pkcs12(key, leaf, ca.certificate, "alice@test", password, encryption)

    return make


@pytest.mark.parametrize(
    ("encryption", "options", "words"),
    [
        ("modern", [], ["MAC: sha256", "PBES2, PBKDF2, AES-256-CBC", "hmacWithSHA256"]),
        ("legacy", ["-legacy"], ["MAC: sha1", "pbeWithSHA1And3-KeyTripleDES-CBC"]),
    ],
)
def test_openssl_opens_it_and_names_its_encryption(made, openssl, tmp_path, encryption, options, words):
    path = tmp_path / "alice.p12"
    path.write_bytes(made(encryption))
    done = openssl("pkcs12", "-in", path, "-info", "-nodes", "-passin", f"pass:{PASSWORD.decode()}", *options)
    assert done.returncode == 0, done.stderr
    for word in words:
        assert word in done.stderr.decode()
    assert done.stdout.count(b"BEGIN CERTIFICATE") == 2  # the leaf and the operator CA, and no root
    assert b"BEGIN PRIVATE KEY" in done.stdout
    assert b"friendlyName: alice@test" in done.stdout
    wrong = openssl("pkcs12", "-in", path, "-noout", "-passin", "pass:another-password", *options)
    assert wrong.returncode != 0


@pytest.mark.parametrize("encryption", pkcs12.ENCRYPTIONS)
def test_gnutls_opens_it(made, tmp_path, encryption):
    path = tmp_path / "alice.p12"
    path.write_bytes(made(encryption))
    done = subprocess.run(
        ["certtool", "--p12-info", "--inder", "--infile", path, "--password", PASSWORD.decode()],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"BEGIN CERTIFICATE" in done.stdout


def test_a_random_password_has_120_bits_and_can_be_typed():
    passwords = {pkcs12.random_password() for _ in range(50)}
    assert len(passwords) == 50
    assert all(re.fullmatch(r"([a-z2-7]{4}-){5}[a-z2-7]{4}", password) for password in passwords)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\ncorrect-horse-battery",
        b"short",
        "äöü-äöü-äöü-äöü".encode(),
        b"short-horse\tbattery",
        b"short-battery\x0c",
        b"short-horse-battery ",
        b" short-horse-battery",
    ],
)
def test_a_password_that_is_none_is_refused_and_not_shown(text):
    with pytest.raises(SecretError, match="at least 12") as error:
        pkcs12.checked_password(text, "the file")
    assert "short" not in str(error.value)


def test_the_first_line_is_the_password():
    for mark in (b"", b"\xef\xbb\xbf"):
        for end in (b"\nmore\n", b"\r\n", b""):
            assert pkcs12.checked_password(mark + b"correct-horse-battery" + end, "x") == PASSWORD
    assert pkcs12.checked_password(b"correct horse battery", "x") == b"correct horse battery"


def test_it_is_told_from_other_der(made, hierarchy):
    assert pkcs12.is_pkcs12(made("modern"))
    assert not pkcs12.is_pkcs12(keys.device_der(keys.new_key()))
    assert not pkcs12.is_pkcs12(b"0\x03\x02\x01\x03")
