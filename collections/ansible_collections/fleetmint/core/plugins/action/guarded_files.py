# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Try files that could shut the play out, with a second connection as the proof that they do not."""

from __future__ import annotations

import copy
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

# Options that come first win in ssh, so these hold whatever a site says of shared connections.
ALONE = "-o ControlMaster=no -o ControlPath=none -o ConnectTimeout=10 -o ConnectionAttempts=1"

# Seconds: sshd that reads its settings anew hears nobody for a moment.
PATIENCE = 5


class ActionModule(ActionBase):
    """The action behind fleetmint.core.guarded_files."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the machine begin the trial, knock at its door, and have it confirm or go back."""
        super().run(tmp, task_vars)
        result = self._step("begin", task_vars)
        if result.get("failed") or not result.pop("begun", False) or self._task.check_mode:
            return result
        refused = self._second_connection()
        if not refused:
            confirmed = self._step("confirm", task_vars)
            return confirmed if confirmed.get("failed") else result
        host = self._connection.get_option("host")
        name = self._task.args["name"]
        back = "its old state is back"
        try:
            if self._step("revert", task_vars).get("failed"):
                raise AnsibleError("not taken back")
        except AnsibleError:
            back = f"its old state comes back by itself within {self._task.args.get('seconds', 60)} seconds"
        remedy = self._task.args.get("remedy", "")
        what = f"With the new settings ({name}) no second SSH connection gets to {host}, so {back}."
        msg = f"{what} ssh says: {refused}. {remedy}"
        return {"failed": True, "msg": msg.strip()}

    def _step(self, step: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        arguments = {**self._task.args, "step": step}
        done: dict[str, Any] = self._execute_module(
            module_name="fleetmint.core.guarded_files", module_args=arguments, task_vars=task_vars
        )
        return done

    def _second_connection(self) -> str:
        """Return why a connection that shares nothing with this one does not get in; empty when it does."""
        if not self._connection.has_option("ssh_args"):
            return ""
        second = copy.copy(self._connection)
        second._options = dict(self._connection._options)
        second.set_option("ssh_args", f"{ALONE} {second.get_option('ssh_args') or ''}")
        second.set_option("reconnection_retries", 0)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                code, _, said = second.exec_command("/bin/true", sudoable=False)
                refused = " ".join(said.decode(errors="replace").split()) or f"it ended with {code}" if code else ""
            except AnsibleConnectionFailure as error:
                refused = " ".join(str(error.message).split())
            if not refused or time.monotonic() > until:
                return refused
            time.sleep(1)
