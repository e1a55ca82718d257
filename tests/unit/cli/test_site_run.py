"""Running site.yml without a person: what is told, to whom, and what is refused before."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

VAULT = Path(sys.executable).with_name("ansible-vault")


@pytest.fixture
def play(tmp_path, state, monkeypatch):
    """Stand in for ansible-playbook: prints its arguments, ends as told; `heard` is what the alert was told."""
    (tmp_path / "bin").mkdir()
    program, heard = tmp_path / "bin/ansible-playbook", tmp_path / "heard"
    site = json.loads((state / "site.json").read_text())
    (state / "hosts.yml").write_text("{}")
    alert = [sys.executable, "-c", f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read())"]
    (state / "site.json").write_text(json.dumps(site | {"alert_command": alert, "inventory": str(state)}))
    monkeypatch.setattr("fleetmint.site.monthly.sys.executable", str(tmp_path / "bin/python"))

    def ends(code):
        program.write_text(f'#!/bin/sh\necho "$@"\necho TASK four >&2\nexit {code}\n')
        program.chmod(0o755)

    ends(0)
    ends.heard = lambda: heard.read_text() if heard.exists() else ""
    return ends


def test_it_runs_the_playbooks_for_this_site_and_tells_nobody_when_all_is_well(fleetmint, play, state):
    done = fleetmint("site", "run")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith(f"-i {state} ")
    assert done.stdout.splitlines()[0].endswith("/playbooks/deploy.yml")
    assert "factory" not in done.stdout
    assert play.heard() == ""


def test_a_failure_is_an_exit_code_and_is_told_with_the_end_of_what_was_printed(fleetmint, play):
    play(2)
    done = fleetmint("site", "run")
    assert done.exit_code == 1
    assert "deploy.yml for the site test failed" in done.stderr
    assert "deploy.yml for the site test failed" in play.heard()
    assert "TASK four" in play.heard()


def test_an_alert_command_that_fails_is_said_beside_the_failure(fleetmint, play, state):
    site = json.loads((state / "site.json").read_text())
    (state / "site.json").write_text(json.dumps(site | {"alert_command": ["/bin/false"]}))
    play(2)
    done = fleetmint("site", "run")
    assert done.exit_code == 1
    assert "deploy.yml for the site test failed" in done.stderr
    assert "alert_command failed: /bin/false ended with 1" in done.stderr


@pytest.mark.usefixtures("play")
def test_what_a_run_leaves_to_do_is_told(fleetmint, play, monkeypatch, now):
    class Clock:
        @staticmethod
        def now(_zone):
            return now + timedelta(days=740)

    monkeypatch.setattr("fleetmint.cli.controller.site.datetime", Clock)
    assert fleetmint("site", "run").exit_code == 0
    assert "has run, and left something to do" in play.heard()
    assert "ends on" in play.heard()


@pytest.mark.parametrize("source", ["prompt:", "fd:3", "shares:x"])
def test_passphrases_that_a_person_has_to_give_are_refused_with_what_to_do(fleetmint, play, state, refused, source):
    site = json.loads((state / "site.json").read_text())
    site["ca"]["passphrases"] = source
    (state / "site.json").write_text(json.dumps(site))
    (state / "x").mkdir()
    refused(fleetmint("site", "run", "--try"), "ANSIBLE_VAULT_PASSWORD_FILE", "controller_monthly")
    refused(fleetmint("site", "run"), "controller_monthly")


@pytest.mark.usefixtures("play")
def test_a_vault_is_refused_until_its_password_is_had_without_a_person(fleetmint, state, refused, monkeypatch):
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    site = json.loads((state / "site.json").read_text())
    place = Path(site["ca"]["passphrases"].removeprefix("file:"))
    (state / "password").write_text("secret\n")
    vault = [str(VAULT), "encrypt", "--vault-password-file", str(state / "password")]
    subprocess.run([*vault, str(place / "issuing")], check=True, capture_output=True)
    site["ca"]["passphrases"] = f"vault:{place}"
    (state / "site.json").write_text(json.dumps(site))
    monkeypatch.setenv("PATH", f"{VAULT.parent}:{os.environ['PATH']}")
    refused(fleetmint("site", "run", "--try"), "ANSIBLE_VAULT_PASSWORD_FILE", "controller_monthly")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(state / "password"))
    assert fleetmint("site", "run", "--try").exit_code == 0
