"""The commands that a person is told to type next: written so that they can be pasted where that person stands.

Whatever is printed to be typed is made here. A line names its site, unless the environment names it already; its paths
are short in the checkout and absolute elsewhere; its programs are those of this installation, even where PATH has
others or none; and every word is quoted for a shell.

A process tells once, with `act_on` or `act_on_gateway`, which site it works on. What a gateway prints for the
controller says so, since the site's directory is known there only.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# The site's inventory directory, for this command line and for Ansible (ansible.cfg).
SITE_VARIABLE = "FLEETMINT_SITE"
# The site's state, where it is not the directory `state` of the inventory.
STATE_VARIABLE = "FLEETMINT_STATE"
# The factory's ledger: its file in the state, and its URL where it is somewhere else.
LEDGER = "ledger.sqlite"
LEDGER_VARIABLE = "FLEETMINT_LEDGER"
# What a play tells the modules that it starts: where its inventory and state are, and where its user stands.
PLAY_VARIABLE = "FLEETMINT_PLAY"

# On every gateway: where the role signing_service installs it, and whom its files belong to.
_ON_GATEWAY = "/opt/fleetmint/bin/fleetmint"
_ACCOUNT = "fleetmint"
# These work with the factory's ledger, by the first words of the command.
_WITH_LEDGER = (
    ("audit",),
    ("batch",),
    ("burn",),
    ("devices",),
    ("efuse",),
    ("secure",),
    ("device", "release"),
    ("device", "return"),
    ("device", "update"),
)
# These work without a site: what they need is in their arguments.
_WITHOUT_SITE = (
    ("bundle", "show"),
    ("bundle", "verify"),
    ("ceremony",),
    ("console",),
    ("enrol",),
    ("find",),
    ("gateway",),
    ("inspect",),
    ("renew",),
    ("site", "restore"),
    ("token", "write"),
)
# Beside the commands of a gateway, and for the controller.
_WITH_SITE = (("gateway", "move"),)
# What a gateway says is for the controller.
_ON_CONTROLLER = " on the controller"
_FOR_CONTROLLER = re.compile(rf"`((?:fleetmint |ansible-playbook playbooks/)[^`]+)`{_ON_CONTROLLER}")


@dataclass(frozen=True)
class Command:
    """A line for a shell. As text it stands in backticks, and says where it is for when that is not here."""

    line: str
    where: str = ""

    def __str__(self) -> str:
        return f"`{self.line}`{self.where}"


@dataclass(frozen=True)
class _Place:
    """What is known of the site, and where the reader stands; `gateway`: on a gateway, not on the controller."""

    inventory: Path | None = None
    state: Path | None = None
    cwd: Path | None = None
    gateway: bool = False
    ledger: str = ""


_place = _Place()


def act_on(*, state: Path | None = None, inventory: Path | None = None, cwd: Path | None = None) -> None:
    """Let commands name this site from now on; `cwd` is where the reader stands, if that is not where this runs."""
    global _place  # a process works on one site
    _place = _Place(_absolute(inventory), _absolute(state), cwd)


def ledger_in(state: Path) -> str:
    """Return the SQLAlchemy URL of the factory's ledger where it is in the state."""
    return f"sqlite:///{_absolute(state)}/{LEDGER}"


def use_ledger(url: str) -> None:
    """Let commands name this ledger of the factory, unless they find it by themselves."""
    global _place
    found = None if _place.state is None else ledger_in(_place.state)
    _place = replace(_place, ledger="" if url in (found, os.environ.get(LEDGER_VARIABLE)) else url)


def act_on_gateway() -> None:
    """Let commands be for somebody who reads them on a gateway."""
    global _place
    _place = _Place(gateway=True)


def act_on_play() -> None:
    """Let commands name the site of the play that has started this process; without one change nothing."""
    try:
        told = json.loads(os.environ[PLAY_VARIABLE])
        paths = {name: Path(told[name]) if told[name] else None for name in ("inventory", "state", "cwd")}
    except (KeyError, TypeError, ValueError):
        return
    act_on(**paths)


def told_by_play(*, inventory: Path | None, state: Path | None) -> str:
    """Return what a play puts into PLAY_VARIABLE for `act_on_play`."""
    paths = {"inventory": inventory, "state": state, "cwd": Path.cwd()}
    return json.dumps({name: "" if path is None else str(path) for name, path in paths.items()})


