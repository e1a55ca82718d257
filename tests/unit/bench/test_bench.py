"""The bench with virtual boards: the real esptool over a pty, the real ledger."""

from dataclasses import replace
from pathlib import Path

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.handover import plan_registered
from fleetmint.bench.bench import Bench, burn_ports, left, plan_burn
from fleetmint.errors import BurnError, ImageError
from fleetmint.flash.table import stock
from fleetmint.ledger import create_schema, open_ledger, reading, writing
from fleetmint.ledger.factory import create_batch, list_units, mark_registered
from fleetmint.nvs.decode import decode
from virtual.esp32 import fleet
from virtual.esp32.firmware import delivered

APP = Path(__file__).parents[3] / "firmware"
# What the board runs after its reset is of no interest here.
SLEEP = ["--boot", "sleep", "60"]


@pytest.fixture
def bench(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    plan_registered(location.directory, location.ledger, skipped=(), actor="test", now=now).apply()
    return Bench(location.directory, location.ledger, APP, hierarchy.source)


@pytest.fixture
def boards(tmp_path):
    yield lambda count, *options: [str(port) for port in fleet.up(tmp_path, count, [*options, *SLEEP])]
    fleet.down(tmp_path)


def units(bench):
    engine = open_ledger(bench.ledger)
    with reading(engine) as connection:
        found = list_units(connection, "first")
    engine.dispose()
    return {unit.device: unit for unit in found}


def nvs_of(tmp_path, number):
    location = stock("4MiB").find("nvs")
    flash = (tmp_path / f"boards/{number}/flash.bin").read_bytes()
    return decode(flash[location.offset : location.offset + location.size])["fleetmint"]


def test_each_board_gets_an_identity_of_its_own_and_a_second_run_touches_none(bench, boards, tmp_path):
    ports = boards(3)
    plan = plan_burn(bench, ports)
    assert plan.changed
    done = plan.apply()
    assert sorted(board.device for board in done.boards) == ["lamp-000001", "lamp-000002", "lamp-000003"]
    known = secrets.load(bench.batch, bench.passphrases)
    for number, board in enumerate(done.boards, 1):
        values = nvs_of(tmp_path, number)
        assert values["device_id"].decode() == board.device
        secret = known.devices[board.device]
        assert values.get("token") == (secret.token.encode() if secret.token else None)
        assert values.get("cert0") == secret.certificate
        assert units(bench)[board.device].mac == board.mac
    flashes = [(tmp_path / f"boards/{number}/flash.bin").read_bytes() for number in (1, 2, 3)]
    assert not plan_burn(bench, ports).changed
    assert {outcome.state for outcome in burn_ports(bench, ports)} == {"kept"}
    assert [(tmp_path / f"boards/{number}/flash.bin").read_bytes() for number in (1, 2, 3)] == flashes


def test_a_board_that_is_done_is_no_change_while_others_of_the_batch_are_left(bench, boards):
    ports = boards(1)
    plan = plan_burn(bench, ports)
    assert plan.apply().changed
    again = plan_burn(bench, ports)
    assert not again.apply().changed
    assert left(bench) == 2


def test_a_board_of_another_chip_is_refused_and_costs_no_identity(bench, boards, tmp_path):
    (outcome,) = burn_ports(bench, boards(1, "--chip", "esp32c3"))
    assert outcome.state == "failed"
    assert "the board is an esp32c3, the batch is for esp32" in outcome.reason
    assert left(bench) == 3
    assert (tmp_path / "boards/1/flash.bin").read_bytes() == delivered("esp32c3", 0x400000)


def test_a_burn_that_was_cut_goes_on_with_the_same_identity(bench, boards, tmp_path):
    (outcome,) = burn_ports(bench, boards(1, "--fault", "drop=3"))
    assert outcome.state == "failed"
    held = [unit for unit in units(bench).values() if unit.mac]
    assert [unit.state for unit in held] == ["claimed"]
    (again,) = burn_ports(bench, boards(1))
    assert again.state == "burned"
    assert again.device == held[0].device
    assert left(bench) == 2


def test_a_board_of_somebody_else_is_refused_and_its_flash_stays(bench, boards, tmp_path, now):
    ports = boards(1)
    burn_ports(bench, ports)
    before = (tmp_path / "boards/1/flash.bin").read_bytes()
    # The ledger of another site has never seen this board.
    other = replace(bench, ledger=f"sqlite:///{tmp_path / 'other.sqlite'}")
    engine = open_ledger(other.ledger, create=True)
    create_schema(engine, site="test", owner="factory")
    with writing(engine) as connection:
        create_batch(connection, "first", {"lamp-000002": "device"}, now=now)
        mark_registered(connection, "first", {"lamp-000002"}, actor="test", now=now)
    engine.dispose()
    (outcome,) = burn_ports(other, ports)
    assert outcome.state == "failed"
    assert "lamp-000001" in outcome.reason
    assert (tmp_path / "boards/1/flash.bin").read_bytes() == before
    assert left(other) == 1


def test_a_port_without_a_board_fails_alone(bench, boards, tmp_path):
    ports = [*boards(1), str(tmp_path / "nothing")]
    done, failed = burn_ports(bench, ports)
    assert done.state == "burned"
    assert "there is no port" in failed.reason
    with pytest.raises(BurnError, match="1 of 2 boards failed"):
        plan_burn(bench, ports).apply()


def test_a_firmware_that_is_no_image_is_refused_before_a_board_is_touched(bench, boards, tmp_path):
    (tmp_path / "firmware.bin").write_bytes(b"<html>not found</html>")
    with pytest.raises(ImageError, match="no ESP32 image"):
        burn_ports(replace(bench, firmware=tmp_path / "firmware.bin"), boards(1))
    assert left(bench) == 3
