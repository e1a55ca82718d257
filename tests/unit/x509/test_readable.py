"""Keys and passphrases that others can read: named with the line that mends it, and refused where a CA hangs on it."""

import os

import pytest

from fleetmint import files, modes, notices, passphrases
from fleetmint.errors import StateError
from fleetmint.passphrases import open_source
from fleetmint.trust import release_key


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
@pytest.mark.parametrize("name", ["root", "factory", "device-gateway"])
def test_a_key_of_a_ca_that_others_can_read_is_not_used(hierarchy, name, mode):
    key = hierarchy.directory / name / "ca.key"
    key.chmod(mode)
    with pytest.raises(
        StateError, match=rf"others may read .*{name}/ca\.key \(mode {mode:04o}\): `chmod 600 .*ca\.key`"
    ):
        hierarchy.authority(name)
    key.chmod(0o600)
    assert hierarchy.authority(name)
    assert notices.take() == []


def test_a_release_key_that_others_can_read_is_not_used(hierarchy):
    (hierarchy.directory / "release/release-0.key").chmod(0o644)
    with pytest.raises(StateError, match=r"the release key is not used: others may read"):
        release_key.signing_key(hierarchy.directory, hierarchy.source)


def test_a_passphrase_that_others_can_read_is_used_and_said_once(hierarchy):
    source = open_source(f"file:{hierarchy.source.directory}")
    place = hierarchy.source.directory / passphrases.ISSUING
    place.chmod(0o644)
    assert source.read(passphrases.ISSUING) == source.read(passphrases.ISSUING)
    assert notices.take() == [
        f"others may read {place} (mode 0644): `chmod 600 {place}`, and think about who could have read it"
    ]
    assert notices.take() == []


def test_a_key_of_somebody_else_is_named_with_whose_it_is(tmp_path, monkeypatch):
    key = tmp_path / "ca.key"
    files.write_atomically(key, b"secret")
    monkeypatch.setattr(modes, "_owners", lambda path: {os.geteuid() + 1})
    with pytest.raises(StateError, match=r"belongs to \S+, who may read it: `sudo chown \S+ .*ca\.key`"):
        files.read_private(key, "the CA's key", refuse=True)


def test_a_file_system_without_modes_is_called_by_its_kind(tmp_path, monkeypatch):
    key = tmp_path / "ca.key"
    key.write_bytes(b"secret")
    key.chmod(0o755)
    monkeypatch.setattr(modes, "_mount_of", lambda path: modes._Mount("/media/me/MY STICK", "vfat", "/dev/sda1"))
    with pytest.raises(StateError) as told:
        files.read_private(key, "the CA's key", refuse=True)
    assert "is vfat, where files have no modes and chmod changes nothing" in str(told.value)
    assert "umask=077 /dev/sda1 '/media/me/MY STICK'" in str(told.value)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    monkeypatch.setattr(modes, "OTHERS", 0o777)
    with pytest.raises(StateError, match=r"cannot write .* so that nobody else can read it: the file system at"):
        files.write_atomically(tmp_path / "new", b"secret", 0)
    assert not (tmp_path / "new").exists()
