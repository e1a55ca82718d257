import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import serial
from esptool import loader
from esptool.util import FatalError

from fleetmint.errors import BurnError, ImageError
from fleetmint.flash import worker
from fleetmint.flash.app import make_image
from fleetmint.flash.burn import Board, Job, Progress, Region, burn, identify
from fleetmint.flash.table import TABLE_OFFSET, TABLE_SIZE, stock
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode

TABLE = stock("4MiB")
NVS, VFS = TABLE.find("nvs"), TABLE.find("vfs")
PASSPHRASE = b"correct horse"
MAC = "24:0a:c4:00:00:01"


def nvs_image(device_id, **values):
    return encode({keys.NAMESPACE: {keys.DEVICE_ID: device_id.encode(), keys.WIFI_PSK: PASSPHRASE, **values}}, NVS.size)


def job_for(board, device_id="lamp-000001", **changes):
    regions = (
        Region(TABLE_OFFSET, TABLE.to_bytes(), "partition table"),
        Region(VFS.offset, make_image({"main.py": b"print('here')\n" * 1000}, VFS.size), "vfs"),
        Region(NVS.offset, nvs_image(device_id), "nvs"),
    )
    return replace(Job(board.port, "esp32", regions, connect_attempts=1), **changes)


def whole(board):
    return board.flash(0, 0x400000)


@pytest.mark.parametrize("chip", ["esp32", "esp32s3", "esp32c3", "esp32c6"])
def test_a_blank_board_is_burned_verified_and_boots(start_board, chip):
    board = start_board(chip=chip)
    job, seen = job_for(board, chip=chip), []
    result = burn(job, seen.append)
    assert (result.port, result.mac, result.chip, result.flash_size) == (board.port, MAC, chip, 0x400000)
    assert (result.written, result.kept) == (("partition table", "vfs", "nvs"), ())
    assert 0 < result.seconds < 10
    for region in job.regions:
        assert board.flash(region.offset, len(region.data)) == region.data
    assert {progress.region for progress in seen} == {"partition table", "vfs", "nvs"}
    assert all(isinstance(progress, Progress) and 0 < progress.done <= progress.total for progress in seen)
    board.await_console("booted")


def test_a_second_burn_writes_nothing(start_board):
    board = start_board()
    burn(job_for(board))
    before = whole(board)
    result = burn(job_for(board))
    assert (result.written, result.kept) == ((), ("partition table", "vfs", "nvs"))
    assert whole(board) == before


def test_only_what_differs_is_written(start_board):
    board = start_board()
    burn(job_for(board))
    board.write(VFS.offset + 100, b"\x00")
    assert burn(job_for(board)).written == ("vfs",)


def test_a_board_says_what_it_is_and_who(start_board):
    board = start_board(options=["--flash-size", "16MB"])
    assert identify(board.port) == Board(MAC, "esp32", 0x1000000, None, "ff" * TABLE_SIZE)
    burn(job_for(board))
    assert identify(board.port) == Board(MAC, "esp32", 0x1000000, "lamp-000001", TABLE.to_bytes().hex())


def test_a_board_that_is_another_device_is_refused_untouched(start_board):
    board = start_board()
    burn(job_for(board))
    before = whole(board)
    with pytest.raises(BurnError, match=rf"the board \({MAC}\) is 'lamp-000001' already") as raised:
        burn(job_for(board, "lamp-000002"))
    assert raised.value.code == "identity"
    assert whole(board) == before


def test_a_board_that_is_another_device_is_recognised_without_its_partition_table(start_board):
    board = start_board()
    burn(job_for(board))
    board.write(TABLE_OFFSET, bytes(0xC00))
    with pytest.raises(BurnError, match="is 'lamp-000001' already"):
        burn(job_for(board, "lamp-000002"))


def test_an_nvs_without_identity_does_not_replace_one(start_board):
    board = start_board()
    burn(job_for(board))
    empty = job_for(board, regions=(Region(NVS.offset, encode({}, NVS.size), "nvs"),))
    with pytest.raises(BurnError, match="is 'lamp-000001' already"):
        burn(empty)


def test_reprovisioning_makes_a_board_another_device(start_board):
    board = start_board()
    burn(job_for(board))
    assert burn(job_for(board, "lamp-000002", reprovision=True)).written == ("nvs",)
    assert identify(board.port).device_id == "lamp-000002"


