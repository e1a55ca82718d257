# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a batch is called."""

from __future__ import annotations

DOCUMENTATION = r"""
name: batch_name
short_description: Name of the batch that a file describes
description:
  - Reads it as M(fleetmint.core.batch) does, for which V(0144) and V(yes) are text; another reader of YAML would find
    the name of another batch.
options:
  _terms:
    description: Batch files, YAML or CSV.
    required: true
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Show what the batch is called
  ansible.builtin.debug:
    msg: "{{ lookup('fleetmint.core.batch_name', inventory_dir ~ '/batch.yml') }}"
"""

RETURN = r"""
_raw:
  description: A name for each file.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """The lookup fleetmint.core.batch_name."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the name of each batch."""
        self.set_options(var_options=variables, direct=kwargs)

        from fleetmint.batch.spec import batch_name
        from fleetmint.errors import FleetmintError

        try:
            return [batch_name(Path(term)) for term in terms]
        except FleetmintError as error:
            raise AnsibleError(str(error)) from error
