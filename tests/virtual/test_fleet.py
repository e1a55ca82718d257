import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleetmint.flash.burn import identify
from virtual.esp32 import fleet

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def state(tmp_path):
    yield tmp_path
    fleet.down(tmp_path)


def command(*arguments):
    run = subprocess.run(
        [sys.executable, "-m", "virtual.esp32.fleet", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def pids(answer):
    return [board["pid"] for board in answer["boards"]]


def test_boards_run_on_when_the_command_that_started_them_has_ended(state):
    first = command("up", "--state", state, "--count", 2)
    assert first["changed"]
    assert [board["mac"] for board in first["boards"]] == ["24:0a:c4:00:00:01", "24:0a:c4:00:00:02"]
    assert [identify(board["port"]).mac for board in first["boards"]] == ["24:0a:c4:00:00:01", "24:0a:c4:00:00:02"]
    again = command("up", "--state", state, "--count", 2)
    assert not again["changed"]
    assert pids(again) == pids(first) == pids(command("status", "--state", state))
    down = command("down", "--state", state)
    assert down["changed"]
    assert pids(down) == [None, None]
    assert not command("down", "--state", state)["changed"]


def test_a_board_starts_anew_when_its_options_change_and_keeps_its_flash(state):
    fleet.up(state, 1)
    (slot,) = fleet.slots(state)
    before, flash = slot.pid(), slot.directory / "flash.bin"
    flash.write_bytes(b"kept" + flash.read_bytes()[4:])
    assert fleet.up(state, 1, ["--env", "COLOUR=red"]) == [slot.port]
    assert slot.pid() not in (None, before)
    assert flash.read_bytes().startswith(b"kept")


def test_a_board_that_was_killed_is_started_again(state, until):
    fleet.up(state, 1)
    (slot,) = fleet.slots(state)
    os.kill(slot.pid(), signal.SIGKILL)
    until(lambda: slot.pid() is None, lambda: "the board to be gone")
    fleet.up(state, 1)
    assert identify(str(slot.port)).mac == slot.mac


def test_a_process_that_only_has_the_number_of_a_board_is_left_alone(state):
    directory = state / "boards" / "1"
    directory.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as other:
        (directory / "pid").write_text(f"{other.pid}\n")
        (slot,) = fleet.slots(state)
        assert slot.pid() is None
        fleet.down(state)
        assert other.poll() is None
        assert not (directory / "pid").exists()
        other.kill()


def test_a_board_that_does_not_start_is_an_error_with_its_reason(state):
    with pytest.raises(fleet.FleetError, match=r"board 1 did not start: .*invalid choice: 'esp31'"):
        fleet.up(state, 1, ["--chip", "esp31"])


def test_a_fleet_without_boards_is_refused(state):
    with pytest.raises(fleet.FleetError, match="1 to 255 virtual boards, not 0"):
        fleet.up(state, 0)


def test_a_board_whose_state_is_removed_ends_since_nobody_could_end_it(state, until):
    fleet.up(state, 1)
    (slot,) = fleet.slots(state)
    pid = slot.pid()
    assert pid is not None
    shutil.rmtree(state / "boards")
    # the command line of a process that has ended is empty, collected or not
    until(lambda: fleet._command_line(pid) == [], lambda: "the board to end")
