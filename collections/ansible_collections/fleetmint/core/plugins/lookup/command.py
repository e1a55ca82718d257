# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command for a person to type next."""

from __future__ import annotations

DOCUMENTATION = r"""
name: command
short_description: A command for a person to type next
description:
  - Returns the command with the site of this play, and with programs and paths that work where the play was started.
options:
  _terms:
    description:
      - The program, C(playbook), C(fleetmint) or C(gateway) for C(fleetmint gateway) on a gateway; then its words.
    required: true
  line:
    description: Whether it stands on a line of its own; otherwise in backticks, with where it is to be typed.
    type: bool
    default: false
  extra_vars:
    description: Extra variables of a playbook.
    type: dict
    default: {}
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Say what comes next
  ansible.builtin.debug:
    msg: "Run {{ lookup('fleetmint.core.command', 'playbook', 'revoke.yml', extra_vars={'device': 'lamp-000001'}) }}"
"""

RETURN = r"""
_raw:
  description: The command, one text.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """The lookup fleetmint.core.command."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the command."""
        self.set_options(var_options=None, direct=kwargs)

        from fleetmint import commands

        makers: dict[str, Callable[..., commands.Command]] = {
            "playbook": commands.playbook,
            "fleetmint": commands.fleetmint,
            "gateway": commands.gateway,
        }
        kind, *words = map(str, terms)
        if kind not in makers:
            raise AnsibleError(f"there is no program {kind}: choose {', '.join(makers)}")
        commands.act_on_play()
        made = makers[kind](*words, **self.get_option("extra_vars"))
        return [made.line if self.get_option("line") else str(made)]
