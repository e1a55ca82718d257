"""Boards whose identity lies in esp_secure_cert: burned by the real esptool, read by Espressif's tool and openssl."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fleetmint.batch.create import plan_batch
from fleetmint.batch.spec import read_batch
from fleetmint.bench.bench import Bench, burn_ports, left
from fleetmint.bench.inspect import inspect_flash, is_flash
from fleetmint.bench.update import program_region
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, ImageError
from fleetmint.flash.burn import Worker, identify
from fleetmint.flash.secure_cert import MAGIC, Entry, decode, encode
from fleetmint.flash.table import Partition, PartitionTable
from fleetmint.nvs.decode import decode as decode_nvs
from virtual.esp32 import fleet
from virtual.esp32.firmware import install

APP = Path(__file__).parents[3] / "firmware"
PLACE = Partition("esp_secure_cert", 0x3F, 0, 0xD000, 0x2000)
NVS = Partition("nvs", 1, 2, 0x9000, 0x4000)
# an app to the end of the flash: nothing is left for a file system
TABLE = PartitionTable((NVS, PLACE, Partition("factory", 0, 0, 0x10000, 0x3F0000)))
BATCH = "prefix: node\nchip: esp32s3\nidentity: esp_secure_cert\ndevices:\n  - count: 2\n    key_origin: factory\n"


@pytest.fixture
def firmware(tmp_path):
    """Write a firmware of ESP-IDF, or what calls itself otherwise, as a file."""

    def write(project="rainmaker_switch", table=TABLE):
        flash = bytearray(b"\xff" * 0x20000)
        flash[0x8000:0x8C00] = table.to_bytes()
        install(flash, "esp32s3", project)
        (tmp_path / f"{project}.bin").write_bytes(flash)
        return tmp_path / f"{project}.bin"

    return write


@pytest.fixture
def bench(tmp_path, common, location, hierarchy, now, firmware):
    (tmp_path / "nodes.yml").write_text(BATCH)
    plan_batch(
        read_batch(tmp_path / "nodes.yml"),
        common,
        replace(location, directory=tmp_path / "batches/nodes"),
        hierarchy,
        now,
    ).apply()
    return Bench(tmp_path / "batches/nodes", location.ledger, APP, hierarchy.source, firmware(), unregistered=True)


@pytest.fixture
def board(tmp_path):
    """Start a board with this flash, and return its port and its flash."""
    file = tmp_path / "boards/1/flash.bin"

    def run(flash=None):
        file.parent.mkdir(parents=True, mode=0o700)
        file.write_bytes(flash or b"\xff" * 0x400000)
        (port,) = fleet.up(tmp_path, 1, ["--chip", "esp32s3", "--boot", "sleep", "60"], blank=True)
        return str(port), file

    yield run
    fleet.down(tmp_path)


def burn(bench, port):
    (outcome,) = burn_ports(bench, [port])
    return outcome


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_a_board_gets_its_key_where_espressifs_tool_and_openssl_find_it(bench, board, tmp_path, hierarchy, now):
    port, flash = board()
    outcome = burn(bench, port)
    assert (outcome.state, outcome.device) == ("burned", "node-000001"), outcome.reason
    content = flash.read_bytes()
    (tmp_path / "part.bin").write_bytes(content[PLACE.offset : PLACE.end])
    tool = Path(sys.executable).with_name("configure_esp_secure_cert.py")
    subprocess.run([tool, "--parse_bin", "part.bin"], cwd=tmp_path, capture_output=True, check=True)
    found = tmp_path / "esp_secure_cert_parsed_data/contents"
    said = openssl("x509", "-in", found / "devcert_1_0.pem", "-noout", "-subject", "-pubkey")
    assert "CN = node-000001" in said
    assert openssl("pkey", "-in", found / "privkey_2_0.pem", "-pubout") in said
    chain = ("-partial_chain", "-trusted", hierarchy.directory / "factory/ca.crt", found / "devcert_1_0.pem")
    assert "OK" in openssl("verify", *chain)
    assert (found / "cacert_0_0.pem").read_text() == (hierarchy.directory / "server/ca.crt").read_text()
    values = decode_nvs(content[NVS.offset : NVS.end])["fleetmint"]
    assert values["device_id"] == b"node-000001"
    assert not {"key0", "cert0", "token"} & values.keys()
    assert burn(bench, port).state == "kept"
    assert flash.read_bytes() == content

    # and what of it `fleetmint inspect` says
    assert is_flash(content)
    findings = inspect_flash(content, now)
    assert [each.kind for each in findings][:3] == ["partition table", "NVS", "trust bundle"]
    start = next(number for number, each in enumerate(findings) if each.kind == "esp_secure_cert")
    rows = findings[start].facts["entries"]
    assert {row["name"]: row.get("secret", False) for row in rows} == {
        "CA certificate": False,
        "device certificate": False,
        "private key": True,
    }
    assert any("node-000001" in each.title for each in findings[start:])
    key = next(entry.data for entry in decode(content[PLACE.offset : PLACE.end]) if entry.type == 2)
    told = json.dumps([[each.title, dict(each.facts)] for each in findings])
    assert not any(line.decode() in told for line in key.split(b"\n")[1:-2])


def test_a_module_that_came_with_an_identity_keeps_it(bench, board):
    whole = bytearray(b"\xff" * 0x400000)
    theirs = encode((Entry(3, b"a key that only this chip can use"), Entry(1, b"no certificate of ours")))
    whole[PLACE.offset : PLACE.end] = theirs
    port, flash = board(bytes(whole))
    outcome = burn(bench, port)
    assert (outcome.state, outcome.code, outcome.device) == ("failed", "identity", None)
    assert "has an identity in 'esp_secure_cert' already, '?', and nobody could make it again" in outcome.reason
    assert flash.read_bytes() == whole
    assert left(bench) == 2
    assert burn(replace(bench, retire=lambda _device: None), port).state == "burned"
    assert flash.read_bytes()[PLACE.offset : PLACE.end] != theirs


def test_a_burn_that_was_cut_behind_the_partition_goes_on_with_the_same_device(bench, board, monkeypatch):
    port, flash = board()
    whole = Worker.burn

    def cut(worker, job, *arguments):
        whole(worker, replace(job, regions=job.regions[:-1]), *arguments)
        raise BurnError("the cable", BurnCode.LOST)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "burn", cut)
        assert burn(bench, port).code == "lost"
    assert flash.read_bytes()[PLACE.offset : PLACE.end].startswith(MAGIC)
    assert not flash.read_bytes()[NVS.offset : NVS.end].strip(b"\xff")
    outcome = burn(bench, port)
    assert (outcome.state, outcome.device) == ("burned", "node-000001"), outcome.reason


def test_firmware_that_looks_for_its_key_elsewhere_is_refused(bench, firmware):
    with pytest.raises(ImageError, match="has MicroPython, which looks for its key in the NVS"):
        burn_ports(replace(bench, firmware=firmware("micropython")), [])


def test_firmware_without_the_partition_is_refused_before_an_identity_is_used(bench, board, firmware):
    table = PartitionTable((NVS, TABLE.partitions[2]))
    outcome = burn(replace(bench, firmware=firmware("switch", table)), board()[0])
    assert (outcome.state, outcome.code, outcome.device) == ("failed", "layout", None)
    assert "no partition 'esp_secure_cert' of type 0x3f" in outcome.reason
    assert left(bench) == 2


def test_the_program_of_micropython_stays_away_from_such_a_board(bench, board):
    port, _flash = board()
    burn(bench, port)
    with pytest.raises(ImageError, match="has its identity in esp_secure_cert, for firmware that is not MicroPython"):
        program_region(APP, identify(port))
