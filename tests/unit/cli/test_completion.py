"""What a shell offers at Tab, asked by a real bash as its user would."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import click
import pytest

from fleetmint.cli import completion
from tests.contracts import quoted
from tests.contracts.quoted import ROOT

FLEETMINT = Path(sys.executable).parent / "fleetmint"
ASK = """
eval "$(_FLEETMINT_COMPLETE=bash_source fleetmint)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=0
_fleetmint_completion fleetmint
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def place(state, monkeypatch):
    """The site with a gateway and one more batch than that of one device each, named by the environment."""
    site = json.loads((state / "site.json").read_text())
    site["gateways"] = {"attic": {}, "cellar": {}}
    (state / "site.json").write_text(json.dumps(site))
    shutil.copytree(state / "batches/first", state / "batches/second", ignore=shutil.ignore_patterns("*.json"))
    monkeypatch.setenv("FLEETMINT_STATE", str(state))
    monkeypatch.delenv("FLEETMINT_SITE", raising=False)
    monkeypatch.setenv("PATH", f"{FLEETMINT.parent}:{os.environ['PATH']}")
    return state


def offered(*words: str) -> list[str]:
    """Return what bash would offer for the last of these words."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", *words], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fleetmint bur", ["burn"]),
        ("fleetmint batch sh", ["show", "shred"]),
        ("fleetmint burn ", ["first", "second"]),
        ("fleetmint burn s", ["second"]),
        ("fleetmint batch show f", ["first"]),
        ("fleetmint device release lamp-", ["lamp-000001", "lamp-000002"]),
        ("fleetmint token new lamp-000002", ["lamp-000002"]),
        ("fleetmint operator revoke a", ["alice@test"]),
        ("fleetmint revoke bo", ["bob@test"]),
        ("fleetmint revoke lamp-000001", ["lamp-000001"]),
        ("fleetmint devices --gateway ", ["attic", "cellar"]),
        ("fleetmint devices --as b", ["bench@test", "bob@test"]),
        ("fleetmint burn first --port a", ["auto"]),
        ("fleetmint burn first --onc", ["--once"]),
        ("fleetmint revoke bob@test --reason k", ["key_compromise"]),
    ],
)
def test_bash_offers_what_the_site_has(place, line, expected):
    assert offered(*line.split(" ")) == expected


def test_the_site_on_the_command_line_counts(place, monkeypatch, tmp_path):
    monkeypatch.delenv("FLEETMINT_STATE")
    assert offered("fleetmint", "burn", "") == []
    assert offered("fleetmint", "burn", "--state", str(place), "fi") == ["first"]


def test_a_damaged_state_says_nothing_at_the_prompt(place):
    (place / "site.json").write_text("{")
    (place / "batches/first/registration.json").write_text("[]")
    assert offered("fleetmint", "devices", "--gateway", "") == []
    assert offered("fleetmint", "device", "release", "") == []


def test_pressing_tab_in_an_interactive_bash_completes_the_line(place):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    environment = {**os.environ, "PS1": "ready> ", "TERM": "dumb", "INPUTRC": "/dev/null", "HISTFILE": ""}
    with subprocess.Popen(
        ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
        stdin=slave, stdout=slave, stderr=slave, env=environment,
    ) as bash:  # fmt: skip
        os.close(slave)
        try:
            _await(master, "ready> ")
            os.write(master, line_of("bash").encode() + b"; echo lo''aded\n")
            _await(master, "loaded\r\nready> ")
            os.write(master, b"fleetmint burn sec\t--onc\t")
            assert "fleetmint burn second --once" in _await(master, "--once")
        finally:
            bash.kill()
            os.close(master)


def _await(terminal: int, text: str, seconds: float = 60) -> str:
    """Read what a terminal shows until `text` is on it."""
    found, until = "", time.monotonic() + seconds
    while text not in found.replace("\b", ""):
        left = until - time.monotonic()
        assert left > 0, f"{text!r} has not come: {found!r}"
        if select.select([terminal], [], [], left)[0]:
            found += os.read(terminal, 4096).decode(errors="replace")
    return found


def line_of(shell: str) -> str:
    """Return the line that the README tells users of a shell to put into its file."""
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {shell} |"))
    return re.findall(r"`([^`]+)`", row)[-1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_line_for_a_shell_asks_for_the_functions_of_that_shell(place, shell):
    line = line_of(shell)
    command = re.search(rf"_FLEETMINT_COMPLETE={shell}_source fleetmint", line)[0]
    made = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert f"_FLEETMINT_COMPLETE={shell}_complete" in made


def test_tab_imports_nothing_that_only_work_needs(place):
    program = """
import os, sys
from fleetmint.cli import root
os.environ |= {"_FLEETMINT_COMPLETE": "bash_complete", "COMP_WORDS": "fleetmint burn ", "COMP_CWORD": "2"}
try:
    root(prog_name="fleetmint")
finally:
    print([name for name in ("sqlalchemy", "cryptography", "rich", "paho", "serial") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,first", "plain,second", "[]"], done


NAMED = {
    "BATCH": completion.batches, "DEVICE": completion.devices, "PORT": completion.ports,
}  # fmt: skip


def test_every_batch_device_and_port_of_a_command_completes():
    seen = 0
    for path, command in quoted.commands():
        for each in command.params:
            name = each.make_metavar(click.Context(command))
            if name in NAMED and path[0] != "gateway":  # which knows no site
                assert each._custom_shell_complete is NAMED[name], (path, each.name)
                seen += 1
    assert seen > 15
