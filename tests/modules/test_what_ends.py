"""A play says at its end, once and in one line, what will lock somebody out before long."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.leaves import plan_client
from fleetmint.passphrases import open_source

ROOT = Path(__file__).parents[2]
PLAYS = "- {hosts: localhost, gather_facts: false, tasks: [{ansible.builtin.debug: {msg: done}}]}\n" * 2


def run_play(site: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    given = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(site / "ansible"), "COLUMNS": "1000"}
    command = [program, "-i", str(site), str(site.parent / "play.yml")]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True, check=True)


def make_site(tmp_path: Path, made: datetime) -> Path:
    site, state = tmp_path / "home", tmp_path / "home/state"
    (site / "group_vars").mkdir(parents=True)
    (site / "group_vars/all.yml").write_text("fleet_site: test\nfleet_state_dir: state\n")
    (site / "hosts.yml").write_text("controller: {hosts: {localhost: {ansible_connection: local}}}\n")
    (tmp_path / "play.yml").write_text(PLAYS)
    hierarchy = Hierarchy(state / "ca", "test", open_source(f"file:{state / 'passphrases'}"))
    plan_hierarchy(hierarchy, ["gateway"], made).apply()
    plan_client(hierarchy, "operator", "a@test", state / "issued/operators", made).apply()
    ca = {"directory": str(state / "ca"), "passphrases": f"file:{state / 'passphrases'}"}
    (state / "site.json").write_text(json.dumps({"site": "test", "station": "b@test", "ca": ca, "gateways": {}}))
    return site


def test_a_play_says_once_at_its_end_what_will_lock_somebody_out_on_stderr(tmp_path: Path) -> None:
    site = make_site(tmp_path, datetime.now(UTC) - timedelta(days=799))
    done = run_play(site)
    lines = [line for line in done.stderr.splitlines() if "a@test ends on" in line]
    assert len(lines) == 1, done.stderr
    assert "`fleetmint ca show " in lines[0]
    assert "--site" in lines[0]
    assert "a@test ends on" not in done.stdout


def test_a_play_says_nothing_of_it_while_everything_lasts(tmp_path: Path) -> None:
    site = make_site(tmp_path, datetime.now(UTC))
    done = run_play(site)
    assert "says what renews it" not in done.stderr + done.stdout
