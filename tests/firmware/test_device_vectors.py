"""The arithmetic of the device against NIST's vectors, and against OpenSSL a thousand times."""

import random
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

pytestmark = pytest.mark.micropython

VECTORS = Path(__file__).parent / "vectors" / "cavp_p256.rsp"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ECDSA = ec.ECDSA(hashes.SHA256())


def vectors(section):
    """Return the cases of a section: name of a value → its text."""
    text = VECTORS.read_text().split(f"[{section}]\n")[1].split("\n[")[0]
    blocks = [dict(line.split(" = ") for line in block.splitlines()) for block in text.strip().split("\n\n")]
    assert len(blocks) >= 10
    return blocks


POINTS = """
from agent import p256
from agent.steps import at_once
result([at_once(p256.public(int(key, 16))).hex() for key in keys])
"""

VERIFY = """
from agent import p256
from agent.steps import at_once
def judge(point, message, r, s):
    return at_once(p256.verify(bytes.fromhex(point), bytes.fromhex(message), int(r, 16), int(s, 16)))
result([judge(*case) for case in cases])
"""

SIGN = """
from agent import p256
from agent.steps import at_once
def signed(key, message, nonce=None):
    if nonce: p256._nonces = lambda key, digest, extra: iter([int(nonce, 16)])
    return ["%x" % number for number in at_once(p256.sign(int(key, 16), bytes.fromhex(message)))]
result([signed(*case) for case in cases])
"""


def test_keys_have_the_points_of_cavp(board):
    cases = vectors("KeyPair")
    points = board.run(POINTS, keys=[case["d"] for case in cases])
    assert points == [f"04{case['Qx']}{case['Qy']}" for case in cases]


def test_signatures_with_the_nonces_of_cavp_are_those_of_cavp(board):
    cases = vectors("SigGen")
    signatures = board.run(SIGN, cases=[[case["d"], case["Msg"], case["k"]] for case in cases])
    assert [[int(r, 16), int(s, 16)] for r, s in signatures] == [
        [int(case["R"], 16), int(case["S"], 16)] for case in cases
    ]


def test_signatures_are_judged_as_by_cavp(board):
    cases = vectors("SigVer")
    given = [[case["Qx"] + case["Qy"], case["Msg"], case["R"], case["S"]] for case in cases]
    good = [case["Result"].startswith("P") for case in cases]
    assert True in good
    assert False in good
    assert board.run(VERIFY, cases=given) == good


def test_nothing_is_signed_by_a_point_that_cavp_calls_none(board):
    # a signature of the same r and s is none under any of these points; those that are none must not raise either
    cases = [case for case in vectors("PKV") if not case["Result"].startswith("P")]
    assert cases
    given = [
        ["".join(case[name].zfill(64 if len(case[name]) <= 64 else 66) for name in ("Qx", "Qy")), "00", "1", "1"]
        for case in cases
    ]
    assert board.run(VERIFY, cases=given) == [False] * len(cases)


@pytest.mark.parametrize("chunk", range(10))
def test_a_hundred_points_signatures_and_verdicts_agree_with_openssl(board, chunk):
    chance = random.Random(chunk)  # noqa: S311 - which cases are tried, not secrets
    keys = [ec.derive_private_key(chance.randrange(1, ORDER), ec.SECP256R1()) for _ in range(30)]
    numbers = [f"{key.private_numbers().private_value:x}" for key in keys]
    messages = [chance.randbytes(chance.randrange(1, 200)) for _ in range(40)]
    # thirty points and thirty signatures of the device, judged by OpenSSL
    points = board.run(POINTS, keys=numbers)
    assert points == [point(key) for key in keys]
    wanted = [[number, message.hex()] for number, message in zip(numbers, messages, strict=False)]
    for key, (_, message), (r, s) in zip(keys, wanted, board.run(SIGN, cases=wanted), strict=True):
        signature = utils.encode_dss_signature(int(r, 16), int(s, 16))
        key.public_key().verify(signature, bytes.fromhex(message), ECDSA)
    # forty signatures of OpenSSL, half of them spoilt, judged by the device
    given, good = [], []
    for n, message in enumerate(messages):
        key = keys[n % len(keys)]
        r, s = utils.decode_dss_signature(key.sign(message, ECDSA))
        if n % 2:
            r, s, message = chance.choice(
                [(r ^ 1, s, message), (r, s ^ 1, message), (r, s, message + b"!"), (s, r, message)]
            )
        given.append([point(key)[2:], message.hex(), f"{r:x}", f"{s:x}"])
        good.append(accepted(key, message, r, s))
    assert True in good
    assert False in good
    assert board.run(VERIFY, cases=given, timeout=60) == good


def point(key):
    public = key.public_key().public_numbers()
    return f"04{public.x:064x}{public.y:064x}"


def accepted(key, message, r, s):
    try:
        key.public_key().verify(utils.encode_dss_signature(r, s), message, ECDSA)
    except InvalidSignature:
        return False
    return True
