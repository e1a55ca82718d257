"""Running site.yml without a person, as a timer does, and telling people of a failure and of what is left to do."""

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fleetmint import commands
from fleetmint.errors import AlertError, FleetmintError, SecretError, StateError
from fleetmint.gateway.alerts import run_command
from fleetmint.passphrases.source import ISSUING, Stored
from fleetmint.site.expiries import warning
from fleetmint.site.state import Site

# All of site.yml but the factory: nobody is there to see which boards are plugged in.
PLAYBOOKS = ("playbooks/ca.yml", "playbooks/gateway.yml")
_KEPT_LINES = 40


def refuse_asking(site: Site) -> None:
    """Raise SecretError when the passphrases of the CAs are not had without a person."""
    source = site.source()
    if not isinstance(source, Stored):
        raise SecretError(
            "a timer can ask nobody for passphrases: let fleet_ca_passphrases be vault:DIRECTORY and export"
            " ANSIBLE_VAULT_PASSWORD_FILE with the file that holds its password, or leave controller_monthly false"
        )
    try:
        source.read(ISSUING)
    except FleetmintError as error:
        raise SecretError(
            f"a timer does not get the passphrases ({error}): export ANSIBLE_VAULT_PASSWORD_FILE with a file, or a"
            " program that asks nobody, or leave controller_monthly false"
        ) from error


def run_site(site: Site, now: datetime) -> Iterator[str]:
    """Run what is in site.yml but for the factory; yield what it prints, line by line.

    Raises FleetmintError when it fails, or when the alert_command fails that is told so, or told what is left to do.
    """
    top = commands.checkout()
    if top is None or site.inventory is None:
        raise StateError("there is no site.yml, or no inventory of this state: run this in the checkout")
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(site.inventory), *(str(top / each) for each in PLAYBOOKS)]
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(  # noqa: S603 - ours
        command, cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as play:
        for line in play.stdout or ():
            last.append(line)
            yield line.rstrip("\n")
    if play.returncode:
        sentence = f"site.yml for the site {site.name} failed: {commands.playbook('site.yml')} shows why"
        _tell(site, f"{sentence}.\n\n{''.join(last)}", sentence)
        raise FleetmintError(sentence)
    if left := warning(site, now):
        _tell(site, f"site.yml for the site {site.name} has run, and left something to do.\n\n{left}\n", left)


def _tell(site: Site, text: str, sentence: str) -> None:
    command = site.alert_command
    if command:
        answer = run_command(command, text.encode())
        if not answer.ok:
            raise AlertError(f"{sentence}; and alert_command failed: {answer.said}")
