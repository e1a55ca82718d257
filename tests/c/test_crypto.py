"""Keys and requests of the C core, made by BearSSL and mbedTLS and judged by OpenSSL."""

import hashlib
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from fleetmint.x509 import keys
from fleetmint.x509.request import read_request
from tests.support import c_bearssl, c_esp32
from tests.support.c_build import run

MESSAGE = b"whatever has to be signed"


@pytest.fixture(scope="module", params=[c_bearssl, c_esp32], ids=["bearssl", "mbedtls"])
def made(build, request, tmp_path_factory):
    """What the program says about a key of the factory, and that key."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path_factory.mktemp("key") / "key.der"
    path.write_bytes(keys.device_der(key))
    lines = run(request.param.program(build, "test/crypto.c"), path, given=MESSAGE).decode().split()
    return key, [bytes.fromhex(line) for line in lines]


def test_a_new_key_has_the_form_in_which_the_factory_writes_keys(made):
    new = serialization.load_der_private_key(made[1][0], None)
    assert keys.device_der(new) == made[1][0]
    assert new.private_numbers() != made[0].private_numbers()


def test_the_gateway_takes_the_requests(made):
    factory, (new, of_new, of_factory, *_) = made
    for key, csr in ((serialization.load_der_private_key(new, None), of_new), (factory, of_factory)):
        assert read_request(csr).public_key == key.public_key()
        assert x509.load_der_x509_csr(csr).subject == x509.Name([])


def test_openssl_finds_the_request_good(made, tmp_path):
    (tmp_path / "csr.der").write_bytes(made[1][1])
    command = ["openssl", "req", "-inform", "DER", "-in", tmp_path / "csr.der", "-verify", "-noout"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "verify OK" in done.stderr


def test_hash_and_signature_are_those_of_everybody(made):
    key, (*_, digest, signature) = made
    assert digest == hashlib.sha256(MESSAGE).digest()
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    key.public_key().verify(utils.encode_dss_signature(r, s), MESSAGE, ec.ECDSA(hashes.SHA256()))
