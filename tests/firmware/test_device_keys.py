"""Keys, signatures and requests of the device, judged by published vectors and by openssl."""

import subprocess
from pathlib import Path

import pytest

from fleetmint.x509.request import read_request

pytestmark = pytest.mark.micropython

# RFC 6979, A.2.5: P-256 with SHA-256.
KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
PUBLIC = (
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
SIGNATURES = {
    "sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    "test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

MAKE = """
from agent import csr, p256
from agent.steps import at_once
key = p256.generate()
point = at_once(p256.public(key))
result([csr.encode_key(key, point).hex(), at_once(csr.build(key, point, name)).hex()])
"""


def openssl(*arguments: str, data: bytes) -> str:
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output


def test_the_public_point_is_that_of_the_published_vector(board):
    assert (
        board.run("from agent import p256, steps\nresult(steps.at_once(p256.public(int(key))).hex())", key=str(KEY))
        == PUBLIC
    )


@pytest.mark.parametrize("message", SIGNATURES)
def test_a_signature_without_hedge_is_that_of_rfc_6979(board, message):
    script = """
from agent import p256, steps
result([str(n) for n in steps.at_once(p256.sign(int(key), message.encode(), b''))])
"""
    r, s = board.run(script, key=str(KEY), message=message)
    assert (int(r), int(s)) == SIGNATURES[message]


def test_the_hedge_makes_every_signature_another_one(board):
    script = (
        "from agent import p256, steps\nresult([str(steps.at_once(p256.sign(int(key), b'x'))[0]) for _ in range(2)])"
    )
    first, second = board.run(script, key=str(KEY))
    assert first != second


def test_the_smallest_and_largest_keys_have_the_points_that_openssl_gives_them(board):
    from cryptography.hazmat.primitives.asymmetric import ec

    # Where the recoded scalar meets a point of the table, addition has to become doubling.
    scalars = [*range(1, 18), *(ORDER - n for n in range(1, 18)), 1 << 255, (1 << 256) - 1 - ORDER]
    script = "from agent import p256, steps\nresult([steps.at_once(p256.public(int(n))).hex() for n in scalars])"
    for scalar, point in zip(scalars, board.run(script, scalars=[str(n) for n in scalars]), strict=True):
        numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
        assert point == f"04{numbers.x:064x}{numbers.y:064x}", scalar


def test_a_random_number_outside_the_group_is_not_a_key(board):
    draws = [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, (7).to_bytes(32, "big")]
    script = "from agent import p256\ndraws = iter(draws)\nresult(p256.generate(lambda n: bytes.fromhex(next(draws))))"
    assert board.run(script, draws=[draw.hex() for draw in draws]) == 7


def test_openssl_accepts_the_key(board, tmp_path):
    key, _ = board.run(MAKE, name="")
    text = openssl("ec", "-inform", "DER", "-check", "-noout", data=bytes.fromhex(key))
    assert "EC Key valid" in text
    again = subprocess.run(
        ["openssl", "ec", "-inform", "DER", "-outform", "DER"],
        input=bytes.fromhex(key),
        capture_output=True,
        check=True,
    )
    assert again.stdout.hex() == key


@pytest.mark.parametrize(("name", "subject"), [("", "subject="), ("pump-0001", "subject=CN = pump-0001")])
def test_openssl_and_the_service_accept_the_request(board, name, subject):
    _, csr = board.run(MAKE, name=name)
    data = bytes.fromhex(csr)
    text = openssl("req", "-inform", "DER", "-verify", "-noout", "-subject", "-nameopt", "oneline", data=data)
    assert "verify OK" in text
    assert subject in [line.strip() for line in text.splitlines()]
    assert read_request(data).subject == ((name,) if name else ())


def test_openssl_verifies_a_signature(board, tmp_path: Path):
    script = """
from agent import csr, der, p256
from agent.steps import at_once
key = p256.generate()
point = at_once(p256.public(key))
r, s = at_once(p256.sign(key, bytes(range(200))))
result([csr.encode_key(key, point).hex(), der.tlv(der.SEQUENCE, der.integer(r), der.integer(s)).hex()])
"""
    key, signature = board.run(script)
    public, sig = tmp_path / "public.pem", tmp_path / "signature"
    subprocess.run(["openssl", "ec", "-inform", "DER", "-pubout", "-out", public], input=bytes.fromhex(key), check=True)
    sig.write_bytes(bytes.fromhex(signature))
    text = openssl("dgst", "-sha256", "-verify", str(public), "-signature", str(sig), data=bytes(range(200)))
    assert "Verified OK" in text


def test_a_key_survives_storing_and_reading(board):
    script = """
from agent import csr, p256
from agent.steps import at_once
key = p256.generate()
point = at_once(p256.public(key))
result(at_once(csr.decode_key(csr.encode_key(key, point))) == (key, point))
"""
    assert board.run(script) is True


@pytest.mark.parametrize("damage", ["", "30", "3000", "300302010100", "30220420" + "00" * 32, "30220420" + "ff" * 32])
def test_a_damaged_key_is_told_apart(board, damage):
    script = """
from agent import csr, steps
try:
    result(str(steps.at_once(csr.decode_key(bytes.fromhex(damage)))))
except ValueError:
    result("refused")
"""
    assert board.run(script, damage=damage) == "refused"


def test_a_key_of_another_curve_is_refused(board):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256K1())
    data = key.private_bytes(s.Encoding.DER, s.PrivateFormat.TraditionalOpenSSL, s.NoEncryption())
    script = """
from agent import csr, steps
try: steps.at_once(csr.decode_key(bytes.fromhex(key)))
except ValueError as e: result(str(e))
"""
    assert "P-256" in board.run(script, key=data.hex())


def test_key_and_request_are_made_in_a_small_heap_that_holds_the_whole_agent(board):
    key, csr = board.run(MAKE, name="", heap="160K")
    assert key
    assert csr


VERIFY = """
from agent import p256
from agent.steps import at_once
judge = lambda point, message, r, s: at_once(p256.verify(bytes.fromhex(point), message.encode(), int(r), int(s)))
result([judge(*case) for case in cases])
"""


def verdicts(board, *cases):
    return board.run(VERIFY, cases=[(point, message, str(r), str(s)) for point, message, r, s in cases])


def test_the_signatures_of_rfc_6979_are_good_and_nothing_beside_them_is(board):
    point, (r, s) = PUBLIC[2:], SIGNATURES["sample"]
    other = point[:-2] + "00"  # not on the curve
    good = [(point, message, *numbers) for message, numbers in SIGNATURES.items()]
    # the negative of s is a signature as well: ECDSA does not tell them apart
    good.append((point, "sample", r, ORDER - s))
    bad = [(point, "test", r, s), (point, "sample", s, r), (point, "sample", r + 1, s), (other, "sample", r, s)]
    bad += [(point, "sample", number, s) for number in (0, ORDER, r + ORDER)]
    bad += [(point, "sample", r, number) for number in (0, ORDER, s + ORDER)]
    bad += [("00" * 64, "sample", r, s), (point[:-2], "sample", r, s), ("ff" * 64, "sample", r, s)]
    assert verdicts(board, *good, *bad) == [True] * len(good) + [False] * len(bad)


def test_signatures_of_other_keys_are_verified_as_the_library_does(board):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    cases = []
    # the smallest and largest keys lead the sum of two points to its special cases
    for scalar in (1, 2, ORDER - 1, 0x1234567890ABCDEF):
        key = ec.derive_private_key(scalar, ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        for message in ("a", "b"):
            signature = utils.decode_dss_signature(key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
            cases.append((f"{numbers.x:064x}{numbers.y:064x}", message, *signature))
    assert verdicts(board, *cases) == [True] * len(cases)
    assert verdicts(board, *((point, message + "!", r, s) for point, message, r, s in cases)) == [False] * len(cases)
