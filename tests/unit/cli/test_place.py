"""Which site a command acts on."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetmint import commands
from fleetmint.cli import root


@pytest.fixture
def site(state, tmp_path) -> Path:
    """The inventory of a site with its state in the usual place."""
    site = tmp_path / "sites/home"
    site.mkdir(parents=True)
    (site / "hosts.yml").write_text("all: {}\n")
    (site / "state").symlink_to(state)
    _note(state, site)
    return site


def _note(state: Path, inventory: Path) -> None:
    values = json.loads((state / "site.json").read_text())
    (state / "site.json").write_text(json.dumps(values | {"inventory": str(inventory)}))


@pytest.fixture
def operators():
    """List the operators with these options and this environment."""

    def run(*options, **environment):
        return CliRunner().invoke(root, ["operator", "list", *map(str, options)], env=environment)

    return run


@pytest.fixture
def listed(operators):
    """Check that the operators of the one site are listed."""

    def check(*options, **environment):
        result = operators(*options, **environment)
        assert result.exit_code == 0, result.stderr
        assert "alice@test" in result.stdout

    return check


@pytest.fixture
def unlisted(operators):
    """Check that the command is refused with these words and lists nobody."""

    def check(*words, options=(), code=1, **environment):
        result = operators(*options, **environment)
        assert result.exit_code == code, result.output
        assert "alice@test" not in result.stdout
        for word in words:
            assert str(word) in result.stderr

    return check


def test_no_site_is_a_refusal(unlisted):
    unlisted("no site is named", "--site inventory/home", "FLEETMINT_SITE", code=2)
    unlisted("no site is named", code=2, FLEETMINT_SITE="", FLEETMINT_STATE="")


def test_a_site_is_named_by_its_inventory_or_by_its_state(listed, site, state):
    listed("--site", site)
    listed("--state", state)
    listed(FLEETMINT_SITE=str(site))
    listed(FLEETMINT_STATE=str(state))
    listed(FLEETMINT_SITE=str(site), FLEETMINT_STATE=str(state))


def test_what_is_typed_counts_before_the_environment(listed, site, state, tmp_path):
    listed("--site", site, FLEETMINT_SITE=str(tmp_path / "other"), FLEETMINT_STATE=str(tmp_path / "other"))
    listed("--state", state, FLEETMINT_SITE=str(tmp_path / "other"), FLEETMINT_STATE=str(tmp_path / "other"))


def test_a_relative_path_in_the_environment_is_meant_from_the_checkout(listed, unlisted, site, monkeypatch):
    checkout = site.parents[1]
    monkeypatch.setattr(commands, "checkout", lambda: checkout)
    monkeypatch.chdir(site)

    listed(FLEETMINT_SITE="sites/home")
    listed(FLEETMINT_STATE="sites/home/state")
    unlisted("there is no site", checkout / "home", FLEETMINT_SITE="home")


def test_a_relative_path_on_the_command_line_is_meant_from_here(listed, site, monkeypatch):
    monkeypatch.chdir(site.parent)
    listed("--site", "home")
    listed("--state", "home/state")


def test_a_state_of_another_site_is_refused(unlisted, site, state, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "hosts.yml").write_text("all: {}\n")

    words = ("is the state of the site", site, other)
    unlisted(*words, FLEETMINT_SITE=str(other), FLEETMINT_STATE=str(state))
    unlisted(*words, options=("--site", other, "--state", state))


def test_a_copied_inventory_is_not_taken_for_its_original(unlisted, site, tmp_path):
    shutil.copytree(site, tmp_path / "copy", symlinks=True)
    unlisted("is the state of the site", site, FLEETMINT_SITE=str(tmp_path / "copy"))


def test_a_directory_that_is_no_site_is_called_so(unlisted, site, state):
    unlisted("there is no site", options=("--site", site.parent))
    unlisted("is the state of a site, not its inventory", options=("--site", state))


def test_a_site_without_cas_says_what_makes_them(unlisted, site):
    (site / "state").unlink()
    unlisted("has CAs yet", f"-i {site}", "playbooks/ca.yml", options=("--site", site))


def test_one_of_several_states_has_to_be_chosen(listed, unlisted, site, state):
    (site / "state").unlink()
    (site / "state").mkdir()
    (site / "state/demo").symlink_to(state)

    unlisted("several states", site / "state/demo", FLEETMINT_SITE=str(site))
    listed("--state", site / "state/demo", FLEETMINT_SITE=str(site))


def test_a_site_that_has_moved_is_found_where_it_is(listed, site, state):
    _note(state, site.parent / "gone")
    listed("--site", site)
