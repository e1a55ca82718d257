"""Refuse networks that are not what somebody wrote, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.fleetmint.core.plugins.plugin_utils import written

OPTIONS = {"variable": {"type": "str", "default": "fleet_wifi"}}


class ActionModule(ActionBase):
    """The action behind fleetmint.core.networks."""

    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the variable as it is written, not as templating would hand it over."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        params = self.validate_argument_spec(OPTIONS)[1]

        from fleetmint.batch.networks import read_networks
        from fleetmint.errors import FleetmintError

        name: str = params["variable"]
        problems: list[str] = []
        rows = self._written(name, variables.get(name), variables, problems)
        rows = [self._written(name, row, variables, problems) for row in rows] if isinstance(rows, list) else rows
        texts = [self._texts(row, variables, problems) for row in rows] if isinstance(rows, list) else rows
        if problems:
            raise AnsibleActionFail("\n".join(problems))
        try:
            networks = read_networks(texts, lambda number, key: _place(rows[number - 1], key))
        except FleetmintError as error:
            where = "" if isinstance(rows, list) else written.place(variables.get(name))
            raise AnsibleActionFail(f"{where}{error}") from error
        return {"changed": False, "networks": list(networks)}

    def _written(self, name: str, value: object, variables: written.Variables, problems: list[str]) -> Any:
        """Return a list or mapping as it is written; one that an expression makes of others, as it makes it."""
        value = written.followed(value, variables)
        if not isinstance(value, str):
            return value
        for row in written.mappings_in(value, "psk", variables):
            self._texts(row, variables, problems)
        try:
            return written.worked_out(value, self._templar)
        except written.WrittenError as error:
            problems.append(f"{written.place(value)}{name} {error}")
            return None

    def _texts(self, row: object, variables: written.Variables, problems: list[str]) -> object:
        """Return a network with what is written in its fields; add to `problems` what would be changed."""
        if not isinstance(row, dict):
            return row
        found = {}
        for key, value in row.items():
            try:
                found[key] = written.text(value, variables, self._templar)
            except written.WrittenError as error:
                of = f"the network {row['name']!r}" if key != "name" and "name" in row else "a network"
                problems.append(f"{_place(row, key)}{key} of {of} {error}")
        return found


def _place(row: Mapping[str, object], key: str) -> str:
    """Return where a field is written: a value that is no text may carry no mark, but then its name does."""
    return written.place(*(each for each in row if each == key), row.get(key), row)
