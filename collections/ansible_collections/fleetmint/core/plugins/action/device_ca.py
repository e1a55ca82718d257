"""Hand a gateway the keys of its device CAs over the standard input of the connection."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.fleetmint.core.plugins.plugin_utils import foreseen

OPTIONS = {
    "directory": {"type": "path", "required": True},
    "site": {"type": "str", "required": True},
    "passphrases": {"type": "str", "required": True},
    "gateway": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "str", "required": True},
    "install": {"type": "list", "elements": "str", "required": True},
    "retire": {"type": "list", "elements": "str", "required": True},
    "force": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """The action behind fleetmint.core.device_ca."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Bring the gateway's device CAs to what the controller has."""
        super().run(tmp, task_vars)
        _, params = self.validate_argument_spec(OPTIONS)

        from cryptography.hazmat.primitives import hashes

        from fleetmint import commands
        from fleetmint.errors import FleetmintError, StateError
        from fleetmint.pki import authority, generations, hierarchy, keys, passphrases

        cas = hierarchy.Hierarchy(
            Path(params["directory"]), params["site"], passphrases.open_source(params["passphrases"])
        )
        name = hierarchy.device_ca(params["gateway"])
        commands.act_on_play()
        try:
            held = self._held(params["status"])
            wanted = {}
            for each in generations.generations(cas.directory, name):
                certificate = authority.load_certificate(cas.directory / each / authority.CERTIFICATE)
                spki = keys.spki_sha256(certificate.public_key()).hex()
                wanted[each] = (spki, certificate.fingerprint(hashes.SHA256()).hex())
            if name not in wanted and foreseen.cas(task_vars):
                return {"changed": True, "reasons": ["the gateway has no device CA yet"]}
            if name not in wanted:
                raise StateError(
                    f"there is no {cas.directory / name / authority.CERTIFICATE}: run {commands.playbook('ca.yml')}"
                )
            reasons = []
            for command, each, reason in self._missing(name, wanted, held, params["install"]):
                reasons.append(reason)
                if not self._task.check_mode:
                    ca = cas.authority(each)
                    self._remote(command, authority.pem(ca.certificate) + keys.plain_pem(ca.key))
            reasons += self._retire(name, wanted, held, params)
        except FleetmintError as error:
            # With a line feed Ansible does not fold it, so that a command in it can be pasted.
            return {"failed": True, "msg": f"{error}\n"}
        return {"changed": bool(reasons), "reasons": reasons}

    def _held(self, command: list[str]) -> dict:
        try:
            return json.loads(self._remote(command, b""))
        except (AnsibleActionFail, ValueError):
            if self._task.check_mode:  # on a bare gateway the command itself would only be installed now
                return {"installed": False, "beside": []}
            raise

    def _missing(self, name: str, wanted: dict, held: dict, install: list[str]) -> list[tuple[list[str], str, str]]:
        """Return what to install: command, CA, reason. The one that issues comes last: the old one is kept by then."""
        found = []
        beside = {each["spki_sha256"]: each["certificate_sha256"] for each in held["beside"]}
        if len(wanted) > 1:
            for each, (spki, certificate) in wanted.items():
                if beside.get(spki) != certificate:
                    found.append(
                        ([*install, "--beside"], each, f"the gateway has no copy of the {each} CA to sign its CRL")
                    )
        if not held["installed"]:
            found.append((install, name, "the gateway has no device CA yet"))
        elif held["spki_sha256"] != wanted[name][0]:
            found.append((install, name, "the gateway holds another device CA"))
        elif held["certificate_sha256"] != wanted[name][1]:
            found.append((install, name, "the gateway holds an earlier certificate of its device CA"))
        return found

    def _retire(self, name: str, wanted: dict, held: dict, params: dict) -> list[str]:
        """Remove what is kept beside for no rollover any more; the gateway refuses while its certificates are valid."""
        kept = {spki for spki, _ in wanted.values()} if len(wanted) > 1 else set()
        gone = [each["spki_sha256"] for each in held["beside"] if each["spki_sha256"] not in kept]
        for spki in gone:
            if not self._task.check_mode:
                force = ["--force"] if params["force"] else []
                self._remote([*params["retire"], *force, spki], b"")
        return [f"the device CA {spki[:16]} is retired" for spki in gone]

    def _remote(self, argv: list[str], data: bytes) -> str:
        # in_data goes into the pipe of the SSH client; unlike an argument it is in no process list and no log.
        done = self._low_level_execute_command(shlex.join(argv), in_data=data or None, executable="/bin/sh")
        if done["rc"] != 0:
            message = (done["stderr"] or done["stdout"]).strip().splitlines()
            raise AnsibleActionFail(f"{argv[0]} failed on the gateway: {message[-1] if message else 'no message'}")
        return done["stdout"]
