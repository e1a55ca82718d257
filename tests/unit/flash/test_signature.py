"""The judge is espsecure, which signs, and says what the digest of a key is."""

import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleetmint.errors import ImageError
from fleetmint.flash.signature import read_public_key, signers
from virtual.esp32.firmware import image

PLAIN = image("esp32s3", "secured")


def espsecure(directory, *arguments):
    program = Path(sys.executable).with_name("espsecure")
    subprocess.run([program, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys of secure boot, one of another size and one on a curve: NAME.pem and NAME.pub."""
    directory = tmp_path_factory.mktemp("keys")
    made = {
        "one": rsa.generate_private_key(65537, 3072),
        "two": rsa.generate_private_key(65537, 3072),
        "short": rsa.generate_private_key(65537, 2048),
        "curve": ec.generate_private_key(ec.SECP256R1()),
    }
    for name, key in made.items():
        pem, form, no = serialization.Encoding.PEM, serialization.PrivateFormat, serialization.NoEncryption()
        (directory / f"{name}.pem").write_bytes(key.private_bytes(pem, form.TraditionalOpenSSL, no))
        public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        (directory / f"{name}.pub").write_bytes(public)
    return directory


@pytest.fixture
def signed(keys, tmp_path):
    """Sign PLAIN with these keys, and return it with what follows in its partition."""

    def sign(*names):
        (tmp_path / "app.bin").write_bytes(PLAIN)
        files = [word for name in names for word in ("--keyfile", keys / f"{name}.pem")]
        espsecure(tmp_path, "sign-data", "--version", "2", *files, "--output", "signed.bin", "app.bin")
        return (tmp_path / "signed.bin").read_bytes() + b"\xff" * 0x1000

    return sign


def test_the_digest_of_a_key_is_the_one_that_espsecure_makes(keys, tmp_path):
    espsecure(tmp_path, "digest-sbv2-public-key", "--keyfile", keys / "one.pem", "--output", "digest")
    assert read_public_key(keys / "one.pub") == (tmp_path / "digest").read_bytes()


def test_an_image_names_all_that_signed_it(keys, signed):
    digests = {name: read_public_key(keys / f"{name}.pub") for name in ("one", "two")}
    assert signers(signed("one"), len(PLAIN)) == (digests["one"],)
    assert signers(signed("two", "one"), len(PLAIN)) == (digests["two"], digests["one"])


def test_an_image_that_was_changed_after_it_was_signed_is_refused(signed):
    data = bytearray(signed("one"))
    data[100] ^= 1
    with pytest.raises(ImageError, match="not as it is: it was changed after that"):
        signers(bytes(data), len(PLAIN))


def test_a_signature_that_is_none_does_not_count(signed):
    data = bytearray(signed("one"))
    sector = -(-len(PLAIN) // 0x1000) * 0x1000
    data[sector + 900] ^= 1
    # and its CRC with it, which anybody can
    data[sector + 1196 : sector + 1200] = zlib.crc32(bytes(data[sector : sector + 1196])).to_bytes(4, "little")
    with pytest.raises(ImageError, match="is not signed for secure boot v2: sign it with espsecure"):
        signers(bytes(data), len(PLAIN))


def test_an_image_without_a_signature_or_with_one_of_another_kind_is_refused(signed):
    with pytest.raises(ImageError, match="is not signed for secure boot v2: sign"):
        signers(PLAIN, len(PLAIN))
    with pytest.raises(ImageError, match=r"with RSA-3072 \(it is with ECDSA\)"):
        signers(signed("curve"), len(PLAIN))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one.pem", r"is a private key, and none is needed here.*openssl pkey -in one.pem -pubout"),
        ("short.pub", "is no RSA key of 3072 bits"),
        ("curve.pub", "is no RSA key of 3072 bits"),
        ("other", "is no public key in PEM"),
    ],
)
def test_what_is_no_public_key_for_these_chips_is_refused(keys, name, message):
    (keys / "other").write_text("nothing")
    with pytest.raises(ImageError, match=message):
        read_public_key(keys / name)
