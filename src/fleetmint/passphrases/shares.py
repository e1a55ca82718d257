"""Shares of the root's passphrase: so many of them open the root, one fewer says nothing about it.

The passphrase of a root made in a ceremony is 128 random bits as base32, because that is what Shamir's scheme over
GF(2^128), as pycryptodome has it, splits (https://doi.org/10.1145/359168.359176). A share on paper is a code of 48
letters and digits (RFC 4648 base32, which has no 0, 1, 8 and 9 to be mistaken for letters):

    1 byte format, 1 number of the share, 1 how many there are, 1 how many are needed,
    6 start of the SHA-256 of the root's certificate, 16 the share itself, 4 checksum (SHA-256 of all before)
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from Crypto.Protocol.SecretSharing import Shamir

from fleetmint import files
from fleetmint.errors import SecretError
from fleetmint.passphrases.source import ROOT, Given

FORMAT = 1
SECRET_BYTES = 16
ROOT_BYTES = 6
CODE_LENGTH = 48
MOST = 20
# What a hurried reader takes for a letter of base32.
_MISREAD = str.maketrans("018", "OIB")
_CODE_LINE = re.compile(r"^ +(?:code +)?((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})$", re.MULTILINE)


@dataclass(frozen=True)
class Share:
    """Share `number` of `count`, of which any `needed` restore the passphrase of the root that `root` begins."""

    number: int
    count: int
    needed: int
    root: bytes
    value: bytes = field(repr=False)


def new_secret() -> bytes:
    """Return the 16 random bytes of a root's passphrase."""
    return secrets.token_bytes(SECRET_BYTES)


def passphrase(secret: bytes) -> bytes:
    """Return the passphrase that 16 bytes stand for: base32 without padding, 26 characters."""
    return base64.b32encode(secret).rstrip(b"=")


def split(secret: bytes, fingerprint: bytes, count: int, needed: int) -> tuple[Share, ...]:
    """Split the 16-byte `secret` of the root with the SHA-256 `fingerprint` into `count` shares.

    Raises SecretError when `needed` of `count` is no sensible number of people.
    """
    checked_numbers(count, needed)
    parts = Shamir.split(needed, count, secret)
    return tuple(Share(number, count, needed, fingerprint[:ROOT_BYTES], value) for number, value in parts)


def checked_numbers(count: int, needed: int) -> None:
    """Raise SecretError unless `needed` of `count` shares is a sensible choice."""
    if not 2 <= needed <= count <= MOST:
        raise SecretError(
            f"{needed} of {count} shares cannot be: at least 2 are needed, of as many or more, and at most {MOST}"
        )


def join(shares: Sequence[Share]) -> bytes:
    """Return the 16-byte secret; raise SecretError when the shares are too few or of different roots."""
    if not shares:
        raise SecretError("there are no shares here: bring as many as each of them says are needed")
    first = shares[0]
    if any((s.root, s.count, s.needed) != (first.root, first.count, first.needed) for s in shares):
        raise SecretError("these shares are of different roots: compare the fingerprints that are printed on them")
    distinct = {share.number: share.value for share in shares}
    if len(distinct) < first.needed:
        have = ", ".join(map(str, sorted(distinct)))
        raise SecretError(
            f"{first.needed} shares are needed, and there are {len(distinct)} (number {have}): bring more of them"
        )
    return bytes(Shamir.combine(sorted(distinct.items())))


def code(share: Share) -> str:
    """Return what is written down: 48 characters in three lines of four groups."""
    head = bytes([FORMAT, share.number, share.count, share.needed])
    data = head + share.root + share.value
    text = base64.b32encode(data + _checksum(data)).decode()
    groups = [text[at : at + 4] for at in range(0, CODE_LENGTH, 4)]
    return "\n".join("-".join(groups[at : at + 4]) for at in range(0, len(groups), 4))


def printed(share: Share, site: str, fingerprint: str) -> str:
    """Return the paper of one share, which read_share reads again; `fingerprint` is the root's, as text."""
    half = len(fingerprint) // 2
    lines = code(share).splitlines()
    return (
        f"Fleetmint: share {share.number} of {share.count} of a root's passphrase\n\n"
        f"  site    {site}\n"
        f"  root    {fingerprint[: half + 1]}\n"
        f"          {fingerprint[half + 1 :]}\n"
        f"  share   number {share.number} of {share.count}; any {share.needed} of them open the root\n\n"
        f"  code    {lines[0]}\n          {lines[1]}\n          {lines[2]}\n\n"
        "Keep it where no other share of this root is kept. The code has a checksum: a slip of the pen is noticed.\n"
        "Try the shares once a year: fleetmint ceremony check --directory DIRECTORY\n"
    )


def read_share(text: str) -> Share:
    """Read a share from its paper as a file, or from its code as somebody types it.

    Spaces, dashes and case do not matter. Raises SecretError, without showing what was read, when it is no share.
    """
    found = _CODE_LINE.findall(text)
    typed = "".join(found) if found else text
    letters = re.sub(r"[\s-]", "", typed).upper().translate(_MISREAD)
    if len(letters) != CODE_LENGTH:
        raise SecretError(f"the code of a share has {CODE_LENGTH} letters and digits, and this has {len(letters)}")
    try:
        raw = base64.b32decode(letters)
    except binascii.Error as error:
        raise SecretError("the code of a share has only the letters A to Z and the digits 2 to 7") from error
    data, checksum = raw[:-4], raw[-4:]
    if _checksum(data) != checksum:
        raise SecretError("the checksum of this share is wrong: compare it with the paper, letter by letter")
    if data[0] != FORMAT:
        raise SecretError(f"this share has the format {data[0]}, which is not known here: use a newer Fleetmint")
    return Share(data[1], data[2], data[3], data[4 : 4 + ROOT_BYTES], data[4 + ROOT_BYTES :])


def read_files(paths: Sequence[Path]) -> tuple[Share, ...]:
    """Read a share from each file; raise SecretError naming the file that holds none."""
    found = []
    for path in paths:
        try:
            found.append(read_share(files.read_private(path, "share").decode(errors="replace")))
        except SecretError as error:
            raise SecretError(f"{path}: {error}") from error
    return tuple(found)


def source_of_files(directory: Path) -> Given:
    """Return the source of the root's passphrase that is joined from the `share-*.txt` files in `directory`."""
    return source(lambda: read_files(sorted(directory.glob("share-*.txt"))))


def source(shares: Callable[[], Sequence[Share]]) -> Given:
    """Return the source of the root's passphrase that is joined from `shares`, which is called when it is needed."""

    def ask(name: str) -> bytes:
        if name != ROOT:
            raise SecretError(f"shares open the root only, and the {name} passphrase is needed: name vault:DIRECTORY")
        return passphrase(join(shares()))

    return Given(ask, "from shares")


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(b"fleetmint share" + data).digest()[:4]
