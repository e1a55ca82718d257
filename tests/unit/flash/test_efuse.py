"""The judge is espefuse: its emulation of the eFuses, and what it says about them afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleetmint.errors import BurnError
from fleetmint.flash.efuse import (
    CHIPS_WITH_HMAC,
    FLASH_PURPOSE,
    Field,
    KeyBurn,
    Order,
    burn_efuses,
    burn_hmac_key,
    read_efuses,
)

KEY = bytes(range(32))
MAC = "00:00:00:00:00:00"


@pytest.fixture
def port(tmp_path):
    return f"virtual:esp32s3:{tmp_path / 'efuses.bin'}"


@pytest.fixture
def espefuse(tmp_path):
    """Run espefuse on the same file, and return what it printed."""

    def run(*arguments, chip="esp32s3"):
        command = [
            Path(sys.executable).with_name("espefuse"),
            "--chip",
            chip,
            "--virt",
            "--path-efuse-file",
            tmp_path / "efuses.bin",
        ]
        done = subprocess.run([*command, "--do-not-confirm", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "key.bin").write_bytes(KEY)
    return run


def test_a_new_board_has_six_empty_blocks(port):
    efuses = read_efuses(port)
    assert (efuses.mac, efuses.chip) == (MAC, "esp32s3")
    assert [(block.number, block.empty, block.sealed) for block in efuses.blocks] == [
        (number, True, False) for number in range(6)
    ]


@pytest.mark.parametrize("chip", CHIPS_WITH_HMAC)
def test_a_burned_key_is_for_the_hmac_peripheral_only(tmp_path, espefuse, chip):
    port = f"virtual:{chip}:{tmp_path / 'efuses.bin'}"
    burn_hmac_key(port, MAC, 2, KEY)
    block = read_efuses(port).blocks[2]
    assert (block.purpose, block.sealed, block.empty) == ("HMAC_UP", True, False)
    assert not any(block.data)
    assert KEY not in (tmp_path / "efuses.bin").read_bytes()
    said = espefuse("summary", "--format", "json", chip=chip)
    fields = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert (fields["KEY_PURPOSE_2"]["value"], fields["KEY_PURPOSE_2"]["writeable"]) == ("HMAC_UP", False)
    assert (fields["BLOCK_KEY2"]["readable"], fields["BLOCK_KEY2"]["writeable"]) == (False, False)


def test_a_flash_key_lies_in_its_block_as_espefuse_puts_it_there(port, tmp_path, espefuse):
    burn_efuses(port, MAC, Order((KeyBurn(3, FLASH_PURPOSE, KEY),)))
    ours = read_efuses(port).blocks[3]
    assert (ours.purpose, ours.fixed, ours.data) == (FLASH_PURPOSE, False, KEY[::-1])
    (tmp_path / "efuses.bin").unlink()
    open_key = ("--no-read-protect", "--no-write-protect")
    espefuse("burn-key", "BLOCK_KEY3", tmp_path / "key.bin", FLASH_PURPOSE, *open_key)
    assert read_efuses(port).blocks[3].data == ours.data


def test_a_lock_is_burned_behind_what_it_locks(port, tmp_path):
    burn_efuses(port, MAC, Order((KeyBurn(3, FLASH_PURPOSE, KEY),), seal=(3,), lock=("RD_DIS",)))
    efuses = read_efuses(port)
    assert (efuses.blocks[3].sealed, efuses.blocks[3].fixed) == (True, True)
    assert efuses.fields["RD_DIS"] == Field(1 << 3, writable=False)
    assert KEY[::-1] not in (tmp_path / "efuses.bin").read_bytes()


def test_a_block_in_use_is_left_alone(port, tmp_path):
    burn_hmac_key(port, MAC, 0, KEY)
    before = (tmp_path / "efuses.bin").read_bytes()
    with pytest.raises(BurnError, match=r"BLOCK_KEY0 is in use \(HMAC_UP\): nothing was burned"):
        burn_hmac_key(port, MAC, 0, bytes(32))
    assert (tmp_path / "efuses.bin").read_bytes() == before


def test_another_board_on_the_port_is_left_alone(port):
    with pytest.raises(BurnError, match="the board is 00:00:00:00:00:00, not 24:0a:c4:00:00:01") as raised:
        burn_hmac_key(port, "24:0a:c4:00:00:01", 0, KEY)
    assert raised.value.code == "identity"
    assert read_efuses(port).blocks[0].empty


def test_a_burn_that_was_cut_before_the_purpose_is_finished(port, tmp_path, espefuse):
    espefuse("burn-block-data", "BLOCK_KEY0", tmp_path / "key.bin")
    burn_hmac_key(port, MAC, 0, KEY)
    assert read_efuses(port).blocks[0].sealed


def test_a_burn_that_was_cut_before_the_seal_is_finished_and_shown_nowhere(port, tmp_path, espefuse):
    open_key = ("--no-read-protect", "--no-write-protect")
    espefuse("burn-key", "BLOCK_KEY0", tmp_path / "key.bin", "HMAC_UP", *open_key)
    efuses = read_efuses(port)
    assert efuses.blocks[0].data == KEY
    assert repr(KEY) not in repr(efuses)
    burn_hmac_key(port, MAC, 0, KEY)
    assert read_efuses(port).blocks[0].sealed


def test_the_classic_esp32_has_no_hmac_peripheral(tmp_path):
    port = f"virtual:esp32:{tmp_path / 'efuses.bin'}"
    assert read_efuses(port).blocks == ()
    with pytest.raises(BurnError, match="an esp32 has no HMAC peripheral"):
        burn_hmac_key(port, MAC, 0, KEY)


@pytest.mark.parametrize("port", ["virtual:", "virtual:esp32s3", "virtual:esp8266:file"])
def test_a_virtual_board_that_names_no_chip_or_file_is_refused(port):
    with pytest.raises(BurnError, match="is no virtual board"):
        read_efuses(port)


def test_a_port_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BurnError, match="could not be read or burned") as raised:
        read_efuses(str(tmp_path / "ttyUSB0"))
    assert raised.value.code == "lost"
