import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fleetmint import files, staging
from fleetmint.errors import StateError


def test_files_are_written_together_with_the_directories_they_need(tmp_path):
    files.write_together([files.File(tmp_path / "a/b/one", b"1"), files.File(tmp_path / "two", b"2", 0o644)])
    assert (tmp_path / "a/b/one").read_bytes() == b"1"
    assert (tmp_path / "a/b/one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o644


def test_a_disk_that_fills_up_changes_none_of_the_files_and_leaves_nothing_behind(tmp_path, full_disk):
    (tmp_path / "old").write_bytes(b"old")
    with full_disk(1000), pytest.raises(StateError, match=r"cannot write .*big.*the old content is untouched"):
        files.write_together(
            [
                files.File(tmp_path / "old", b"new"),
                files.File(tmp_path / "fresh/small", b"x"),
                files.File(tmp_path / "fresh/big", b"x" * 2000),
            ]
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError, match="cannot make the directory"):
        files.make_private_dir(tmp_path / "file/below")


REMEDIES = {errno.EIO: "dmesg", errno.ENOSPC: "make room", errno.EROFS: "mount that file system writable"}


def refuse(monkeypatch, owner, name, code, *, only=lambda *_: True):
    """Let a call of the system fail as a bad card does."""
    real = getattr(owner, name)

    def call(*arguments, **options):
        if only(*arguments):
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


def is_directory(handle):
    return Path(f"/proc/self/fd/{handle}").is_dir()


@pytest.mark.parametrize("code", REMEDIES)
@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
def test_a_disk_that_fails_before_the_file_has_its_name_leaves_the_old_one(tmp_path, monkeypatch, call, code):
    (tmp_path / "one").write_bytes(b"old")
    owner = {"mkstemp": staging.tempfile, "fsync": os, "replace": Path}[call]
    refuse(monkeypatch, owner, call, code)
    for write in (
        lambda: files.write_atomically(tmp_path / "one", b"new"),
        lambda: files.write_together([files.File(tmp_path / "one", b"new"), files.File(tmp_path / "a/two", b"2")]),
    ):
        with pytest.raises(StateError) as told:
            write()
        assert str(told.value).startswith(f"cannot write {tmp_path / 'one'}: {os.strerror(code)}; the old content")
        assert REMEDIES[code] in str(told.value)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "one"]
        assert (tmp_path / "one").read_bytes() == b"old"


@pytest.mark.parametrize("code", REMEDIES)
def test_a_directory_that_does_not_reach_the_disk_is_named_with_what_may_be_undone(tmp_path, monkeypatch, code):
    refuse(monkeypatch, os, "fsync", code, only=is_directory)
    for write in (
        lambda: files.write_atomically(tmp_path / "one", b"new"),
        lambda: files.write_together([files.File(tmp_path / "one", b"new")]),
    ):
        with pytest.raises(StateError, match=r"is written, but the directory .* may not be on the disk") as told:
            write()
        assert str(tmp_path / "one") in str(told.value)
        assert REMEDIES[code] in str(told.value)
        assert (tmp_path / "one").read_bytes() == b"new"
    (tmp_path / "key").write_bytes(b"secret")
    with pytest.raises(StateError, match="may not be on the disk"):
        files.destroy(tmp_path / "key")


def test_a_file_system_that_knows_no_directories_on_a_disk_is_none_that_fails(tmp_path, monkeypatch):
    refuse(monkeypatch, os, "fsync", errno.EINVAL, only=is_directory)
    files.write_atomically(tmp_path / "one", b"new")
    assert (tmp_path / "one").read_bytes() == b"new"


WRITER = """
import os, signal, sys
from pathlib import Path
from fleetmint import files
path = Path(sys.argv[1])
def content():
    yield b"half"
    print("writing", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()
    yield b" and half"
files.write_atomically(path, content())
"""


def writer(path, ending):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, ending],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"writing\n"
    return process


def test_what_a_killed_run_left_is_gone_with_the_next_one_and_what_a_live_one_writes_stays(tmp_path):
    with writer(tmp_path / "live", "wait") as live, writer(tmp_path / "dead", "die") as dead:
        assert dead.wait() == -signal.SIGKILL
        assert len(staging.leftovers(tmp_path)) == 2
        assert [path.name.split(".")[1] for path in staging.abandoned(staging.leftovers(tmp_path))] == ["dead"]
        files.write_atomically(tmp_path / "other", b"")
        assert [path.name.split(".")[1] for path in staging.leftovers(tmp_path)] == ["live"]
        live.communicate(b"\n")
    assert (tmp_path / "live").read_bytes() == b"half and half"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live", "other"]


def test_a_part_that_was_taken_for_a_dead_runs_before_it_was_held_is_begun_again(tmp_path, monkeypatch):
    real, taken = staging.tempfile.mkstemp, []

    def mkstemp(**options):
        handle, name = real(**options)
        if not taken:
            taken.append(name)
            Path(name).unlink()
        return handle, name

    monkeypatch.setattr(staging.tempfile, "mkstemp", mkstemp)
    files.write_atomically(tmp_path / "one", b"1")
    assert taken
    assert (tmp_path / "one").read_bytes() == b"1"


def test_only_our_own_parts_are_taken_for_left_over(tmp_path):
    (tmp_path / "target").write_bytes(b"t")
    for name in (".vimrc.abcdefgh", ".one.abcdefgh.fleetmint-part.bak", "one.abcdefgh.fleetmint-part"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ".link.abcdefgh.fleetmint-part").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / ".fifo.abcdefgh.fleetmint-part")
    before = sorted(tmp_path.iterdir())
    files.write_atomically(tmp_path / "target", b"t")
    assert sorted(tmp_path.iterdir()) == before


def test_a_workspace_that_another_run_removes_before_it_is_held_is_made_again(tmp_path, monkeypatch):
    make, taken = tempfile.mkdtemp, []

    def mkdtemp(**options):
        path = make(**options)
        if not taken:
            taken.append(path)
            Path(path).rmdir()
        return path

    monkeypatch.setattr(staging.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(staging.tempfile, "mkdtemp", mkdtemp)
    with staging.workspace("test") as place:
        assert place.is_dir()
    assert taken != [str(place)]


def test_a_workspace_of_a_killed_run_goes_with_the_next_one_of_its_purpose(tmp_path, monkeypatch):
    monkeypatch.setattr(staging.tempfile, "tempdir", str(tmp_path))
    program = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]; from fleetmint import staging\n"
        "with staging.workspace('test') as place:\n"
        "    (place / 'ledger').write_bytes(b'secret'); print(place, flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", program, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as dead, subprocess.Popen(command, **pipes) as live:
        lost, kept = (Path(each.stdout.readline().decode().strip()) for each in (dead, live))
        dead.kill()
        dead.wait()
        with staging.workspace("test") as place:
            assert sorted(tmp_path.iterdir()) == sorted([place, kept])
            assert (place.stat().st_mode & 0o777, (kept / "ledger").exists()) == (0o700, True)
        live.communicate(b"\n")
    assert not lost.exists()
    assert list(tmp_path.iterdir()) == []
