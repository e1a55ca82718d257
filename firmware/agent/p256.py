# ECDSA on the curve P-256 in plain Python, because stock MicroPython makes neither keys nor signatures.
#
# It makes one key and signs one request in the life of a certificate, and verifies what the release key signed; every
# handshake is done by mbedTLS. What takes long on a board (public, sign, verify) is a generator that yields after every
# window of a multiplication, some tens of milliseconds on an ESP32; `steps` runs it, at once or between other tasks.
# Sources: SEC 1 v2 (curve, encodings), FIPS 186-5 (ECDSA), RFC 6979 with extra data of section 3.6 (nonce),
# Bernstein and Lange's Explicit-Formulas Database (Jacobian formulas dbl-2001-b and add-2007-bl).

import hashlib
import os

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    1,
)
# The curve is y**2 = x**3 - 3 * x + B.
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
# The point at infinity has no affine form; in Jacobian coordinates it is any point with z = 0.
INFINITY = (1, 1, 0)


def _double(point):
    x, y, z = point
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    z3 = ((y + z) * (y + z) - gamma - delta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, z3


def _add(left, right):
    x1, y1, z1 = left
    x2, y2, z2 = right
    if not z1:
        return right
    if not z2:
        return left
    zz1 = z1 * z1 % P
    zz2 = z2 * z2 % P
    u1 = x1 * zz2 % P
    h = (x2 * zz1 - u1) % P
    s1 = y1 * z2 * zz2 % P
    r = (y2 * z1 * zz1 - s1) % P
    if not h:
        return INFINITY if r else _double(left)
    hh = h * h % P
    hhh = h * hh % P
    v = u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, z1 * z2 * h % P


def _inverse(value, prime):
    # By Fermat. The exponent is no secret, so its zeros may be skipped; in steps, unlike pow().
    exponent = prime - 2
    result = 1
    for bit in range(255, -1, -1):
        result = result * result % prime
        if exponent >> bit & 1:
            result = result * value % prime
        if not bit & 15:
            yield
    return result


def _multiply(k, point):
    # Affine coordinates of k * point, for 0 < k < N. k is made odd and cut into 65 odd digits of -15 .. 15, so that
    # every digit costs four doublings and one addition whatever its value: eight points of table, and the order of
    # the operations does not depend on the key.
    k += N if not k & 1 else 2 * N
    twice = _double(point)
    odd = [point]
    for _ in range(7):
        odd.append(_add(odd[-1], twice))
        yield
    digits = bytearray(65)
    for i in range(64):
        digits[i] = k & 31
        k = (k >> 5 << 1) + 1
        # k is odd again: (k - digit) / 16, with digit = (k mod 32) - 16
    result = odd[k >> 1]
    for i in range(63, -1, -1):
        digit = digits[i] - 16
        x, y, z = odd[(digit if digit > 0 else -digit) >> 1]
        for _ in range(4):
            result = _double(result)
        result = _add(result, (x, y if digit > 0 else P - y, z))
        yield
    x, y, z = result
    inverse = yield from _inverse(z, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _hmac(key, *parts):
    # RFC 2104 with SHA-256, for keys of at most one block.
    block = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block))
    for part in parts:
        inner.update(part)
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner.digest()).digest()


def _int(data):
    return int.from_bytes(data, "big")


def _bytes(value):
    return value.to_bytes(32, "big")


def generate(random=os.urandom):
    """A private key in 1 .. N-1.

    `random` must be a true source: on an ESP32 os.urandom is one only while the radio is on.
    """
    while True:
        # Rejection keeps the distribution even; a second round is needed once in 2**32 times.
        key = _int(random(32))
        if 0 < key < N:
            return key


def public(key):
    """The uncompressed public point of a private key: 65 bytes, 04 || x || y. A generator, see `steps`."""
    x, y = yield from _multiply(key, G)
    return b"\x04" + _bytes(x) + _bytes(y)


def _nonces(key, digest, extra):
    # RFC 6979, section 3.2, with the additional data of 3.6: even a bad random source cannot reveal the key.
    seed = _bytes(key) + _bytes(_int(digest) % N) + extra
    k = bytes(32)
    v = b"\x01" * 32
    k = _hmac(k, v, b"\x00", seed)
    v = _hmac(k, v)
    k = _hmac(k, v, b"\x01", seed)
    v = _hmac(k, v)
    while True:
        v = _hmac(k, v)
        nonce = _int(v)
        if 0 < nonce < N:
            yield nonce
        k = _hmac(k, v, b"\x00")
        v = _hmac(k, v)


def sign(key, message, extra=None):
    """The ECDSA signature (r, s) of SHA-256(message). A generator, see `steps`.

    `extra` is the hedge, 32 random bytes by default; an empty one gives the deterministic signature of RFC 6979.
    """
    digest = hashlib.sha256(message).digest()
    nonces = _nonces(key, digest, os.urandom(32) if extra is None else extra)
    r = s = 0
    while not (r and s):
        nonce = next(nonces)
        x, _ = yield from _multiply(nonce, G)
        r = x % N
        inverse = yield from _inverse(nonce, N)
        s = inverse * (_int(digest) + r * key) % N
    return r, s


def verify(point, message, r, s):
    """Whether (r, s) is an ECDSA signature of SHA-256(message) by the key `point` (64 bytes, x || y).

    A generator, see `steps`.
    """
    x, y = _int(point[:32]), _int(point[32:])
    on_curve = x < P and y < P and not (y * y - x * x * x + 3 * x - B) % P
    if len(point) != 64 or not on_curve or not (0 < r < N and 0 < s < N):
        return False
    inverse = yield from _inverse(s, N)
    x, y = yield from _multiply(r * inverse % N, (x, y, 1))
    total = (x, y, 1)
    scalar = _int(hashlib.sha256(message).digest()) * inverse % N
    if scalar:
        x, y = yield from _multiply(scalar, G)
        total = _add((x, y, 1), total)
    x, _, z = total
    # Without a division: x / z**2 = r (mod N), where the left side may lie above N by one N at most.
    square = z * z % P
    return bool(z) and any((candidate * square - x) % P == 0 for candidate in (r, r + N) if candidate < P)
