"""Check a site before anything is made for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

OPTIONS = {
    "roles": {"type": "path", "required": True},
    "clock_is_right": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """The action behind fleetmint.core.preflight."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with everything that is wrong with the site."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec(OPTIONS)[1]

        from ansible_collections.fleetmint.core.plugins.plugin_utils import site

        from fleetmint.preflight.clock import controller_clock
        from fleetmint.preflight.problem import report
        from fleetmint.preflight.variables import check_site, places

        variables = task_vars or {}
        hostvars, roles = variables["hostvars"], Path(params["roles"])
        options = site.read_options(roles, self._loader)
        inventory = site.read_inventory(hostvars, variables["groups"], options, roles, self._loader)
        problems = check_site(inventory) + site.of_another_type(inventory, options)
        problems += site.vault_problems(inventory.controller.get("fleet_ca_passphrases"), self._loader)
        if not params["clock_is_right"]:
            problems += controller_clock(datetime.now(UTC), *places(inventory))
        lines = [str(site.placed(problem, hostvars)) for problem in problems] + self._networks(variables)
        if lines:
            return {"failed": True, "msg": report(lines)}
        # a play that follows in the same run need not look again
        return {"changed": False, "ansible_facts": {"fleetmint_preflight": True}}

    def _networks(self, task_vars: dict[str, Any]) -> list[str]:
        """Return what is wrong with the networks, which have a reader of their own, as they are written."""
        if "fleet_wifi" not in task_vars and task_vars["inventory_hostname"] != "localhost":
            return []  # they are the controller's, which a play for gateways need not be told
        task = self._task.copy()
        task.args = {}
        action = self._shared_loader_obj.action_loader.get(
            "fleetmint.core.networks", task, self._connection, self._play_context, self._loader, self._templar,
            self._shared_loader_obj,
        )  # fmt: skip
        try:
            action.run(task_vars=task_vars)
        except AnsibleActionFail as error:
            return str(error.message).splitlines()
        return []
