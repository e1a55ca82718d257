"""`fleetmint burn` as a person meets it: what is refused, what is handed over, and what to do next."""

import os

import pytest

from fleetmint import commands
from fleetmint.ledger import open_ledger, writing
from fleetmint.ledger.factory import mark_registered
from virtual.esp32.rack import Blank, Slot


@pytest.fixture
def put(tmp_path):
    slot = Slot(tmp_path / "port")

    def board(**more):
        slot.put(Blank("24:0a:c4:00:00:01", tmp_path / "flash", **more))
        return str(slot.port)

    yield board
    slot.take()


@pytest.fixture
def registered(state, now):
    engine = open_ledger(f"sqlite:///{state / 'ledger.sqlite'}")
    with writing(engine) as connection:
        mark_registered(connection, "first", ["lamp-000001", "lamp-000002"], actor="test", now=now)
    engine.dispose()


def test_a_burn_hands_over_by_itself_and_says_what_comes_next(listener, fleetmint, put, gateway_side):
    assert fleetmint("batch", "register", "first").exit_code == 0
    result = fleetmint("burn", "first", "--port", put(), "--once")
    assert result.exit_code == 0, result.output
    assert "handed over: first: 0 revoked, 0 unchanged, 1 updated" in result.stderr
    assert "next: switch the boards on" in result.stderr
    assert "next: 1 of first are left" in result.stderr


def test_a_gateway_that_is_away_is_told_with_the_command_for_later(state, registered, fleetmint, put):
    result = fleetmint("burn", "first", "--port", put(), "--once")
    assert result.exit_code == 0, result.output
    assert "not handed over to the gateway" in result.stderr
    assert f"next: {commands.fleetmint('batch', 'handover', 'first')}" in result.stderr


def test_a_blank_board_is_refused_and_costs_nothing(state, registered, fleetmint, put):
    result = fleetmint("burn", "first", "--port", put(micropython=False), "--once")
    assert result.exit_code == 1
    assert "has no firmware that starts" in result.stdout
    assert "--firmware FILE" in result.stdout
    assert "handed over" not in result.stderr
    assert "0 done, 1 failed, 2 left" in result.stderr


def test_auto_without_a_board_is_refused_when_it_may_not_wait(state, fleetmint, monkeypatch):
    monkeypatch.setattr("fleetmint.cli.bench.burn.find_ports", lambda: ())
    result = fleetmint("burn", "first", "--port", "auto", "--once")
    assert result.exit_code == 1
    assert "no board is connected, and nothing was burned" in result.stderr


def test_auto_beside_a_port_is_not_guessed_about(state, fleetmint):
    result = fleetmint("burn", "first", "--port", "auto", "--port", os.devnull, "--once")
    assert result.exit_code == 2
    assert "name it alone" in result.stderr
