"""After the burn: the test at the end of the line, and boards that are burned again."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleetmint.bench.bench import burn_ports, left
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.flash.table import stock
from fleetmint.ledger import open_ledger, reading, writing
from fleetmint.ledger.factory import list_units, release, take_back
from fleetmint.nvs.decode import decode
from virtual.esp32.rack import Blank, Slot

APP = Path(__file__).parents[3] / "firmware"
NVS = stock("4MiB").find("nvs")
MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def port(tmp_path):
    slot = Slot(tmp_path / "port")
    slot.put(Blank(MAC, tmp_path / "flash"))
    yield str(slot.port)
    slot.take()


def burn(bench, port):
    (outcome,) = burn_ports(bench, [port])
    return outcome


def units(bench):
    engine = open_ledger(bench.ledger)
    with reading(engine) as connection:
        found = {unit.device: unit for unit in list_units(connection, "first")}
    engine.dispose()
    return found


def identity(tmp_path):
    return decode((tmp_path / "flash").read_bytes()[NVS.offset : NVS.end])["fleetmint"]["device_id"].decode()


def silent(device):
    raise BurnError(f"{device} is burned, and was not heard of", BurnCode.NOT_HEARD)


def cut_off(device):
    raise BurnError(f"{device} is burned and was not tested", BurnCode.MONITOR_LOST)


def test_a_board_is_done_only_when_its_device_was_heard_of(bench, port):
    heard = []
    outcome = burn(replace(bench, test=heard.append), port)
    assert (outcome.state, heard) == ("burned", [outcome.device])


def test_a_board_that_was_not_heard_of_is_tested_again_and_then_set_aside(bench, port):
    first = burn(replace(bench, test=silent), port)
    assert (first.state, first.code) == ("failed", "not-heard")
    assert "was not heard of; its console said nothing; put it in again" in first.reason
    assert units(bench)["lamp-000001"].state == "claimed"
    second = burn(replace(bench, test=silent), port)
    assert "in quarantine" in second.reason
    assert units(bench)["lamp-000001"].state == "quarantined"
    assert "2 times" in units(bench)["lamp-000001"].reason


def test_a_board_out_of_quarantine_is_tested_as_often_as_a_new_one(bench, port, now):
    for _ in range(2):
        burn(replace(bench, test=silent), port)
    engine = open_ledger(bench.ledger)
    with writing(engine) as connection:
        release(connection, "lamp-000001", untouched=False, now=now)
    engine.dispose()
    assert "put it in again" in burn(replace(bench, test=silent), port).reason


def test_a_board_that_is_heard_of_the_second_time_is_done_with_the_same_identity(bench, port):
    burn(replace(bench, test=silent), port)
    assert burn(replace(bench, test=lambda _device: None), port).state == "burned"
    assert units(bench)["lamp-000001"].state == "burned"


def test_a_station_that_hears_nothing_blames_no_board(bench, port):
    for _ in range(3):
        assert burn(replace(bench, test=cut_off), port).code is BurnCode.MONITOR_LOST
    assert units(bench)["lamp-000001"].state == "claimed"


def test_a_board_that_is_reprovisioned_gets_a_new_identity_after_the_old_one_has_ended(bench, port, tmp_path):
    assert burn(bench, port).device == "lamp-000001"
    ended = []

    def retire(device):
        ended.append((device, identity(tmp_path)))
        engine = open_ledger(bench.ledger)
        with writing(engine) as connection:
            take_back(connection, device, "reprovisioned", actor="test", now=datetime.now(UTC))
        engine.dispose()

    again = burn(replace(bench, retire=retire), port)
    assert (again.state, again.device, identity(tmp_path)) == ("burned", "lamp-000002", "lamp-000002")
    assert ended == [("lamp-000001", "lamp-000001")]
    found = units(bench)
    assert [(found[device].state, found[device].mac) for device in sorted(found)] == [
        ("returned", MAC),
        ("burned", MAC),
        ("planned", None),
    ]


def test_a_board_is_not_reprovisioned_while_nobody_confirms_that_its_old_identity_has_ended(bench, port, tmp_path):
    burn(bench, port)
    before = (tmp_path / "flash").read_bytes()
    asked = []

    def away(device):
        asked.append(device)
        engine = open_ledger(bench.ledger)
        with writing(engine) as connection:
            take_back(connection, device, "reprovisioned", actor="test", now=datetime.now(UTC))
        engine.dispose()
        raise FleetmintError("the gateway does not answer")

    for _ in range(2):
        refused = burn(replace(bench, retire=away), port)
        assert (refused.state, refused.reason) == ("failed", "the gateway does not answer")
    # the second time the ledger has it as ended already, and the gateway still has to say so
    assert asked == ["lamp-000001"] * 2
    assert (tmp_path / "flash").read_bytes() == before
    assert left(bench) == 2


def test_without_that_option_a_board_keeps_its_identity(bench, port):
    burn(bench, port)
    assert burn(bench, port).state == "kept"
