"""Public keys whose private keys everybody knows: printed in standards, or what a random generator that fails gives.

A copied example or a board whose generator returns the same byte again and again would have an identity that anybody
can take. Only the x coordinate is compared, which k and N - k share.
"""

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

# Private keys on P-256 that are printed somewhere.
_PUBLISHED = (
    # RFC 6979, A.2.5
    0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721,
    # RFC 5903, 8.1: of both sides
    0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433,
    0xC6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53,
    # RFC 7515, A.3.1
    0x8E9B109E719098BF980487DF1F5D77E9CB29606EBED2263B5F57C213DF84F4B2,
    # RFC 7517, A.2
    0xF3BD0C07A81FB932781ED52752F60CC89A6BE5E51934FE01938DDB55D8F77801,
)
_SMALL = 256
_BYTES = 32


@lru_cache(maxsize=1)
def _known() -> frozenset[int]:
    same_byte = (int.from_bytes(bytes([byte]) * _BYTES, "big") for byte in range(1, 255))
    counted = int.from_bytes(bytes(range(_BYTES)), "big"), int.from_bytes(bytes(range(1, _BYTES + 1)), "big")
    scalars = (*_PUBLISHED, *range(1, _SMALL + 1), *same_byte, *counted)
    return frozenset(
        ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers().x for scalar in scalars
    )


def is_weak(key: ec.EllipticCurvePublicKey) -> bool:
    """Whether the private key of this public key, on P-256, is one that everybody knows."""
    return key.public_numbers().x in _known()
