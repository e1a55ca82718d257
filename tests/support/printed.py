"""Commands that a run has printed for a person to type next, and what comes of pasting them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from fleetmint.cli import root

_PROGRAM = r"(?:'[^']*/|\S*/)?(?:fleetmint|ansible-playbook)'?"
_QUOTED = re.compile(rf"`({_PROGRAM} [^`]*)`")
_LINE = re.compile(rf"^\s+({_PROGRAM} .*)$", re.MULTILINE)


def lines(text: str) -> list[str]:
    """Return what is to be typed on the controller: in backticks, or on a line of its own."""
    return list(dict.fromkeys([*_QUOTED.findall(text), *_LINE.findall(text)]))


def program(line: str) -> str:
    """Return which program the shell would start."""
    return Path(shlex.split(line)[0]).name


def parse(line: str) -> None:
    """Take a line of fleetmint apart as a shell and click do, without doing what it says.

    Raises click.ClickException for what is no command line, and FleetmintError for a site that would be refused.
    """
    words = shlex.split(line)[1:]
    command: click.Command = root
    ctx: click.Context | None = None
    while isinstance(command, click.Group):
        ctx = command.make_context("fleetmint", words, parent=ctx)
        name, *words = [*ctx._protected_args, *ctx.args]
        found = command.get_command(ctx, name)
        assert found is not None, line
        command = found
    command.make_context("fleetmint", words, parent=ctx)


def play(line: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Paste a line of ansible-playbook into a shell, as far as the list of its hosts."""
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        ["sh", "-c", f"{line} --list-hosts"],
        cwd=cwd,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
