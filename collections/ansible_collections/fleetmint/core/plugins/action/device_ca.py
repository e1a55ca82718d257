# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hand a gateway the keys of its device CAs over the standard input of the connection."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.fleetmint.core.plugins.module_utils import gateway_command
from ansible_collections.fleetmint.core.plugins.module_utils.library import CA_OPTIONS
from ansible_collections.fleetmint.core.plugins.plugin_utils import foreseen

OPTIONS = {
    **CA_OPTIONS,
    "gateway": {"type": "str", "required": True},
    "force": {"type": "bool", "default": False},
    "pin_file": {"type": "path"},
    "program": {"type": "path", "default": gateway_command.PROGRAM},
}


class ActionModule(ActionBase):
    """The action behind fleetmint.core.device_ca."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the gateway's device CAs to what the controller has."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec(OPTIONS)[1]

        from fleetmint import commands, passphrases
        from fleetmint.ca import gateway_keys, hierarchy
        from fleetmint.errors import FleetmintError
        from fleetmint.text import is_text

        root = Path(params["root_directory"]) if params["root_directory"] else None
        commands.act_on_play()
        try:
            site, source = (
                is_text(params["site"], "the name of the site"),
                passphrases.open_source(params["passphrases"]),
            )
            cas = hierarchy.Hierarchy(Path(params["directory"]), site, source, root)
            reasons = self._bring_pin(params["program"], params["pin_file"]) if params["pin_file"] else []
            held = self._held(params["program"], gateway_keys.NOTHING_HELD)
            pretended = foreseen.cas(task_vars or {})
            steps = gateway_keys.plan_steps(cas, params["gateway"], held, force=params["force"], foreseen=pretended)
            for step in () if self._task.check_mode else steps:
                data = gateway_keys.handed_over(cas, step.authority) if step.authority else b""
                self._on_gateway(params["program"], list(step.command), data)
        except FleetmintError as error:
            # With a line feed Ansible does not fold it, so that a command in it can be pasted.
            return {"failed": True, "msg": f"{error}\n"}
        reasons += [step.reason for step in steps]
        return {"changed": bool(reasons), "reasons": reasons}

    def _bring_pin(self, program: str, path: str) -> list[str]:
        """Hand the PIN in a file of the controller, which Ansible Vault may have encrypted, to the gateway."""
        pin = self._loader.get_text_file_contents(path).encode()
        check = self._task.check_mode
        try:
            answer = gateway_command.answer(self._on_gateway(program, ["install-pin"], pin, check=check))
        except (AnsibleActionFail, ValueError):
            if not check:  # else what it needs may only be written by the run itself
                raise
            answer = {"changed": True}
        return ["the gateway has not this PIN of the token"] if answer["changed"] else []

    def _held(self, program: str, nothing: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return gateway_command.answer(self._on_gateway(program, ["ca-status"]))
        except (AnsibleActionFail, ValueError):
            if self._task.check_mode:  # on a bare gateway the command itself would only be installed now
                return nothing
            raise

    def _on_gateway(self, program: str, command: list[str], data: bytes = b"", *, check: bool = False) -> str:
        # in_data goes into the pipe of the SSH client; unlike an argument it is in no process list and no log.
        line = shlex.join(gateway_command.argv(command, check=check, program=program))
        done = self._low_level_execute_command(line, in_data=data or None, executable="/bin/sh")
        if done["rc"] != 0:
            raise AnsibleActionFail(gateway_command.sentence(done["stderr"], done["stdout"]))
        return str(done["stdout"])
