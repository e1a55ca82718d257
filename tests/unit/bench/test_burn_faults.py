"""What can go wrong at a bench, on virtual boards: nothing is lost, and no identity is given twice."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fleetmint.bench.bench import burn_ports, left
from fleetmint.bench.records import Records
from fleetmint.errors import LedgerError
from fleetmint.flash.job import Board
from fleetmint.flash.table import stock
from fleetmint.ledger import create_schema, open_ledger, reading, writing
from fleetmint.ledger.attempts import list_refused
from fleetmint.ledger.factory import claim, create_batch, list_units
from fleetmint.ledger.factory_audit import findings
from fleetmint.ledger.schema import burns
from fleetmint.nvs.decode import decode
from virtual import postgres
from virtual.esp32.faults import Faults
from virtual.esp32.firmware import delivered
from virtual.esp32.rack import Blank, Slot

ROOT = Path(__file__).parents[3]
APP = ROOT / "firmware"
NVS = stock("4MiB").find("nvs")


@pytest.fixture
def put(tmp_path):
    """Put boards into slots; they are taken out at the end."""
    slots = {}

    def make(slot, number, **more):
        board = Blank(f"24:0a:c4:00:00:{number:02x}", tmp_path / f"flash-{slot}-{number}", **more)
        location = slots.setdefault(slot, Slot(tmp_path / f"port-{slot}"))
        location.put(board)
        return board, str(location.port)

    yield make
    for location in slots.values():
        location.take()


def state(bench):
    """Return the units by device, the refused boards, and what the invariant checker says of identities."""
    engine = open_ledger(bench.ledger)
    with reading(engine) as connection:
        units = {unit.device: unit for unit in list_units(connection, "first")}
        refused = list_refused(connection, "first")
        broken = [finding for finding in findings(connection) if "never registered" not in finding.what]
    engine.dispose()
    assert broken == []
    return units, refused


def identity(board):
    values = decode(board.flash.read_bytes()[NVS.offset : NVS.end]).get("fleetmint", {})
    return values["device_id"].decode() if "device_id" in values else None


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_a_board_that_is_unplugged_at_any_block_gets_the_same_identity_next_time(bench, put, block):
    board, port = put("a", 1, faults=Faults(unplug=block))
    (cut,) = burn_ports(bench, [port])
    assert (cut.state, cut.code) == ("failed", "lost")
    (held,) = [unit for unit in state(bench)[0].values() if unit.mac]
    assert (held.state, held.claimed_by) == ("claimed", None)
    board.faults = Faults()
    put_again = Slot(Path(port))
    put_again.put(board)
    (done,) = burn_ports(bench, [port])
    put_again.take()
    assert (done.state, done.device, identity(board)) == ("burned", held.device, held.device)
    assert left(bench) == 2


def test_flash_that_rots_is_tried_three_times_and_then_set_aside(bench, put):
    _board, port = put("a", 1, faults=Faults(rot=1000))
    (outcome,) = burn_ports(bench, [port])
    assert outcome.code == "md5"
    (unit,) = [unit for unit in state(bench)[0].values() if unit.mac]
    assert unit.state == "quarantined"
    assert "does not read back" in unit.reason
    (again,) = burn_ports(bench, [port])
    assert "in quarantine" in again.reason
    assert left(bench) == 2


def test_a_board_that_is_silent_is_on_record_without_an_identity(bench, put, short_esptool):
    _board, port = put("a", 1, faults=Faults(silent=True))
    (outcome,) = burn_ports(bench, [port])
    assert outcome.code == "no-answer"
    assert [(board.mac, board.code) for board in state(bench)[1]] == [(None, "no-answer")]
    assert left(bench) == 3


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        ({"chip": "esp32c3"}, "wrong-chip", "the board is an esp32c3, the batch is for esp32"),
        ({"size": 0x200000}, "too-small", "take another board"),
        ({"registers": {0x3FF5A000: 1 << 20}}, "secured", "the board's eFuses demand"),
    ],
)
def test_an_unsuitable_board_is_refused_untouched_and_on_record(bench, put, kind, code, reason):
    board, port = put("a", 1, **kind)
    for _ in range(2):
        (outcome,) = burn_ports(bench, [port])
        assert (outcome.state, outcome.code) == ("failed", code)
        assert reason in outcome.reason
    (refused,) = state(bench)[1]
    assert (refused.mac, refused.code) == (board.mac, code)
    assert reason in refused.reason
    assert left(bench) == 3
    assert board.flash.read_bytes() == delivered(board.chip, board.size)


def test_a_second_board_with_the_mac_of_one_that_is_done_is_refused_untouched(bench, put):
    first, port = put("a", 1)
    assert burn_ports(bench, [port])[0].state == "burned"
    before = first.flash.read_bytes()
    second, port = put("b", 1)
    (outcome,) = burn_ports(bench, [port])
    assert outcome.code == "duplicate"
    assert "another board with the same MAC, or it was erased" in outcome.reason
    assert second.flash.read_bytes() == delivered(second.chip, second.size)
    assert first.flash.read_bytes() == before
    assert [board.code for board in state(bench)[1]] == ["duplicate"]


def test_two_boards_with_one_mac_at_the_same_time_never_get_one_identity(bench, put):
    boards = [put("a", 1), put("b", 1)]
    outcomes = burn_ports(bench, [port for _board, port in boards])
    assert sorted(outcome.state for outcome in outcomes) == ["burned", "failed"]
    assert [outcome.code for outcome in outcomes if outcome.state == "failed"] == ["duplicate"]
    assert sorted(identity(board) or "" for board, _port in boards) == ["", "lamp-000001"]


def test_a_board_that_another_station_is_burning_is_left_alone(bench, put, now):
    board, port = put("a", 1)
    engine = open_ledger(bench.ledger)
    with writing(engine) as connection:
        claim(connection, "first", board.mac, "other-host:4711:/dev/ttyUSB0", port="p", now=now, unregistered=True)
    engine.dispose()
    (outcome,) = burn_ports(bench, [port])
    assert outcome.code == "duplicate"
    assert "is being burned as lamp-000001 by other-host:4711" in outcome.reason
    assert board.flash.read_bytes() == delivered(board.chip, board.size)


def test_a_board_that_was_provisioned_elsewhere_is_refused_untouched(bench, put, tmp_path, now):
    board, port = put("a", 1)
    burn_ports(bench, [port])
    before = board.flash.read_bytes()
    other = replace(bench, ledger=f"sqlite:///{tmp_path / 'other.sqlite'}")
    engine = open_ledger(other.ledger, create=True)
    create_schema(engine, site="test", owner="factory")
    with writing(engine) as connection:
        create_batch(connection, "first", {"lamp-000002": "device"}, now=now)
    engine.dispose()
    (outcome,) = burn_ports(other, [port])
    assert outcome.code == "identity"
    assert board.flash.read_bytes() == before
    assert [board.code for board in state(other)[1]] == ["identity"]


def test_a_disk_that_is_full_stops_the_burn_before_the_board_is_touched(bench, put, full_disk):
    board, port = put("a", 1)
    engine = open_ledger(bench.ledger)
    with reading(engine) as connection:
        connection.execute(select(func.count()).select_from(burns))
    with full_disk(4096), pytest.raises(LedgerError, match=r"disk is full|disk I/O error"):
        burn_ports(bench, [port])
    engine.dispose()
    assert board.flash.read_bytes() == delivered(board.chip, board.size)
    assert left(bench) == 3
    assert burn_ports(bench, [port])[0].state == "burned"
    state(bench)


def test_a_worker_that_is_killed_leaves_the_identity_with_its_board(bench, put):
    _board, port = put("a", 1)
    children = Path(f"/proc/{os.getpid()}/task")

    def kill_when_burning(outcome):
        if outcome.state == "burning":
            for path in children.glob("*/children"):
                for pid in path.read_text().split():
                    if b"fleetmint.flash.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(int(pid), signal.SIGKILL)

    (cut,) = burn_ports(bench, [port], kill_when_burning)
    assert (cut.state, cut.code) == ("failed", "lost")
    (held,) = [unit for unit in state(bench)[0].values() if unit.mac]
    (done,) = burn_ports(bench, [port])
    assert (done.state, done.device) == ("burned", held.device)


def _station(bench, tmp_path, *ports, options=()):
    code = "from fleetmint.cli import main; main()"
    source = f"file:{tmp_path / 'passphrases'}"
    command = [sys.executable, "-c", code, "burn", "--state", str(tmp_path), "first", "--unregistered"]
    command += ["--json", "--passphrases", source, "--ledger", bench.ledger, *options]
    for port in ports:
        command += ["--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_station_that_is_killed_leaves_no_worker_behind_and_the_next_one_goes_on(bench, put, tmp_path):
    board, port = put("a", 1)
    with _station(bench, tmp_path, port) as process:
        for line in process.stdout:
            if json.loads(line)["state"] == "burning":
                process.kill()
                break
    (held,) = [unit for unit in state(bench)[0].values() if unit.mac]
    assert held.state == "claimed"
    # the worker that was left without its station lets go of the port
    deadline = time.monotonic() + 30
    while (outcome := burn_ports(bench, [port])[0]).code == "port-busy":
        assert time.monotonic() < deadline
    assert (outcome.state, outcome.device) == ("burned", held.device)
    assert identity(board) == held.device


def test_ctrl_c_ends_a_station_after_the_board_that_is_being_written(bench, put, tmp_path):
    _board, port = put("a", 1)
    with _station(bench, tmp_path, port) as process:
        states = []
        for line in process.stdout:
            states.append(json.loads(line)["state"])
            if states[-1] == "burning" and "burning" not in states[:-1]:
                process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 0, told
    assert states[-1] == "burned"
    assert "1 done, 0 failed, 2 left" in told


def test_a_password_in_the_url_of_the_ledger_is_refused(bench, tmp_path):
    with _station(replace(bench, ledger="postgresql+psycopg://a:secret@host/fleet"), tmp_path, "/dev/null") as process:
        told = process.stderr.read()
    assert process.returncode == 1
    assert "put it into ~/.pgpass" in told
    assert "secret" not in told


def test_two_stations_on_one_postgresql_claim_each_identity_once(bench, put, tmp_path, now):
    with postgres.cluster() as url:
        shared = replace(bench, ledger=url)
        engine = open_ledger(url)
        create_schema(engine, site="test")
        with writing(engine) as connection:
            create_batch(connection, "first", dict.fromkeys(["lamp-000001", "lamp-000002"], "device"), now=now)
            create_batch(connection, "other", {"bulb-1": "device"}, now=now)
        boards = [put(f"s{number}", number) for number in (1, 2)]
        processes = [_station(shared, tmp_path, port) for _board, port in boards]
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda process: process.communicate(timeout=60), processes))
        assert [process.returncode for process in processes] == [0, 0], results
        assert sorted(identity(board) for board, _port in boards) == ["lamp-000001", "lamp-000002"]
        units, refused = state(shared)
        assert {unit.mac: unit.device for unit in units.values()} == {b.mac: identity(b) for b, _port in boards}
        assert refused == ()
        # a flash can say anything, and a database need not take it
        odd = Board("24:0a:c4:00:00:99", "esp32", 0x400000, "lamp\0")
        assert Records(engine, "first", "p").to_retire(odd, now) == ()
        engine.dispose()
