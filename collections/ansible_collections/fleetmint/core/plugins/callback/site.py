# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At which site a play acts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site
type: notification
short_description: Say at which site a play acts, and refuse a play for no host
description:
  - Prints the name and the inventory directory of the site before the first play.
  - A play that matches no host, because its group is empty or C(--limit) leaves nothing of it, ends the command with
    exit code 1. Ansible itself would skip it and report success.
  - A relative C(fleet_state_dir), C(fleet_ca_dir) or C(fleet_ca_root_dir), and one in C(fleet_ca_passphrases), is meant
    from the inventory directory, for every host and from whatever directory the play was started.
  - Gives variables that are set under the name they had in the version before their new name, and says so.
  - Says at the end in one line what will lock somebody out before long, such as the certificate of an operator.
  - Tells the modules and lookups of the collection where the site is, so that the commands in their messages name it.
author: The Fleetmint authors (!UNKNOWN)
"""

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.executor.stats import AggregateStats
from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible.vars.manager import VariableManager

SOURCE = "fleet_ca_passphrases"
# In which a variable's old name works no more.
NEXT = "0.3.0"
# In this order: the ones behind may be made of the first.
PATHS = ("fleet_state_dir", "fleet_ca_dir", "fleet_ca_root_dir", SOURCE)


class CallbackModule(CallbackBase):
    """The callback fleetmint.core.site."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "fleetmint.core.site"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._play: Play | None = None
        self._sources: list[str] = []
        self._state: Path | None = None

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Settle and say with the first play where the site is, for all that the plays start."""
        first, self._play = self._play is None, play
        if not first:
            return
        manager = play.get_variable_manager()
        self._sources = manager._inventory._sources
        try:
            from fleetmint import commands
            from fleetmint.preflight import renamed
        except ImportError:
            return  # the modules say how to install it
        old = _rename(manager, renamed.used)
        directory = _directory(self._sources)
        if directory is not None:
            _settle(play, manager, directory)
        name, state = _values(play, manager, "fleet_site", "fleet_state_dir")
        self._state = Path(state) if state else None
        os.environ[commands.PLAY_VARIABLE] = commands.told_by_play(inventory=directory, state=state)
        if directory is not None:
            self._display.banner(f"SITE [{name or 'without a name'}, {directory}]")
        for each in sorted(old.items()):
            self._display.deprecated(renamed.sentence(*each), version=NEXT, collection_name="fleetmint.core")

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Say what will lock somebody out before long, as it is now that the plays have done their work."""
        if self._state is None:
            return
        from fleetmint import commands
        from fleetmint.errors import FleetmintError
        from fleetmint.site.expiries import warning
        from fleetmint.site.state import Site

        commands.act_on_play()
        with suppress(FleetmintError, OSError, ValueError):  # what is damaged has been said by whatever needs it
            if said := warning(Site(self._state), datetime.now(UTC)):
                self._display.warning(said)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Refuse: a play that was asked for has done nothing."""
        play = self._play
        if play is None:
            return
        limit = context.CLIARGS.get("subset")
        self._display.error(
            f"Nothing was done by the play {play.get_name()!r}: it is for {','.join(play.hosts)}, and "
            + (
                f"--limit {limit} leaves none of them: name them in it, too"
                if limit
                else f"{', '.join(self._sources)} has no such host"
            ),
            wrap_text=False,
        )
        raise SystemExit(1)


def _directory(sources: Iterable[str]) -> Path | None:
    """Return the directory of the site's inventory, None when it is no file."""
    found = (Path(source) for source in sources if "," not in source)
    return next((path if path.is_dir() else path.parent for path in found if path.exists()), None)


def _rename(manager: VariableManager, used: Callable[[Collection[str]], dict[str, str]]) -> dict[str, str]:
    """Give what is set under the name of an earlier version its new name, too; return the old names with the new."""
    told = used(manager.extra_vars)
    for old, new in told.items():
        manager.extra_vars[new] = manager.extra_vars[old]
    for host in {manager._inventory.get_host("localhost"), *manager._inventory.hosts.values()}:
        variables = manager.get_vars(host=host)
        for old, new in used(variables).items():
            manager.set_nonpersistent_facts(host.name, {new: variables[old]})
            told[old] = new
    return told


def _settle(play: Play, manager: VariableManager, directory: Path) -> None:
    """Make the site's paths absolute: modules, lookups and templates would each mean a relative one otherwise."""
    for name in PATHS:
        (value,) = _values(play, manager, name)
        if isinstance(value, str) and value:
            kind, colon, path = value.partition(":") if name == SOURCE else ("", "", value)
            if path and not (name == SOURCE and kind not in ("file", "vault")):
                settled = kind + colon + os.path.normpath(directory / Path(path).expanduser())
                if settled != value:
                    manager.extra_vars[name] = settled


def _values(play: Play, manager: VariableManager, *names: str) -> list[Any]:
    """Return what the inventory says of the controller; None for what it does not say."""
    variables = manager.get_vars(play=play, host=manager._inventory.get_host("localhost"))
    templar = Templar(loader=play.get_loader(), variables=variables)
    found = []
    for name in names:
        try:
            found.append(templar.template(variables.get(name)))
        except AnsibleError:
            found.append(None)  # the play says what is wrong with it
    return found
