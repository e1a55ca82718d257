# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a batch file is."""

from __future__ import annotations

DOCUMENTATION = r"""
name: batch_file
short_description: Path of a batch file
description:
  - Looks below the inventory directory first, then takes the path as it is.
  - Refuses what is no text to YAML. V(0144) without quotes is the number 100, which could be the name of another file.
options:
  _terms:
    description: Batch files as people name them.
    required: true
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Show where the batch file is
  ansible.builtin.debug:
    msg: "{{ lookup('fleetmint.core.batch_file', 'batch.yml') }}"
"""

RETURN = r"""
_raw:
  description: A path for each file.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """The lookup fleetmint.core.batch_file."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the path of each file; one that is nowhere is missed below the inventory directory."""
        self.set_options(var_options=variables, direct=kwargs)

        from fleetmint.errors import FleetmintError
        from fleetmint.text import is_text

        try:
            names = [is_text(term, "the batch file") for term in terms]
        except FleetmintError as error:
            raise AnsibleError(str(error)) from error
        beside = Path((variables or {}).get("inventory_dir") or ".").absolute()
        return [str(next((p for p in (beside / n, Path(n).absolute()) if p.exists()), beside / n)) for n in names]
