import io
import json
import re

import pytest
from rich.console import Console

from fleetmint.bench.outcome import Outcome
from fleetmint.burn_codes import BurnCode
from fleetmint.cli.bench.burn_view import Events, Lines, LiveTable, Tally, Watcher

PORT, MAC = "/dev/ttyUSB0", "24:0a:c4:00:00:01"
STEPS = [
    Outcome(PORT, "identify"),
    Outcome(PORT, "burning", "lamp-000001", MAC, region="nvs", done=1, total=2),
    Outcome(PORT, "burning", "lamp-000001", MAC, region="nvs", done=2, total=2),
    Outcome(PORT, "burned", "lamp-000001", MAC, 2.5),
    Outcome("/dev/ttyUSB1", "failed", mac=MAC, reason="no such luck", code=BurnCode.LOST),
]


def tally():
    seconds = iter(range(0, 1000, 30))
    return Tally(lambda: 4, clock=lambda: next(seconds))


def test_lines_say_each_step_once_and_how_it_stands(capsys):
    count = tally()
    view = Lines(count)
    for step in STEPS:
        Watcher(view, count)(step)
    view.end()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{PORT}  identify",
        f"{PORT}  burning   lamp-000001 {MAC} nvs",
        f"{PORT}  burned    lamp-000001 {MAC} in 2.5 s",
        f"/dev/ttyUSB1  failed    {MAC} no such luck",
    ]
    assert err == "1 done, 1 failed, 4 left, about 2 min 0 s to go\n"


def test_events_are_one_json_object_a_line(capsys):
    count = tally()
    for step in STEPS:
        Watcher(view := Events(count), count)(step)
        del view
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {"port": PORT, "state": "identify"}
    assert rows[-1]["code"] == "lost"


def test_the_bell_rings_on_a_failure_only_and_only_when_asked_for(capsys):
    count = tally()
    view = Lines(count)
    Watcher(view, count, bell=True)(STEPS[0])
    Watcher(view, count)(STEPS[4])
    assert "\a" not in capsys.readouterr().err
    Watcher(view, count, bell=True)(STEPS[4])
    assert "\a" in capsys.readouterr().err


def test_the_table_shows_each_slot_with_its_board(capsys):
    count, text = tally(), io.StringIO()
    view = LiveTable(count, Console(file=text, width=140, force_terminal=True, color_system=None))
    for step in (*STEPS, Outcome(PORT, "waiting")):
        Watcher(view, count)(step)
    view.end()
    shown = text.getvalue()
    assert "no such luck" in shown
    last = [line for line in shown.splitlines() if PORT in line][-1]
    assert "burned" in last
    assert "lamp-000001" in last
    assert MAC in last
    assert "1 done, 1 failed, 4 left" in shown


@pytest.mark.parametrize("width", [80, 110])
def test_the_table_fits_the_terminal_and_cuts_no_id(width):
    count, text = tally(), io.StringIO()
    view = LiveTable(count, Console(file=text, width=width, force_terminal=True, color_system=None))
    slots = ("/dev/ttyUSB0", "/dev/ttyACM12")
    for port in slots:
        view.show(Outcome(port, "burning", "lamp-000001", MAC, region="application", done=400_000, total=1_700_000))
    view.end()
    lines = [re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", line).rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    for word in ("lamp-000001", MAC, *slots):
        assert any(word in line for line in lines)
