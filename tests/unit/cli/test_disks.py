"""A disk that fails under a command: one sentence that names the file and says what to do, and nothing half-written."""

import errno
import os
from pathlib import Path

import pytest

REMEDIES = {errno.EIO: "dmesg", errno.ENOSPC: "make room", errno.EROFS: "mount that file system writable"}


@pytest.fixture
def failing(monkeypatch):
    def fail(owner, name, code, only=lambda *_: True):
        real = getattr(owner, name)

        def call(*arguments, **options):
            if only(*arguments):
                raise OSError(code, os.strerror(code))
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    return fail


@pytest.mark.parametrize("code", REMEDIES)
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ((os, "fsync", lambda handle: not Path(f"/proc/self/fd/{handle}").is_dir()), "the old content is untouched"),
        ((os, "fsync", lambda handle: Path(f"/proc/self/fd/{handle}").is_dir()), "may not be on the disk"),
        ((Path, "replace", lambda *_: True), "the old content is untouched"),
    ],
    ids=["file", "directory", "rename"],
)
def test_a_command_on_a_failing_disk_says_which_file_and_what_to_do(
    fleetmint, refused, state, failing, monkeypatch, call, said, code
):
    owner, name, only = call
    failing(owner, name, code, only)
    refused(fleetmint("operator", "add", "carol@test"), "carol@test", os.strerror(code), REMEDIES[code], said)
    assert not list(state.rglob("*.fleetmint-part"))
    monkeypatch.undo()
    monkeypatch.setenv("FLEETMINT_STATE", str(state))
    added = fleetmint("operator", "add", "carol@test")
    assert added.exit_code == 0, added.output
    listed = fleetmint("operator", "list", "--json")["operators"]
    assert [each["status"] for each in listed if each["name"] == "carol@test"] == ["valid"]


def test_what_nobody_expected_of_a_disk_is_a_sentence_too(fleetmint, refused, state, monkeypatch):
    def unlink(path, **_):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    result = fleetmint("operator", "revoke", "alice@test")
    refused(result, "this cannot go on", str(state / "issued/operators/alice@test.key"), "Input/output error", "dmesg")


def test_a_key_that_others_can_read_is_a_warning_beside_the_work(fleetmint, state):
    key = state / "issued/operators/alice@test.key"
    key.chmod(0o644)
    done = fleetmint("operator", "add", "alice@test")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() == [
        f"fleetmint: warning: others may read {key} (mode 0644): `chmod 600 {key}`, and think about who could have"
        " read it"
    ]
    key.chmod(0o600)
    assert fleetmint("operator", "add", "alice@test").stderr == ""
