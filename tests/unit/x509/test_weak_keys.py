"""Keys that everybody knows are known by the public halves that their sources print."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.x509.weak_keys import is_weak

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def from_base64(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "="), "big")


PRINTED = {
    "RFC 6979, A.2.5": (
        0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
        0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
    ),
    "RFC 5903, 8.1, initiator": (
        0xDAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180,
        0x5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3,
    ),
    "RFC 5903, 8.1, responder": (
        0xD12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63,
        0x56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB,
    ),
    "RFC 7515, A.3.1": (
        from_base64("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        from_base64("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ),
    "RFC 7517, A.1": (
        from_base64("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"),
        from_base64("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"),
    ),
    "the base point": (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
}


@pytest.mark.parametrize(("x", "y"), PRINTED.values(), ids=PRINTED)
def test_a_key_that_is_printed_in_a_standard_is_weak(x, y):
    assert is_weak(ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())


@pytest.mark.parametrize("scalar", [1, 2, 256, N - 1, N - 256, int.from_bytes(b"\x5a" * 32, "big")])
def test_a_key_that_a_broken_generator_gives_is_weak(scalar):
    assert is_weak(ec.derive_private_key(scalar, ec.SECP256R1()).public_key())


def test_a_key_that_was_made_is_not_weak():
    assert not any(is_weak(ec.generate_private_key(ec.SECP256R1()).public_key()) for _ in range(20))