def test_a_device_that_has_enrolled_keeps_its_key(start_board):
    board = start_board()
    burn(job_for(board))
    enrolled = nvs_image("lamp-000001", **{keys.KEYS[0]: b"its own key", keys.CERTIFICATES[0]: b"c", keys.SLOT: 0})
    board.write(NVS.offset, enrolled)
    board.write(VFS.offset, b"\x00" * 16)
    result = burn(job_for(board))
    assert (result.written, result.kept) == (("vfs",), ("partition table", "nvs"))
    assert board.flash(NVS.offset, NVS.size) == enrolled


def test_a_device_that_has_enrolled_is_refused_when_the_layout_moves_its_nvs(start_board):
    board = start_board()
    burn(job_for(board))
    board.write(NVS.offset, nvs_image("lamp-000001", **{keys.KEYS[0]: b"its own key"}))
    ota = stock("4MiB-ota").find("nvs")
    values = decode(nvs_image("lamp-000001"))
    moved = job_for(board, regions=(Region(ota.offset, encode(values, ota.size), "nvs"),))
    with pytest.raises(BurnError, match="its keys are at 0x9000") as raised:
        burn(moved)
    assert raised.value.code == "identity"


def test_a_device_that_has_not_enrolled_gets_the_new_wifi(start_board):
    board = start_board()
    burn(job_for(board))
    other = Region(NVS.offset, nvs_image("lamp-000001", **{keys.WIFI_PSK: b"other"}), "nvs")
    assert burn(job_for(board, regions=(other,))).written == ("nvs",)


def test_another_chip_is_refused_untouched(start_board):
    board = start_board(chip="esp32c3")
    with pytest.raises(BurnError, match=rf"the board \({MAC}\) has an esp32c3, not an esp32: nothing") as raised:
        burn(job_for(board))
    assert raised.value.code == "wrong-chip"
    assert whole(board) == b"\xff" * 0x400000


def test_a_flash_that_is_too_small_is_refused_untouched(start_board):
    board = start_board(options=["--flash-size", "2MB"])
    with pytest.raises(BurnError, match="'vfs' ends at 0x208000, but the flash has 0x200000 bytes only") as raised:
        burn(job_for(board))
    assert raised.value.code == "too-small"
    assert board.flash(0, 0x200000) == b"\xff" * 0x200000


def test_a_secured_chip_is_refused_untouched(start_board):
    # the eFuse word that counts flash encryptions on an ESP32
    board = start_board(options=["--register", "0x3FF5A000=0x100000"])
    with pytest.raises(BurnError, match="the board's eFuses demand") as raised:
        burn(job_for(board))
    assert raised.value.code == "secured"
    assert whole(board) == b"\xff" * 0x400000


@pytest.mark.parametrize("spoiled", [1, 2])
def test_a_region_that_reads_back_wrong_is_written_again_more_slowly(start_board, spoiled):
    board = start_board(options=["--fault", f"rot={spoiled}"])
    job = job_for(board)
    result = burn(replace(job, regions=job.regions[2:]))
    assert result.written == ("nvs",)
    assert board.flash(NVS.offset, NVS.size) == job.regions[2].data


def test_a_region_that_never_reads_back_right_is_given_up_after_three_tries(start_board):
    board = start_board(options=["--fault", "rot=3"])
    job = job_for(board)
    with pytest.raises(BurnError, match="'nvs' does not read back as it was written, at no speed") as raised:
        burn(replace(job, regions=job.regions[2:]))
    assert raised.value.code == "md5"
    # three tries were made, so that the fault is used up and the next burn succeeds
    assert burn(replace(job, regions=job.regions[2:])).written == ("nvs",)


def test_a_board_that_loses_its_power_is_burned_as_the_same_device_by_the_next_run(start_board, esptool_waits_shortly):
    board = start_board(options=["--fault", "drop=2"])
    with pytest.raises(BurnError, match="the connection was lost") as raised:
        burn(job_for(board))
    assert raised.value.code == "lost"
    # the identity comes last
    assert board.flash(NVS.offset, NVS.size) == b"\xff" * NVS.size
    assert identify(board.port).device_id is None
    assert burn(job_for(board)).kept == ("partition table", "vfs")
    assert identify(board.port).device_id == "lamp-000001"


def test_a_board_that_never_answers_is_an_error_that_says_so(start_board, esptool_waits_shortly):
    board = start_board(options=["--fault", "silent"])
    with pytest.raises(BurnError, match=f"{board.port}: the board does not answer .* hold BOOT") as raised:
        burn(job_for(board))
    assert raised.value.code == "no-answer"


