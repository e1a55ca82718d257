import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from fleetmint.x509 import keys
from fleetmint.x509.request import RequestRefusedError, read_host_request, read_request
from tests.support import handmade

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def request(key, attributes=(), extension=None, encoding=DER, digest=hashes.SHA256()):  # noqa: B008
    names = [x509.NameAttribute(oid, value) for oid, value in attributes]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, digest).public_bytes(encoding)


@pytest.mark.parametrize("encoding", [DER, PEM])
def test_a_request_gives_its_key_and_its_name(encoding):
    key = keys.new_key()
    found = read_request(request(key, [(NameOID.COMMON_NAME, "lamp-000001")], encoding=encoding))
    assert found.subject == ("lamp-000001",)
    assert found.spki_sha256 == keys.spki_sha256(key.public_key())


def test_an_empty_subject_is_no_name():
    assert read_request(request(keys.new_key())).subject == ()


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("bad_key", lambda: request(rsa.generate_private_key(65537, 2048))),
        ("bad_key", lambda: request(keys.new_key("P-384"))),
        ("bad_key", lambda: request(ec.generate_private_key(ec.SECP192R1()))),
        ("bad_key", lambda: request(ed25519.Ed25519PrivateKey.generate(), digest=None)),
        ("bad_name", lambda: request(keys.new_key(), [(NameOID.ORGANIZATION_NAME, "other")])),
        ("bad_name", lambda: request(keys.new_key(), [(NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")])),
        ("bad_extension", lambda: request(keys.new_key(), (), x509.SubjectAlternativeName([x509.DNSName("x.org")]))),
        ("bad_extension", lambda: request(keys.new_key(), (), x509.BasicConstraints(ca=True, path_length=None))),
        ("bad_encoding", lambda: request(keys.new_key()) + b"\0"),
        ("bad_encoding", lambda: request(keys.new_key(), encoding=PEM) * 2),
        ("bad_encoding", lambda: b""),
        ("bad_encoding", lambda: b"-----BEGIN CERTIFICATE REQUEST-----\n"),
        ("too_large", lambda: b"0" * 9000),
    ],
)
def test_what_must_not_be_asked_for_is_refused_with_its_code(code, make):
    with pytest.raises(RequestRefusedError) as error:
        read_request(make())
    assert error.value.code == code


@pytest.mark.parametrize(
    ("key", "options", "code", "says"),
    [
        ("prime256v1", ["-sha1"], "bad_hash", "signed with SHA-1, which is not taken: sign it with SHA-256"),
        ("prime256v1", ["-sha3-256"], "bad_hash", "signed with SHA3-256"),
        ("rsa", ["-md5"], "bad_key", "this one is RSA; the request is signed with MD5, which is not taken"),
        ("SM2", [], "bad_key", "this one is SM2"),
        ("secp256k1", [], "bad_key", "this one is EC secp256k1"),
        ("brainpoolP512t1", [], "bad_key", "this one is EC brainpoolP512t1"),
    ],
)
def test_hash_and_key_of_a_refused_request_are_named(openssl, tmp_path, key, options, code, says):
    make = ["genrsa", "2048"] if key == "rsa" else ["ecparam", "-name", key, "-genkey", "-noout"]
    (tmp_path / "key").write_bytes(openssl(*make).stdout)
    data = openssl("req", "-new", "-key", tmp_path / "key", *options, "-subj", "/CN=lamp").stdout
    with pytest.raises(RequestRefusedError) as error:
        read_request(data)
    assert error.value.code == code
    assert says in str(error.value)


def test_a_gateways_request_is_held_to_the_same_hashes(openssl, tmp_path):
    (tmp_path / "key").write_bytes(openssl("genrsa", "3072").stdout)
    for options, code in ((["-sha1"], "bad_hash"), (["-md5"], "bad_hash"), (["-sha256"], None)):
        data = openssl("req", "-new", "-key", tmp_path / "key", *options, "-subj", "/CN=gateway").stdout
        if code is None:
            assert read_host_request(data).key_size == 3072
            continue
        with pytest.raises(RequestRefusedError) as error:
            read_host_request(data)
        assert error.value.code == code


@pytest.mark.parametrize("digest", ["-sha224", "-sha256", "-sha384", "-sha512"])
def test_hashes_of_today_are_taken(openssl, tmp_path, digest):
    (tmp_path / "key").write_bytes(openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout").stdout)
    data = openssl("req", "-new", "-key", tmp_path / "key", digest, "-subj", "/CN=lamp").stdout
    assert read_request(data).subject == ("lamp",)


def test_a_key_on_p256_with_parameters_of_its_own_is_refused(openssl, tmp_path):
    make = ["ecparam", "-name", "prime256v1", "-param_enc", "explicit", "-genkey", "-noout"]
    (tmp_path / "key").write_bytes(openssl(*make).stdout)
    with pytest.raises(RequestRefusedError, match="this one is EC with parameters of its own"):
        read_request(openssl("req", "-new", "-key", tmp_path / "key", "-subj", "/CN=lamp").stdout)


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a private key", keys.plain_pem(keys.new_key())),
        ("a private key", keys.device_der(keys.new_key())),
        ("a Java keystore", bytes.fromhex("feedfeed") + bytes(60)),
        ("an OpenSSH public key", b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== bob"),
    ],
)
def test_something_else_than_a_request_is_called_what_it_is(what, data):
    for read in (read_request, read_host_request):
        with pytest.raises(RequestRefusedError, match=rf"no certificate request \(PKCS #10\), but {what}") as error:
            read(data)
        assert error.value.code == "bad_encoding"


def test_a_request_signed_by_another_key_is_refused():
    mine, other = request(keys.new_key()), request(keys.new_key())
    # same length of the signed part, so the other's signature fits behind it
    forged = mine[: len(mine) - 20] + other[len(other) - 20 :]
    with pytest.raises(RequestRefusedError) as error:
        read_request(forged)
    assert error.value.code in {"bad_signature", "bad_encoding"}


@pytest.mark.parametrize(("parameters", "taken"), [(b"", True), (b"\x06\x01\x2a", False)])
def test_an_ecdsa_signature_has_no_parameters(parameters, taken):
    key = keys.new_key()
    good = handmade.request(key)
    algorithm = handmade.tlv(0x30, handmade.ALGORITHMS["sha256"])
    inside = good.replace(algorithm, handmade.tlv(0x30, handmade.ALGORITHMS["sha256"] + parameters))
    data = handmade.tlv(0x30, inside[2 if good[1] < 0x80 else 3 :])
    if taken:
        assert read_request(data).subject == ()
    else:
        with pytest.raises(RequestRefusedError) as error:
            read_request(data)
        assert error.value.code == "bad_encoding"


def test_a_point_off_the_curve_is_refused():
    key = keys.new_key()
    good = request(key)
    numbers = key.public_key().public_numbers()
    point = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    broken = good.replace(point, point[:-1] + bytes([point[-1] ^ 1]))
    assert broken != good
    with pytest.raises(RequestRefusedError):
        read_request(broken)
