#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command of the gateway's own program."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_command
short_description: Run C(fleetmint gateway) on a gateway
description:
  - Runs one of the commands that C(fleetmint gateway --help) lists, as the account that it is for, and returns its
    answer.
  - Reports a change when the command does. When it fails, its own sentence is the message.
options:
  command:
    description: The command and its arguments, the words behind C(fleetmint gateway).
    type: list
    elements: str
    required: true
  user:
    description: Account to run it as, C(root) for C(publish). For another than the task's own, that has to be root.
    type: str
    default: fleetmint
  stdin:
    description: What the command reads, shown nowhere.
    type: str
  creates:
    description: File or directory; while it is there, nothing is done.
    type: path
  foreseen:
    description:
      - Whether the program, or what the command needs, may be made earlier in the same run. In check mode, where it was
        not, a failure then is a change that is foreseen.
    type: bool
    default: false
  consequence:
    description: What a failure means, said before the command's own sentence.
    type: str
    default: ""
  program:
    description: The program C(fleetmint) of the gateway.
    type: path
    default: /opt/fleetmint/bin/fleetmint
attributes:
  check_mode:
    support: partial
    description: It is what the command makes of it.
    details:
      - Commands that have C(--check) say what would change. Those that change nothing run as ever. The others are
        skipped.
  diff_mode:
    support: none
    description: The commands say in their answers what they change.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Sign the CRL of the device CA
  fleetmint.core.gateway_command:
    command: [sign-crl]

- name: Publish the CRLs
  fleetmint.core.gateway_command:
    command: [publish]
    user: root
"""

RETURN = r"""
answer:
  description: The object that the command printed; empty where it did not run, or failed and that was foreseen.
  type: dict
  returned: success
"""

import os
import pwd

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils import gateway_command

OPTIONS = {
    "command": {"type": "list", "elements": "str", "required": True},
    "user": {"type": "str", "default": gateway_command.ACCOUNT},
    "stdin": {"type": "str", "no_log": True},
    "creates": {"type": "path"},
    "foreseen": {"type": "bool", "default": False},
    "consequence": {"type": "str", "default": ""},
    "program": {"type": "path", "default": gateway_command.PROGRAM},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    params = module.params
    name = params["command"][0] if params["command"] else module.fail_json(msg="command is empty: name one")
    if params["creates"] and os.path.lexists(params["creates"]):
        module.exit_json(changed=False, answer={})
    if module.check_mode and name not in gateway_command.CHECKING | gateway_command.READING:
        module.exit_json(changed=False, skipped=True, answer={})
    code, out, err = run(module)
    if code and module.check_mode and params["foreseen"]:
        module.exit_json(changed=True, answer={})
    if code:
        said = [params["consequence"].strip(), gateway_command.sentence(err, out)]
        module.fail_json(msg=" ".join(filter(None, said)), rc=code)
    for remark in gateway_command.remarks(err):
        module.warn(remark)
    try:
        answer = gateway_command.answer(out)
    except ValueError:
        module.fail_json(msg=f"the answer of the command {name} is no JSON")
    module.exit_json(changed=bool(answer.get("changed")), answer=answer)


def run(module: AnsibleModule) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command."""
    params = module.params
    argv = gateway_command.argv(params["command"], check=module.check_mode, program=params["program"])
    if not os.access(params["program"], os.X_OK):
        return 127, "", f"there is no {params['program']} here: set the gateway up first"
    if pwd.getpwuid(os.geteuid()).pw_name != params["user"]:
        if os.geteuid():
            return 126, "", f"only root can act as {params['user']} here: the task needs `become: true`"
        argv = ["/usr/sbin/runuser", f"--user={params['user']}", "--", *argv]
    code, out, err = module.run_command(argv, data=params["stdin"], binary_data=True)
    return code, out, err


if __name__ == "__main__":
    main()
