"""Files that only the holder of the batch's key can read, or change without being noticed."""

import threading

import pytest

from fleetmint.batch import sealed
from fleetmint.errors import SecretError, StateError
from fleetmint.passphrases import Given, open_source

CONTENTS = [b"first" * 20, b"second" * 20, b"third" * 20]


@pytest.fixture
def source(tmp_path):
    return open_source(f"file:{tmp_path / 'passphrases'}")


@pytest.fixture
def key(tmp_path, source):
    return sealed.make_key(tmp_path / "batches/spring", "workshop", source)


@pytest.fixture
def file(tmp_path, key):
    made = sealed.SealedFile(tmp_path / "sealed.bin", "secrets", key)
    made.append(CONTENTS)
    return made


def again(file, **change):
    return sealed.SealedFile(**{"path": file.path, "holds": file.holds, "key": file.key} | change)


def test_what_is_sealed_comes_back_and_is_not_in_the_file(file):
    assert list(file.read()) == CONTENTS
    assert file.whole
    for content in CONTENTS:
        assert content[:10] not in file.path.read_bytes()
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_the_key_opens_with_the_passphrase_and_names_its_batch(file, tmp_path, source):
    opened = sealed.open_key(tmp_path / "batches/spring", source)
    assert (opened.site, opened.batch) == ("workshop", "spring")
    assert list(again(file, key=opened).read()) == CONTENTS
    (tmp_path / "batches/spring").rename(tmp_path / "batches/summer")
    with pytest.raises(StateError, match="the key of the batch 'spring'"):
        sealed.open_key(tmp_path / "batches/summer", source)


def test_every_cut_leaves_the_frames_before_it_and_the_next_append_goes_on_there(file):
    data = file.path.read_bytes()
    ends = []
    for length in range(len(file.key.header("secrets")), len(data)):
        file.path.write_bytes(data[:length])
        cut = again(file)
        kept = list(cut.read())
        assert kept == CONTENTS[: len(kept)]
        if cut.whole:
            ends.append(length)
        if length % 40 == 0:
            cut.append([b"later"])
            assert list(again(file).read()) == [*kept, b"later"]
    assert len(ends) == 3  # before the first frame, and between two


@pytest.mark.parametrize("zeros", [1, 4, 40, 4000])
def test_blocks_that_a_power_cut_left_empty_are_no_frames(file, zeros):
    with file.path.open("ab") as opened:
        opened.write(bytes(zeros))
    cut = again(file)
    assert list(cut.read()) == CONTENTS
    assert not cut.whole
    cut.append([b"later"])
    assert list(again(file).read()) == [*CONTENTS, b"later"]


def test_no_bit_can_be_changed_unnoticed(file):
    data = file.path.read_bytes()
    for at in range(0, len(data), 7):
        file.path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        changed = again(file)
        try:
            kept = list(changed.read())
        except StateError as error:
            assert "not of the batch spring of workshop, or damaged" in str(error)  # noqa: PT017 - one of two answers
            continue
        assert len(kept) < len(CONTENTS)
        assert not changed.whole


def test_frames_cannot_be_exchanged_or_come_from_another_file_or_batch(file, tmp_path, source):
    header = file.key.header("secrets")
    rest = file.path.read_bytes()[len(header) :]
    size = 4 + int.from_bytes(rest[:4], "big")
    file.path.write_bytes(header + rest[size:] + rest[:size])
    assert list(again(file).read()) == []
    settings = sealed.SealedFile(tmp_path / "settings.bin", "settings", file.key)
    settings.append([b"settings"])
    taken = settings.path.read_bytes().removeprefix(file.key.header("settings"))
    file.path.write_bytes(header + taken)
    assert list(again(file).read()) == []
    other = sealed.make_key(tmp_path / "batches/summer", "workshop", source)
    with pytest.raises(StateError, match="not of the batch summer"):
        list(again(file, key=other).read())


def test_a_passphrase_that_opens_no_other_batch_makes_none(file, tmp_path):
    mistyped = Given(lambda _name: b"a-passphrase-that-was-mistyped", "that was typed")
    with pytest.raises(SecretError, match=r"does not open .*spring/batch\.key"):
        sealed.make_key(tmp_path / "batches/summer", "workshop", mistyped)
    with pytest.raises(SecretError, match="wants a random passphrase"):
        sealed.make_key(tmp_path / "elsewhere/summer", "workshop", mistyped)
    assert not (tmp_path / "batches/summer").exists()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"format": "fleetmint-batch-key-1"}', b"\xff"])
def test_a_damaged_key_is_told_by_its_file(file, tmp_path, source, damage):
    (tmp_path / "batches/spring/batch.key").write_bytes(damage)
    with pytest.raises(StateError, match=r"spring/batch\.key is damaged"):
        sealed.open_key(tmp_path / "batches/spring", source)


def test_a_full_disk_leaves_what_was_there(file, full_disk):
    with full_disk(file.path.stat().st_size + 50), pytest.raises(StateError, match="cannot append"):
        file.append([b"x" * 2000])
    cut = again(file)
    assert list(cut.read()) == CONTENTS
    cut.append([b"later"])
    cut.append([b"still later"])
    assert list(again(file).read()) == [*CONTENTS, b"later", b"still later"]


def test_neither_key_nor_passphrase_shows_in_a_repr(file, source):
    assert "AESGCM" not in repr(file)
    assert source.read("bench").decode() not in repr(source) + repr(file)


def test_two_first_batches_at_the_same_time_make_one_passphrase(tmp_path, source):
    other = threading.Thread(target=sealed.make_key, args=(tmp_path / "batches/summer", "workshop", source))

    class Slow:
        """Another batch begins just when this one has found that there is no passphrase."""

        makes = True
        has, read = source.has, source.read

        def make(self, name):
            other.start()
            other.join(0.5)
            source.make(name)

    sealed.make_key(tmp_path / "batches/spring", "workshop", Slow())
    other.join()
    for batch in ("spring", "summer"):
        assert sealed.open_key(tmp_path / "batches" / batch, source).batch == batch
