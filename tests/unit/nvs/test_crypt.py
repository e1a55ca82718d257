import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from esp_idf_nvs_partition_gen import nvs_partition_gen as espressif
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetmint.errors import NvsError
from fleetmint.nvs.crypt import HMAC_KEY_SIZE, KEYS_PARTITION_SIZE, NvsKeys, encrypt_page
from fleetmint.nvs.encode import encode
from fleetmint.nvs.layout import PAGE_SIZE


def espressifs_partition(tmp_path, *options):
    arguments = ["generate-key", "--outdir", str(tmp_path), "--keyfile", "made.bin", *options]
    done = CliRunner().invoke(espressif._build_cli(), arguments)
    assert done.exit_code == 0, done.output
    return (tmp_path / "keys/made.bin").read_bytes()


def test_a_keys_partition_is_that_of_espressifs_generator(tmp_path):
    made = espressifs_partition(tmp_path)
    assert len(made) == KEYS_PARTITION_SIZE
    assert NvsKeys.from_partition(made).to_partition() == made


def test_the_keys_of_an_hmac_key_are_those_of_espressifs_generator(tmp_path):
    key = bytes(range(HMAC_KEY_SIZE))
    (tmp_path / "hmac.bin").write_bytes(key)
    made = espressifs_partition(tmp_path, "--key_protect_hmac", "--kp_hmac_inputkey", str(tmp_path / "hmac.bin"))
    assert NvsKeys.of_hmac_key(key).to_partition() == made


def test_espressifs_tool_opens_what_was_encrypted(tmp_path):
    keys, entries = NvsKeys.new(), {"n": {"key": b"secret" * 1000, "number": 7}}
    (tmp_path / "image.bin").write_bytes(encode(entries, 4 * PAGE_SIZE, keys))
    (tmp_path / "keys.bin").write_bytes(keys.to_partition())
    arguments = ["decrypt", str(tmp_path / "image.bin"), str(tmp_path / "keys.bin"), "plain.bin", "--outdir"]
    done = CliRunner().invoke(espressif._build_cli(), [*arguments, str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "plain.bin").read_bytes() == encode(entries, 4 * PAGE_SIZE)


@given(st.binary(min_size=64, max_size=64).filter(lambda data: data[:32] != data[32:]), st.integers(0, 300), st.data())
@settings(max_examples=50, deadline=None)
def test_a_page_is_encrypted_as_openssls_xts_does_it_unit_by_unit(data, number, draw):
    entries = draw.draw(st.integers(0, 126)) * draw.draw(st.binary(min_size=32, max_size=32))
    offsets = range(number * PAGE_SIZE + 64, number * PAGE_SIZE + 64 + len(entries), 32)
    ciphers = [Cipher(algorithms.AES(data), modes.XTS(offset.to_bytes(16, "little"))) for offset in offsets]
    units = [entries[start : start + 32] for start in range(0, len(entries), 32)]
    expected = b"".join(c.encryptor().update(unit) for c, unit in zip(ciphers, units, strict=True))
    assert encrypt_page(entries, number, NvsKeys(data)) == expected


def test_new_keys_differ_each_time_and_are_in_no_repr():
    first, second = NvsKeys.new(), NvsKeys.new()
    assert first != second
    assert repr(first) == "NvsKeys()"


def test_a_larger_keys_partition_is_filled():
    assert NvsKeys(bytes(range(64))).to_partition(2 * PAGE_SIZE)[68:] == b"\xff" * (2 * PAGE_SIZE - 68)


@pytest.mark.parametrize("size", [0, 4095, 4097])
def test_a_keys_partition_of_another_size_is_refused(size):
    with pytest.raises(NvsError, match="whole pages"):
        NvsKeys.new().to_partition(size)


def test_what_is_no_keys_partition_is_refused():
    good = NvsKeys(bytes(range(64))).to_partition()
    with pytest.raises(NvsError, match="their CRC is wrong"):
        NvsKeys.from_partition(bytes([good[0] ^ 1]) + good[1:])
    with pytest.raises(NvsError, match="no partition nvs_keys"):
        NvsKeys.from_partition(good[:66])
    with pytest.raises(NvsError, match="no partition nvs_keys"):
        NvsKeys.from_partition(good[:-1] + b"\0")


def test_keys_that_are_not_random_or_of_another_size_are_refused():
    with pytest.raises(NvsError, match="64 bytes, not 32"):
        NvsKeys(bytes(32))
    with pytest.raises(NvsError, match="not random"):
        NvsKeys(bytes(64))
    with pytest.raises(NvsError, match="32 bytes, not 16"):
        NvsKeys.of_hmac_key(bytes(16))


def test_keys_are_taken_from_each_of_their_files():
    keys = NvsKeys.of_hmac_key(bytes(range(HMAC_KEY_SIZE)))
    for content in (bytes(range(HMAC_KEY_SIZE)), keys.data, keys.to_partition(), keys.to_partition(2 * PAGE_SIZE)):
        assert NvsKeys.from_file(content, "the file") == keys


@pytest.mark.parametrize("size", [0, 31, 33, 68, 100, 4095, 4097])
def test_a_file_of_another_size_holds_no_keys(size):
    content = NvsKeys(bytes(range(64))).to_partition(2 * PAGE_SIZE)[:size]
    with pytest.raises(NvsError, match=f"the file has {size} bytes, and is no keys of an NVS"):
        NvsKeys.from_file(content, "the file")


@pytest.mark.parametrize("content", [bytes(64), bytes(PAGE_SIZE), b"\xff" * PAGE_SIZE])
def test_a_file_of_the_right_size_without_keys_is_refused(content):
    with pytest.raises(NvsError, match="the file holds no keys of an NVS"):
        NvsKeys.from_file(content, "the file")
