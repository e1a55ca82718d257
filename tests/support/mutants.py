"""Certificate requests bent in one place each: by bits and bytes, or by the elements of their DER."""

import base64
import random
import re
from collections.abc import Callable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import handmade

_CONSTRUCTED = 0x20
_TAGS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1E, 0x30, 0x31, 0x80, 0xA0, 0xA3, 0xFF)

Node = tuple[int, "bytes | list[Node]"]


def mutants(bases: Sequence[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """Give `count` of them, of which none is one of `bases`."""
    made = 0
    while made < count:
        base = chance.choice(bases)
        found = chance.choice((_bend_bytes, _bend_elements))(base, chance)
        if found not in bases:
            yield found
            made += 1


def signed_mutants(base: bytes, key: ec.EllipticCurvePrivateKey, count: int, chance: random.Random) -> Iterator[bytes]:
    """Give mutants of what a request says, signed anew by its key, so that no signature gives them away."""
    _, parts = read(base)
    assert isinstance(parts, list)
    for tbs in mutants([write(parts[0])], count, chance):
        yield handmade.signed(tbs, key)


def der_of(data: bytes) -> bytes:
    """Return DER of what may be PEM."""
    found = re.search(rb"-----BEGIN [A-Z ]+-----([^-]+)-----END", data)
    return base64.b64decode(found[1]) if found else data


def read(data: bytes) -> Node:
    """Take one element apart, as far as it can be."""
    (node,) = _read_all(data)
    return node


def write(node: Node) -> bytes:
    tag, content = node
    return handmade.tlv(tag, content if isinstance(content, bytes) else b"".join(map(write, content)))


def _read_all(data: bytes) -> list[Node]:
    nodes: list[Node] = []
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            octets = size & 0x7F
            size, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        content = data[at : at + size]
        nodes.append((tag, _inside(content) if tag & _CONSTRUCTED else content))
        at += size
    return nodes


def _inside(content: bytes) -> "bytes | list[Node]":
    try:
        return _read_all(content)
    except IndexError:
        return content  # not what its tag says


def _bend_bytes(data: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.choice((1, 1, 1, 2, 4, 16, 64))
    kind = chance.randrange(6)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([chance.choice((0, 1, 0x7F, 0x80, 0x81, 0x84, 0xFF))]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[at + size :]
    if kind == 3:
        return data[:at] + chance.randbytes(size) + data[at:]
    if kind == 4:
        return data[:at] + data[at : at + size] + data[at:]
    return data[:at]


def _bend_elements(data: bytes, chance: random.Random) -> bytes:
    root = read(data)
    lists = [root[1]]
    for found in lists:
        assert isinstance(found, list)
        lists += [content for _, content in found if isinstance(content, list) and content]
    place = chance.choice(lists)
    assert isinstance(place, list)
    at = chance.randrange(len(place))
    bend: Sequence[Callable[[Node], list[Node]]] = (
        lambda node: [],
        lambda node: [node, node],
        lambda node: [(chance.choice(_TAGS), node[1])],
        lambda node: [(node[0], b"")],
        lambda node: [(node[0], chance.randbytes(chance.choice((1, 5, 40, 300))))],
        lambda node: [(node[0], [node])],
        lambda node: [(chance.choice(_TAGS), b""), node],
    )
    place[at : at + 1] = chance.choice(bend)(place[at])
    return write(root)
