"""Looking after a site without a person, as a timer does, and telling people of a failure and of what is left to do."""

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

# What site.yml does, but for the factory: nobody is there to see which boards are plugged in.
_PLAYBOOK = "deploy.yml"
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
    """Run the playbook that renews what has to be renewed and brings it to the gateways; yield its lines.

    Raises FleetmintError when it fails, or when the alert_command fails that is told so, or told what is left to do.
    """
    top = commands.checkout()
    if top is None or site.inventory is None:
        raise StateError(f"there is no {_PLAYBOOK}, or no inventory of this state: run this in the checkout")
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(site.inventory), str(top / "playbooks" / _PLAYBOOK)]
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(  # noqa: S603 - ours
        command, cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as play:
        for line in play.stdout or ():
            last.append(line)
            yield line.rstrip("\n")
    if play.returncode:
        sentence = f"{_PLAYBOOK} for the site {site.name} failed: {commands.playbook('deploy.yml')} shows why"
        _tell(site, f"{sentence}.\n\n{''.join(last)}", sentence)
        raise FleetmintError(sentence)
    if left := warning(site, now):
        _tell(site, f"{_PLAYBOOK} for the site {site.name} has run, and left something to do.\n\n{left}\n", left)


def _tell(site: Site, text: str, sentence: str) -> None:
    command = site.alert_command
    if command:
        answer = run_command(command, text.encode())
        if not answer.ok:
            raise AlertError(f"{sentence}; and alert_command failed: {answer.said}")
