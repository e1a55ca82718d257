"""Check that a gateway can be worked on: SSH, sudo, its clock, its addresses and ports."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase

OPTIONS = {
    "addresses": {"type": "list", "elements": "str", "required": True},
    "ports": {"type": "dict", "required": True},
    "clock_difference": {"type": "int", "required": True},
}


class ActionModule(ActionBase):
    """The action behind fleetmint.core.preflight_gateway."""

    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the Pi about itself in one round trip, and fail with everything that is wrong with it."""
        super().run(tmp, task_vars)
        params = self.validate_argument_spec(OPTIONS)[1]

        from fleetmint.preflight import gateway, look, variables
        from fleetmint.preflight.problem import report

        command = shlex.join(["/usr/bin/python3", "-", *params["addresses"]])
        before = datetime.now(UTC)
        try:
            script = Path(look.__file__).read_bytes()
            done = self._low_level_execute_command(command, in_data=script, executable="/bin/sh")
        except AnsibleConnectionFailure as error:
            where = (("host", "remote_addr"), ("remote_user",))
            host, user = (_value(self._connection, *names) for names in where)
            port = int(_value(self._connection, "port") or variables.SSH_PORT)
            # failed and not "unreachable", behind which Ansible goes on with plays for other hosts
            return {"failed": True, "msg": report([gateway.unreachable(str(error.message), host, user, port)])}
        except AnsibleError as error:
            done = {"rc": 1, "stdout": "", "stderr": str(error.message)}
        if done["rc"] != 0:
            said = " ".join((done["stderr"] or done["stdout"]).split())
            return {"failed": True, "msg": report([gateway.not_looked(said)])}
        now = before + (datetime.now(UTC) - before) / 2
        ports = {program: [int(port) for port in wanted] for program, wanted in params["ports"].items()}
        most = timedelta(seconds=params["clock_difference"])
        # whatever a shell there says at its start comes before
        said = json.loads(done["stdout"].splitlines()[-1])
        problems = gateway.check_gateway(said, ports, now, most)
        if problems:
            return {"failed": True, "msg": report(problems)}
        return {"changed": False, "ansible_facts": {"fleetmint_preflight_gateway": True}}


def _value(connection: ConnectionBase, *names: str) -> Any:
    """Return an option of a connection, which each kind names as it likes."""
    for name in names:
        if connection.has_option(name) and connection.get_option(name):
            return connection.get_option(name)
    return ""
