import pytest

from fleetmint import files
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
