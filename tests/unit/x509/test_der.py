"""What things say of themselves, with OpenSSL as the one that made them."""

import contextlib

import pytest

from fleetmint.x509 import der, keys, pem
from fleetmint.x509.parsing import UnreadableError
from tests.support import handmade

KEY = keys.new_key()
EC = {"prime256v1": "EC P-256", "secp384r1": "EC P-384", "secp256k1": "EC secp256k1", "SM2": "SM2",
      "brainpoolP256r1": "EC brainpoolP256r1", "brainpoolP512t1": "EC brainpoolP512t1"}  # fmt: skip


@pytest.fixture
def made(openssl):
    def run(*arguments, data=b""):
        done = openssl(*arguments, data=data)
        assert done.returncode == 0, done.stderr
        (block,) = [each for each in pem.read(done.stdout, "it").blocks if each.label != "EC PARAMETERS"]
        return block

    return run


def armored(block):
    return handmade.pem(block.label, block.data).encode()


@pytest.mark.parametrize(("curve", "name"), EC.items())
def test_keys_on_curves_are_named(made, curve, name):
    key = armored(made("ecparam", "-name", curve, "-genkey", "-noout"))
    request = made("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", data=key)
    certificate = made("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=x", data=key)
    assert der.request(request.data).key == name
    assert der.certificate(certificate.data).key == name
    assert der.private_key_text(made("pkcs8", "-topk8", "-nocrypt", data=key).data) == name
    assert der.private_key_text(pem.read(key, "it").blocks[0].data) == name
    assert (der.pem_label(request.data), der.pem_label(certificate.data)) == (request.label, certificate.label)


def test_a_curve_without_a_name_is_told(made):
    key = armored(made("ecparam", "-name", "prime256v1", "-param_enc", "explicit", "-genkey", "-noout"))
    request = made("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", data=key)
    assert der.request(request.data).key == "EC with parameters of its own"


@pytest.mark.parametrize("kind", ["ED25519", "ED448", "X25519", "X448"])
def test_keys_that_are_their_own_algorithm_are_named(made, kind):
    key = made("genpkey", "-algorithm", kind)
    assert der.private_key_text(key.data) == kind.capitalize()
    public = made("pkey", "-pubout", data=armored(key))
    assert der.public_key_text(public.data) == kind.capitalize()
    assert (der.pem_label(key.data), der.pem_label(public.data)) == ("PRIVATE KEY", "PUBLIC KEY")


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("RSA", "sha1"), ("RSA", "sha256"), ("RSA", "sha3-256"), ("RSA-PSS", "sha1"), ("RSA-PSS", "sha256")],
)
def test_the_hash_of_an_rsa_signature_is_named(made, kind, digest):
    key = armored(made("genpkey", "-quiet", "-algorithm", kind, "-pkeyopt", "rsa_keygen_bits:1024"))
    options = ["-sigopt", "rsa_padding_mode:pss"] if kind == "RSA-PSS" else []
    request = made("req", "-new", "-key", "/dev/stdin", f"-{digest}", *options, "-subj", "/CN=x", data=key)
    said = der.request(request.data)
    assert (said.key, said.hash) == (kind, digest.upper().replace("SHA1", "SHA-1").replace("SHA2", "SHA-2"))


def test_md5_is_named(made):
    key = armored(made("genrsa", "1024"))
    request = made("req", "-new", "-key", "/dev/stdin", "-md5", "-subj", "/CN=x", data=key)
    assert der.request(request.data).hash == "MD5"
    assert der.signature_hash(request.data) == "MD5"


def test_signatures_that_name_no_hash_have_none(made):
    key = armored(made("genpkey", "-algorithm", "ED25519"))
    assert der.request(made("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", data=key).data).hash is None


def test_forms_of_keys_are_told_apart(made):
    key = armored(made("ecparam", "-name", "prime256v1", "-genkey", "-noout"))
    encrypted = made("pkcs8", "-topk8", "-passout", "pass:x", data=key)
    assert der.pem_label(encrypted.data) == "ENCRYPTED PRIVATE KEY"
    assert der.pem_label(pem.read(key, "it").blocks[0].data) == "EC PRIVATE KEY"
    rsa = made("genrsa", "-traditional", "1024")
    assert (der.pem_label(rsa.data), rsa.label) == ("RSA PRIVATE KEY", "RSA PRIVATE KEY")
    assert der.pem_label(made("rsa", "-RSAPublicKey_out", data=armored(rsa)).data) == "RSA PUBLIC KEY"


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x80\x00\x00", b"\x30\x05a", b"\x30\x00", b"\x02\x01\x00"])
def test_anything_else_has_no_label(data):
    assert der.pem_label(data) is None
    for read in (der.request, der.certificate, der.signature_hash, der.public_key_text, der.private_key_text):
        with pytest.raises(UnreadableError):
            read(data)


SAMPLES = {
    "request": handmade.request(KEY, handmade.name(12, b"lamp")),
    "certificate": handmade.certificate(KEY, handmade.name(12, b"lamp")),
    "public key": handmade.spki(KEY),
    "private key": keys.device_der(KEY),
}


@pytest.mark.parametrize("good", SAMPLES.values(), ids=SAMPLES)
def test_bent_bytes_are_unreadable_and_nothing_worse(good):
    bent = [
        bytes([*good[:at], good[at] ^ bits, *good[at + 1 :]]) for at in range(len(good)) for bits in (1, 0x80, 0xFF)
    ]
    for data in (*bent, *(good[:at] for at in range(len(good)))):
        der.pem_label(data)
        for read in (der.request, der.certificate, der.public_key_text, der.private_key_text):
            with contextlib.suppress(UnreadableError):
                read(data)