def test_a_port_that_is_open_elsewhere_is_an_error_that_says_so(start_board):
    board = start_board()
    with (
        serial.Serial(board.port, exclusive=True),
        pytest.raises(BurnError, match="another program has the port open") as raised,
    ):
        burn(job_for(board))
    assert raised.value.code == "port-busy"


def test_a_port_whose_board_is_gone_is_an_error_that_says_so(start_board):
    board = start_board()
    board.process.kill()
    board.process.wait()
    with pytest.raises(
        BurnError, match=rf"{board.port}.* (there is no port|cannot be opened)|there is no port"
    ) as raised:
        identify(board.port)
    assert raised.value.code == "port-missing"


def test_a_port_that_does_not_exist_is_an_error_that_says_so(tmp_path):
    for port in (tmp_path / "ttyUSB9", tmp_path):
        with pytest.raises(BurnError, match=f"{port}") as raised:
            identify(str(port))
        assert raised.value.code == "port-missing"


def test_a_port_that_this_user_may_not_open_is_an_error_that_names_the_group(start_board, monkeypatch):
    board = start_board()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BurnError, match="may not be opened by this user: join the group") as raised:
        identify(board.port)
    assert raised.value.code == "port-permission"


def test_a_job_that_makes_no_sense_never_reaches_the_board(tmp_path):
    job = Job(str(tmp_path / "none"), "esp32", (Region(0x9001, b"x", "odd"),))
    with pytest.raises(ImageError, match="does not start with a sector"):
        burn(job)


def test_a_worker_that_is_killed_is_an_error_after_which_the_board_can_be_burned(start_board, monkeypatch):
    board = start_board()
    with monkeypatch.context() as patch:
        patch.setattr("fleetmint.flash.burn._WORKER", ("sh", "-c", "kill -KILL $$"))
        with pytest.raises(BurnError, match=r"ended without a result \(exit code -9\)") as raised:
            burn(job_for(board))
    assert raised.value.code == "lost"
    assert burn(job_for(board)).written


def test_no_secret_is_on_a_command_line_or_in_the_environment_or_in_a_file(start_board, tmp_path, monkeypatch):
    board = start_board()
    spy = tmp_path / "spy"
    files = {path for path in tmp_path.rglob("*") if path != spy}
    command = ("sh", "-c", f"cat /proc/self/cmdline /proc/self/environ > {spy}; head -n 1 > {spy}.stdin")
    monkeypatch.setattr("fleetmint.flash.burn._WORKER", command)
    with pytest.raises(BurnError, match="ended without a result"):
        burn(job_for(board))
    in_the_open, request = spy.read_bytes(), json.loads(Path(f"{spy}.stdin").read_bytes())
    assert b"PATH=" in in_the_open
    assert PASSPHRASE not in in_the_open
    assert PASSPHRASE in base64.b64decode(request["job"]["regions"][2]["data"])
    assert {path for path in tmp_path.rglob("*") if spy.name not in path.name} == files


@pytest.mark.parametrize(
    ("esptool_says", "code", "told"),
    [
        (
            "Wrong boot mode detected (0x13)! The chip needs to be in download mode.",
            "boot-mode",
            "hold BOOT .*press EN",
        ),
        (
            "Download mode successfully detected, but getting no sync reply: The serial TX path seems to be down.",
            "no-answer",
            "RX pin",
        ),
        ("No serial data received.", "no-answer", "the cable carries data"),
    ],
)
def test_what_esptool_says_of_a_board_that_does_not_answer_is_told_in_plain_words(esptool_says, code, told):
    # a pseudo-terminal has no reset line, so that these cannot be made to happen; the words are esptool's own
    assert esptool_says.split(" (")[0].split(": ")[0] in Path(loader.__file__).read_text()
    refusal = worker._refusal(FatalError(f"Failed to connect to Espressif device: {esptool_says}"))
    assert refusal.code == code
    assert re.search(told, str(refusal))


@pytest.fixture
def other_board():
    """esp32-mock-bootloader, a virtual ROM by others, on a pseudo-terminal; return its port."""
    command = [sys.executable, "-m", "esp32_mock_bootloader.cli", "run", "--chip", "esp32", "--pty", "--timeout", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process.stdout.readline().strip()
        process.terminate()


def test_another_virtual_rom_is_burned_as_well(other_board):
    board = identify(other_board)
    assert (board.chip, board.device_id) == ("esp32", None)
    job = Job(other_board, "esp32", (Region(TABLE_OFFSET, TABLE.to_bytes(), "partition table"),))
    assert burn(job).written == ("partition table",)
