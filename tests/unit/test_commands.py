"""Printed commands: pasted where the reader stands, they run this installation on the same site."""

import shlex
import sys
from pathlib import Path

import click
import pytest

from fleetmint import commands
from tests.contracts import quoted

TOP = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    """In the checkout, with the programs on PATH, and nothing named in the environment."""
    monkeypatch.chdir(TOP)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")


def test_a_line_in_the_checkout_names_the_site_by_short_paths():
    commands.act_on(state=TOP / "inventory/home/state", inventory=TOP / "inventory/home")

    assert commands.playbook("revoke.yml", device="lamp-1").line == (
        "ansible-playbook -i inventory/home playbooks/revoke.yml -e device=lamp-1"
    )
    assert commands.fleetmint("audit").line == "fleetmint audit --site inventory/home"


def test_a_line_elsewhere_has_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands.act_on(state=TOP / "inventory/home/state", inventory=TOP / "inventory/home")

    assert commands.playbook("ca.yml").line == (f"ansible-playbook -i {TOP}/inventory/home {TOP}/playbooks/ca.yml")
    assert commands.fleetmint("audit").line == f"fleetmint audit --site {TOP}/inventory/home"


def test_a_site_that_the_environment_names_is_not_named_again(monkeypatch):
    commands.act_on(state=TOP / "inventory/home/state", inventory=TOP / "inventory/home")
    monkeypatch.setenv(commands.SITE_VARIABLE, "inventory/home")

    assert commands.playbook("ca.yml").line == "ansible-playbook playbooks/ca.yml"
    assert commands.fleetmint("audit").line == "fleetmint audit"


@pytest.mark.parametrize("variable", ["ANSIBLE_INVENTORY", "ANSIBLE_CONFIG"])
def test_a_play_names_its_site_where_ansible_would_take_another_one(monkeypatch, variable):
    commands.act_on(state=TOP / "inventory/home/state", inventory=TOP / "inventory/home")
    monkeypatch.setenv(commands.SITE_VARIABLE, "inventory/home")
    monkeypatch.setenv(variable, "/somewhere/else")

    assert commands.playbook("ca.yml").line == "ansible-playbook -i inventory/home playbooks/ca.yml"
    assert commands.fleetmint("audit").line == "fleetmint audit"


def test_a_site_that_is_not_the_one_of_the_environment_is_named(monkeypatch):
    monkeypatch.setenv(commands.SITE_VARIABLE, "inventory/home")
    commands.act_on(state=TOP / "inventory/other/state", inventory=TOP / "inventory/other")

    assert "-i inventory/other" in commands.playbook("ca.yml").line
    assert commands.fleetmint("audit").line == "fleetmint audit --site inventory/other"


def test_a_state_that_the_environment_names_still_leaves_the_play_without_a_site(monkeypatch):
    monkeypatch.setenv(commands.STATE_VARIABLE, "inventory/home/state")
    commands.act_on(state=TOP / "inventory/home/state", inventory=TOP / "inventory/home")

    assert commands.fleetmint("audit").line == "fleetmint audit"
    assert "-i inventory/home" in commands.playbook("ca.yml").line


def test_a_state_elsewhere_is_named_itself(monkeypatch):
    commands.act_on(state=Path("/srv/state"), inventory=TOP / "inventory/home")
    assert commands.fleetmint("audit").line == "fleetmint audit --state /srv/state"
    monkeypatch.setenv(commands.SITE_VARIABLE, "inventory/home")
    assert commands.fleetmint("audit").line == "fleetmint audit --state /srv/state"


def test_every_word_is_quoted(tmp_path):
    site = tmp_path / "my site; rm -rf"
    commands.act_on(state=site / "state", inventory=site)

    words = shlex.split(commands.fleetmint("device", "return", "lamp-1", "--reason", "it's $HOME").line)
    assert words[2:] == ["return", "lamp-1", "--reason", "it's $HOME", "--site", str(site)]


