"""Keys and containers of other programs, as those make them."""

import json
import subprocess

import pytest

from fleetmint.x509 import keys, pem
from fleetmint.x509.foreign import foreign_findings, label_finding, openssh_private_key


@pytest.fixture
def ssh_key(tmp_path):
    def make(kind, passphrase=""):
        path = tmp_path / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "bob", "-f", path], check=True)
        return path

    return make


@pytest.mark.parametrize(("kind", "name"), [("ed25519", "Ed25519"), ("ecdsa", "EC P-256"), ("rsa", "RSA")])
@pytest.mark.parametrize(("passphrase", "state"), [("", "not encrypted"), ("geheim12", "encrypted")])
def test_an_openssh_key_is_called_that(ssh_key, kind, name, passphrase, state):
    path = ssh_key(kind, passphrase)
    (block,) = pem.read(path.read_bytes(), "it").blocks
    finding = openssh_private_key(block.data)
    assert finding.title == f"an OpenSSH private key, {name}, {state}"
    assert finding.facts["encrypted"] is bool(passphrase)
    assert "openssl genpkey" in finding.facts["what_to_do"]
    (public,) = foreign_findings(path.with_suffix(".pub").read_bytes())
    assert public.title == f"an OpenSSH public key, {name}"


def test_a_damaged_openssh_key_is_refused(ssh_key):
    (block,) = pem.read(ssh_key("ed25519").read_bytes(), "it").blocks
    for data in (b"", b"hello", block.data[:40]):
        with pytest.raises(ValueError, match=r"cut off|no OpenSSH"):
            openssh_private_key(data)


def test_other_forms_of_ssh_are_known(ssh_key):
    path = ssh_key("ed25519")
    rfc = subprocess.run(["ssh-keygen", "-e", "-f", path], capture_output=True, check=True).stdout
    assert "RFC 4716" in foreign_findings(rfc)[0].title
    subprocess.run(["ssh-keygen", "-q", "-s", path, "-I", "x", path.with_suffix(".pub")], check=True)
    assert (
        foreign_findings((path.parent / "ed25519-cert.pub").read_bytes())[0].title == "an OpenSSH certificate, Ed25519"
    )
    line = path.with_suffix(".pub").read_bytes()
    assert len(foreign_findings(b'# who may\n\nno-pty,from="10.0.0.1" ' + line + line)) == 2


@pytest.mark.parametrize(("kind", "head"), [("JKS", "feedfeed"), ("JCEKS", "cececece")])
def test_a_java_keystore_is_named_with_the_way_out(kind, head):
    (finding,) = foreign_findings(bytes.fromhex(head) + bytes(60))
    assert f"Java keystore ({kind})" in finding.title
    assert "-deststoretype PKCS12" in finding.facts["what_to_do"]


@pytest.mark.parametrize(("cipher", "state"), [("none", "not encrypted"), ("aes256-cbc", "encrypted")])
def test_a_putty_key_is_called_that(cipher, state):
    text = f"PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\r\nEncryption: {cipher}\r\nComment: bob\r\n"
    (finding,) = foreign_findings(text.encode())
    assert finding.title == f"a PuTTY private key (version 3), EC P-256, {state}"


def test_keys_as_json_are_told_by_their_kind():
    public = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
    assert foreign_findings(json.dumps(public).encode())[0].title == "a public key as JSON (JWK)"
    private = foreign_findings(json.dumps({"keys": [{**public, "d": "c2VjcmV0"}]}).encode())[0]
    assert private.title == "a private key as JSON (JWK)"
    assert "c2VjcmV0" not in repr(private)


def test_a_vault_is_named():
    assert "ansible-vault" in foreign_findings(b"$ANSIBLE_VAULT;1.1;AES256\n6162\n")[0].title


def test_labels_are_named_as_far_as_they_are_known():
    assert label_finding("EC PARAMETERS").title == "the name of a curve, which OpenSSL writes in front of a key"
    assert label_finding("PGP PUBLIC KEY BLOCK").title == "an OpenPGP public key"
    assert label_finding("WHATEVER").kind == "unknown"


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b'{"keys": 5}', b"[1]", b"ssh-rsa AAAAnothing", bytes(64)])
def test_anything_else_is_nothing(data):
    assert foreign_findings(data) == []
    assert foreign_findings(keys.device_der(keys.new_key())) == []
