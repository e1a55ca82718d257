# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No site is worked at that was not named."""

from __future__ import annotations

DOCUMENTATION = r"""
name: named
short_description: Refuse an inventory that was not named, or that is not there
description:
  - ansible.cfg takes the inventory from C(FLEETMINT_SITE). Where that is not set, this plugin says so in a sentence and
    ends the command, instead of the parsers' messages about a file with an odd name.
  - It reads no inventory itself. C(ansible-playbook --syntax-check) needs none.
options: {}
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
# ansible.cfg
# [defaults]
# inventory = $FLEETMINT_SITE
# [inventory]
# enable_plugins = fleetmint.core.named, host_list, script, auto, yaml, ini, toml
"""

import os
from pathlib import Path

from ansible import context
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.display import Display

VARIABLE = "FLEETMINT_SITE"


class InventoryModule(BaseInventoryPlugin):
    """The inventory plugin fleetmint.core.named."""

    NAME = "fleetmint.core.named"

    def verify_file(self, path: str) -> bool:
        """Take what no other plugin can read: a path with nothing there."""
        return "," not in path and not os.path.lexists(path)

    def parse(self, inventory: object, loader: object, path: str, cache: bool = True) -> None:
        """End the command, unless all it does is to look at the playbook."""
        super().parse(inventory, loader, path, cache)
        if context.CLIARGS.get("syntax"):
            return
        if Path(path).name == f"${VARIABLE}":
            text = (
                "No site is named: give its inventory directory with -i, such as -i inventory/home, or once and for all"
                f" commands with export {VARIABLE}=inventory/home"
            )
        else:
            text = (
                f"There is no inventory {path}: -i and {VARIABLE} name a site's inventory directory. A relative"
                f" {VARIABLE} is meant from the directory of ansible.cfg"
            )
        Display().error(text, wrap_text=False)
        raise SystemExit(1)