def test_programs_that_are_not_on_path_are_called_by_theirs(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    commands.act_on(inventory=TOP / "inventory/home")
    ours = Path(sys.executable).parent.relative_to(TOP)

    assert commands.playbook("ca.yml").line.startswith(f"{ours}/ansible-playbook -i")
    assert commands.fleetmint("audit").line == f"{ours}/fleetmint audit --site inventory/home"


def test_what_a_gateway_prints_for_the_controller_says_so():
    commands.act_on_gateway()

    assert str(commands.playbook("revoke.yml", device="lamp-1")) == (
        "`ansible-playbook playbooks/revoke.yml -e device=lamp-1` on the controller"
    )
    assert str(commands.fleetmint("audit")) == "`fleetmint audit` on the controller"
    assert str(commands.gateway("audit")) == (
        "`sudo runuser -u fleetmint -- /opt/fleetmint/bin/fleetmint gateway audit`"
    )


def test_what_the_controller_prints_for_a_gateway_says_so():
    line = commands.gateway("import", "-", stdin="my file")
    assert str(line) == (
        "`sudo runuser -u fleetmint -- /opt/fleetmint/bin/fleetmint gateway import - < 'my file'` on the gateway"
    )


def test_a_module_prints_for_the_one_who_started_the_play(tmp_path, monkeypatch):
    site = TOP / "inventory/home"
    monkeypatch.setenv(commands.PLAY_VARIABLE, commands.told_by_play(inventory=site, state=site / "state"))
    monkeypatch.chdir(tmp_path)
    commands.act_on_play()

    assert commands.playbook("ca.yml").line == "ansible-playbook -i inventory/home playbooks/ca.yml"


def test_a_relative_path_of_the_environment_is_meant_from_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(commands.SITE_VARIABLE, "inventory/home")
    assert commands.from_environment(commands.SITE_VARIABLE) == TOP / "inventory/home"
    monkeypatch.setenv(commands.SITE_VARIABLE, "")
    assert commands.from_environment(commands.SITE_VARIABLE) is None


def test_what_a_gateway_says_is_typed_here_with_this_site():
    commands.act_on_gateway()
    register, revoke = commands.fleetmint("batch", "register", "my batch"), commands.playbook("revoke.yml", device="x")
    said = f"first {register}, then {revoke}; `journalctl -u fleetmint` on the gateway"
    commands.act_on(inventory=TOP / "inventory/home")

    assert commands.typed_here(said) == (
        "first `fleetmint batch register 'my batch' --site inventory/home`, then"
        " `ansible-playbook -i inventory/home playbooks/revoke.yml -e device=x`; `journalctl -u fleetmint` on the"
        " gateway"
    )


def test_a_ledger_that_is_not_the_states_is_named_where_a_command_takes_one(monkeypatch):
    commands.act_on(state=TOP / "inventory/home/state", inventory=TOP / "inventory/home")
    commands.use_ledger("postgresql+psycopg2://bench@db/fleet")
    line = commands.fleetmint("batch", "register", "spring").line
    assert line == (
        "fleetmint batch register spring --site inventory/home --ledger postgresql+psycopg2://bench@db/fleet"
    )
    assert commands.fleetmint("operator", "list").line == "fleetmint operator list --site inventory/home"

    monkeypatch.setenv(commands.LEDGER_VARIABLE, "postgresql+psycopg2://bench@db/fleet")
    for url in ("postgresql+psycopg2://bench@db/fleet", f"sqlite:///{TOP}/inventory/home/state/ledger.sqlite"):
        commands.use_ledger(url)
        assert commands.fleetmint("audit").line == "fleetmint audit --site inventory/home"


def test_every_command_takes_the_site_and_the_ledger_that_a_line_for_it_names(tmp_path):
    commands.act_on(state=tmp_path / "state", inventory=tmp_path)
    commands.use_ledger("sqlite:////elsewhere")
    leaves = [(path, each) for path, each in quoted.commands() if not isinstance(each, click.Group)]
    assert len(leaves) > 30
    for path, command in leaves:
        takes = {name for parameter in command.params for name in parameter.opts}
        words = commands.fleetmint(*path).line.split()
        assert {word for word in words if word.startswith("--")} == takes & {"--site", "--ledger"}, path