def playbook(name: str, *words: str, **variables: str) -> Command:
    """Return the command that runs the playbook `name` at this site, with `words` and extra `variables`."""
    extra = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    if _place.gateway:
        return Command(shlex.join(["ansible-playbook", f"playbooks/{name}", *extra, *words]), _ON_CONTROLLER)
    inventory, top = _place.inventory, checkout()
    # Ansible has variables of its own, which come before the one of this project
    ours = not os.environ.get("ANSIBLE_INVENTORY") and top is not None and _config_is_of(top)
    named = inventory is None or (ours and _same(from_environment(SITE_VARIABLE), inventory))
    site = [] if named or inventory is None else ["-i", _shown(inventory)]
    path = f"playbooks/{name}" if top is None else _shown(top / "playbooks" / name)
    return Command(shlex.join([_program("ansible-playbook"), *site, path, *extra, *words]))


def to_gateways() -> Command:
    """Return the command that brings certificates and revocation lists to the gateways."""
    return playbook("gateway.yml", "--tags", "service,certificates")


def fleetmint(*words: str) -> Command:
    """Return the command `fleetmint` with `words`, and the site where the command wants one."""
    if _place.gateway:
        return Command(shlex.join(["fleetmint", *words]), _ON_CONTROLLER)
    elsewhere = _is_one_of(words, _WITHOUT_SITE) and not _is_one_of(words, _WITH_SITE)
    site = [] if elsewhere else _site_words()
    ledger = ["--ledger", _place.ledger] if _place.ledger and _is_one_of(words, _WITH_LEDGER) else []
    return Command(shlex.join([_program("fleetmint"), *words, *site, *ledger]))


def gateway(*words: str, stdin: str = "", root: bool = False) -> Command:
    """Return the command `fleetmint gateway` with `words`, for a gateway: as its account, or as root.

    `stdin` is a file that the person who types it may read; the account of the service need not.
    """
    account = [] if root else ["runuser", "-u", _ACCOUNT, "--"]
    line = shlex.join(["sudo", *account, _ON_GATEWAY, "gateway", *words])
    return Command(line + (f" < {shlex.quote(stdin)}" if stdin else ""), "" if _place.gateway else " on the gateway")


def typed_here(text: str) -> str:
    """Return what a gateway has said, with its commands for the controller as they are typed at this site."""

    def ours(match: re.Match[str]) -> str:
        program, *words = shlex.split(match.group(1))
        if program == "fleetmint":
            return str(fleetmint(*words))
        return str(playbook(Path(words[0]).name, *words[1:]))

    return _FOR_CONTROLLER.sub(ours, text)


def from_environment(variable: str) -> Path | None:
    """Return the directory that an environment variable names; None when it is unset or empty.

    A relative one is meant from the checkout, for this command line as for Ansible, wherever they are started.
    """
    value = os.environ.get(variable, "")
    if not value:
        return None
    path = Path(os.path.expanduser(os.path.expandvars(value)))  # noqa: PTH111 - as Ansible reads it
    return (checkout() or Path.cwd()) / path


def checkout() -> Path | None:
    """Return the directory of the project, with its playbooks; None where only the package is installed."""
    top = Path(__file__).resolve().parents[2]
    return top if (top / "ansible.cfg").is_file() and (top / "playbooks").is_dir() else None


def _config_is_of(top: Path) -> bool:
    config = os.environ.get("ANSIBLE_CONFIG")
    return not config or _same(Path(config), top / "ansible.cfg")


def _is_one_of(words: Sequence[str], beginnings: Iterable[tuple[str, ...]]) -> bool:
    return any(tuple(words[: len(each)]) == each for each in beginnings)


def _site_words() -> list[str]:
    inventory, state = _place.inventory, _place.state
    if state is None:
        if inventory is None or _same(from_environment(SITE_VARIABLE), inventory):
            return []
        return ["--site", _shown(inventory)]
    named = from_environment(STATE_VARIABLE)
    site = from_environment(SITE_VARIABLE)
    if _same(named, state) or (named is None and site is not None and _same(site / "state", state)):
        return []
    if inventory is not None and _same(inventory / "state", state):
        return ["--site", _shown(inventory)]
    return ["--state", _shown(state)]


def _program(name: str) -> str:
    """Return how to call a program of this installation."""
    ours = Path(sys.executable).parent / name
    found = shutil.which(name)
    if not ours.exists() or (found is not None and _same(Path(found), ours)):
        return name
    return _shown(ours)


def _shown(path: Path) -> str:
    cwd, top = _place.cwd or Path.cwd(), checkout()
    if top is not None and _same(cwd, top):
        for base in (top, cwd):  # the checkout may be reached by a link
            if path.is_relative_to(base):
                return str(path.relative_to(base))
    return str(path)


def _same(one: Path | None, other: Path) -> bool:
    return one is not None and one.resolve() == other.resolve()


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps the name it was given
