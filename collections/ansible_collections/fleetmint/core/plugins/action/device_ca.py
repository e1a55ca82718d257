"""Hand a gateway the key of its device CA over the standard input of the connection."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

OPTIONS = {
    "directory": {"type": "path", "required": True},
    "site": {"type": "str", "required": True},
    "passphrases": {"type": "str", "required": True},
    "gateway": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "str", "required": True},
    "install": {"type": "list", "elements": "str", "required": True},
}


class ActionModule(ActionBase):
    """The action behind fleetmint.core.device_ca."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Install the CA unless the gateway already has it."""
        super().run(tmp, task_vars)
        _, params = self.validate_argument_spec(OPTIONS)

        from fleetmint.errors import FleetmintError
        from fleetmint.pki import authority, hierarchy, keys, passphrases

        cas = hierarchy.Hierarchy(
            Path(params["directory"]), params["site"], passphrases.open_source(params["passphrases"])
        )
        name = hierarchy.device_ca(params["gateway"])
        try:
            certificate = authority.load_certificate(cas.directory / name / authority.CERTIFICATE)
            reason = self._reason(params["status"], keys.spki_sha256(certificate.public_key()).hex())
            if reason and not self._task.check_mode:
                ca = cas.authority(name)
                self._remote(params["install"], authority.pem(ca.certificate) + keys.plain_pem(ca.key))
        except FleetmintError as error:
            raise AnsibleActionFail(str(error)) from error
        return {"changed": bool(reason), "reasons": [reason] if reason else []}

    def _reason(self, command: list[str], wanted: str) -> str:
        try:
            held = json.loads(self._remote(command, b""))
        except (AnsibleActionFail, ValueError):
            if self._task.check_mode:  # on a bare gateway the command itself would only be installed now
                return "the gateway has no device CA yet"
            raise
        if not held["installed"]:
            return "the gateway has no device CA yet"
        return "" if held["spki_sha256"] == wanted else "the gateway holds another device CA"

    def _remote(self, argv: list[str], data: bytes) -> str:
        # in_data goes into the pipe of the SSH client; unlike an argument it is in no process list and no log.
        done = self._low_level_execute_command(shlex.join(argv), in_data=data or None, executable="/bin/sh")
        if done["rc"] != 0:
            message = (done["stderr"] or done["stdout"]).strip().splitlines()
            raise AnsibleActionFail(f"{argv[0]} failed on the gateway: {message[-1] if message else 'no message'}")
        return done["stdout"]
