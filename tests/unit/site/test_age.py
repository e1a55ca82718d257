"""Files that a passphrase opens: age itself opens ours, we open age's, and nothing that was touched is taken."""

import io
import os
import pty
import shutil
from pathlib import Path

import pytest

from fleetmint.errors import SecretError, StateError
from fleetmint.site import age

PASSPHRASE = "six random words, say, of a list"  # noqa: S105 - of files that the test writes
# Around the size of a chunk something else happens at the end.
SIZES = (0, 1, 65535, 65536, 65537, 131072, 200_000)


def ours(data: bytes, passphrase: str = PASSPHRASE) -> bytes:
    parts = (data[at : at + 10_000] for at in range(0, len(data), 10_000))
    return b"".join(age.encrypt(passphrase, parts, work_factor=10))


def opened(data: bytes, passphrase: str = PASSPHRASE) -> bytes:
    return b"".join(age.decrypt(passphrase, io.BytesIO(data), "the backup"))


def age_program(*arguments: object, answers: int) -> int:
    """Run age, which asks for passphrases at a terminal only; return its exit code."""
    program = shutil.which("age")
    assert program, "age is not installed: run scripts/setup test"
    process, terminal = pty.fork()
    if process == 0:
        os.execv(program, ["age", *map(str, arguments)])  # noqa: S606
    said = b""
    try:
        while data := os.read(terminal, 1000):
            said += data
            if data.rstrip().endswith(b":") and answers:
                answers -= 1
                os.write(terminal, f"{PASSPHRASE}\n".encode())
    except OSError:
        pass  # it has ended
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize("size", SIZES[1:])  # of nothing it makes no file
def test_age_opens_what_is_written_here(size: int, tmp_path: Path):
    data = os.urandom(size)
    (tmp_path / "ours").write_bytes(ours(data))
    assert age_program("--decrypt", "--output", tmp_path / "opened", tmp_path / "ours", answers=1) == 0
    assert (tmp_path / "opened").read_bytes() == data


def test_what_age_writes_is_opened_here(tmp_path: Path):
    (tmp_path / "plain").write_bytes(os.urandom(70_000))
    assert age_program("--passphrase", "--output", tmp_path / "theirs", tmp_path / "plain", answers=2) == 0
    assert opened((tmp_path / "theirs").read_bytes()) == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read_again(size: int):
    data = os.urandom(size)
    assert opened(ours(data)) == data


def test_another_passphrase_opens_nothing():
    with pytest.raises(SecretError, match="does not open the backup"):
        opened(ours(b"x"), "another one")


def test_a_file_that_was_cut_anywhere_is_refused():
    whole = ours(os.urandom(140_000))
    for end in (0, 10, 60, 150, 160, 180, 200, 65_800, 131_500, len(whole) - 1):
        with pytest.raises((StateError, SecretError)):
            opened(whole[:end])


def test_a_file_of_which_one_bit_was_changed_is_refused():
    whole = ours(os.urandom(70_000))
    for at in (0, 25, 40, 60, 100, 150, 175, 190, 60_000, len(whole) - 3):
        with pytest.raises((StateError, SecretError)):
            opened(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


def test_something_behind_the_end_is_refused():
    with pytest.raises(StateError, match="damaged or cut"):
        opened(ours(os.urandom(70_000)) + b"more")


def test_what_would_take_all_memory_is_refused():
    greedy = ours(b"x").replace(b" 10\n", b" 30\n", 1)
    with pytest.raises(StateError, match="20 is the most"):
        opened(greedy)
