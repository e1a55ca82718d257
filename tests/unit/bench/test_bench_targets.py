"""The bench with boards of other chips and tables: the real esptool over a pty, the real ledger."""

from dataclasses import replace
from pathlib import Path

import pytest
from littlefs import LittleFS

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.handover import plan_registered
from fleetmint.bench.bench import Bench, burn_ports, left
from fleetmint.bench.efuse import DONE, INTENDED, Target, bound_device, fingerprint
from fleetmint.flash.efuse import Efuses
from fleetmint.flash.esp8266 import file_system
from fleetmint.flash.table import TABLE_OFFSET, TABLE_SIZE, Partition, PartitionTable, stock
from fleetmint.ledger import events, open_ledger, writing
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from virtual.esp32 import fleet
from virtual.esp32.firmware import delivered

APP = Path(__file__).parents[3] / "firmware"
NVS = Partition("nvs", 1, 2, 0x9000, 0x5000)


@pytest.fixture
def make(batch, common, location, hierarchy, now):
    """Make the batch with these changes, register it, and return its bench."""

    def run(**changes):
        plan_batch(replace(batch, **changes), common, location, hierarchy, now).apply()
        plan_registered(location.directory, location.ledger, skipped=(), actor="test", now=now).apply()
        return Bench(location.directory, location.ledger, APP, hierarchy.source)

    return run


@pytest.fixture
def board(tmp_path):
    """Start a board, and return its port and its flash."""

    def run(*options, flash=None, blank=False):
        file = tmp_path / "boards/1/flash.bin"
        if flash is not None:
            file.parent.mkdir(parents=True, mode=0o700)
            file.write_bytes(flash)
        (port,) = fleet.up(tmp_path, 1, [*options, "--boot", "sleep", "60"], blank=blank)
        return str(port), file

    yield run
    fleet.down(tmp_path)


def burn(bench, port):
    (outcome,) = burn_ports(bench, [port])
    return outcome


def test_a_board_keeps_its_own_table_where_the_batch_says_so(make, board):
    bench, table = make(layout="board"), stock("8MiB-ota")
    rows = table.to_bytes()
    port, flash = board("--flash-size", "8MB", flash=b"\xff" * TABLE_OFFSET + rows)
    outcome = burn(bench, port)
    assert outcome.state == "burned", outcome.reason
    content, nvs = flash.read_bytes(), table.find("nvs")
    assert content[TABLE_OFFSET : TABLE_OFFSET + TABLE_SIZE] == rows
    assert decode(content[nvs.offset : nvs.end])["fleetmint"]["device_id"] == b"lamp-000001"


def test_a_table_with_the_rows_of_newer_bootloaders_is_a_layout(make, board):
    bench = make(layout="board")
    rows = (Partition("PrimaryBTLDR", 2, 0, 0x1000, 0x7000), Partition("PrimaryPrtTable", 3, 0, 0x8000, 0x1000))
    table = PartitionTable((*rows, NVS, Partition("app", 0, 0, 0x20000, 0x1B0000)))
    outcome = burn(bench, board(flash=b"\xff" * TABLE_OFFSET + table.to_bytes())[0])
    assert outcome.state == "burned", outcome.reason


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((NVS, Partition("ffat", 1, 0x81, 0x310000, 0xF0000)), "a FAT called ffat, which this station does not write"),
        ((NVS, Partition("short", 1, 6, 0xF5000, 0x400)), "no aligned place for a file system"),
        ((Partition("storage", 1, 6, 0x9000, 0x6000),), "no partition 'nvs'"),
        ((NVS, Partition("app", 0, 0, 0xD000, 0x20000)), "'nvs' overlaps 'app'"),
    ],
)
def test_a_table_that_is_no_layout_is_refused_by_what_is_wrong_with_it(make, board, rows, message):
    bench = make(layout="board")
    outcome = burn(bench, board(flash=b"\xff" * TABLE_OFFSET + PartitionTable(rows).to_bytes())[0])
    assert (outcome.state, outcome.code) == ("failed", "layout")
    assert message in outcome.reason
    assert left(bench) == 3


def test_a_board_without_a_table_gets_no_identity_where_it_should_have_one(make, board):
    bench = make(layout="board")
    outcome = burn(bench, board(blank=True)[0])
    assert (outcome.state, outcome.device) == ("failed", None)
    assert "flash MicroPython first, or name a layout" in outcome.reason
    assert left(bench) == 3


def test_a_board_with_another_flash_than_the_layout_gets_no_identity(make, board):
    bench = make(layout="8MiB")
    outcome = burn(bench, board()[0])
    assert (outcome.state, outcome.code) == ("failed", "too-small")
    assert left(bench) == 3


def test_an_encrypted_nvs_is_burned_only_into_a_board_that_has_its_key(make, board, now):
    bench = make(chip="esp32s3", nvs_encryption="hmac")
    port, flash = board("--chip", "esp32s3")
    refused = burn(bench, port)
    assert (refused.state, refused.code) == ("failed", "no-key")
    assert "run `fleetmint efuse first --port" in refused.reason
    assert flash.read_bytes() == delivered("esp32s3", 0x400000)
    key = secrets.load(bench.batch, bench.passphrases).of("lamp-000001").nvs_key
    engine, mac = open_ledger(bench.ledger), refused.mac
    detail = {"mac": mac, "block": 0, "key": fingerprint(key)}
    # what `fleetmint efuse` leaves; the virtual board has no eFuses to burn
    with bound_device(engine, Target(port, Efuses(mac, "esp32s3", ()), 0), "first", lambda: now) as device:
        for kind in (INTENDED, DONE):
            with writing(engine) as connection:
                events.append(connection, at=now, actor="factory", kind=kind, subject=device, detail=detail)
    engine.dispose()
    outcome = burn(bench, port)
    assert (outcome.state, outcome.device) == ("burned", "lamp-000001"), outcome.reason
    nvs = stock("4MiB").find("nvs")
    image = flash.read_bytes()[nvs.offset : nvs.end]
    assert decode(image, skip_damaged=True) == {}
    assert decode(image, keys=NvsKeys.of_hmac_key(key))["fleetmint"]["device_id"] == b"lamp-000001"
    assert burn(bench, port).state == "kept"


def test_keys_without_a_partition_for_them_are_refused_before_an_identity_is_used(make, board):
    bench = make(nvs_encryption="flash")
    outcome = burn(bench, board()[0])
    assert (outcome.state, outcome.device) == ("failed", None)
    assert "needs a partition nvs_keys" in outcome.reason
    assert left(bench) == 3


def test_an_esp8266_without_a_program_is_refused(make, board):
    bench = make(chip="esp8266")
    outcome = burn(bench, board("--chip", "esp8266", blank=True)[0])
    assert (outcome.state, outcome.code) == ("failed", "no-firmware")
    assert left(bench) == 3


def test_an_esp8266_gets_its_files_and_keeps_them(make, board):
    bench = make(chip="esp8266")
    port, flash = board("--chip", "esp8266")
    outcome = burn(bench, port)
    assert outcome.state == "burned", outcome.reason
    location = file_system("4M2M")
    fs = LittleFS(block_size=location.block_size, block_count=location.size // location.block_size, mount=False)
    fs.context.buffer = bytearray(flash.read_bytes()[location.offset : location.offset + location.size])
    fs.mount()
    with fs.open("fleetmint/device_id", "rb") as file:
        assert file.read() == b"lamp-000001"
    with fs.open("fleetmint/token", "rb") as file:
        assert file.read().decode() == secrets.load(bench.batch, bench.passphrases).of("lamp-000001").token
    assert burn(bench, port).state == "kept"
