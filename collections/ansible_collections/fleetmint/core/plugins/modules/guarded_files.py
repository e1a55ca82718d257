#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write files that could shut the play out."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guarded_files
short_description: Write files that could shut the play out
description:
  - Writes files, puts them in force, and opens a second SSH connection as Ansible would, but sharing nothing with the
    first. Only when that one gets in do they stay.
  - Otherwise the old files come back and are put in force again; by a timer of the machine where nobody can reach it
    any more, and at its next start where it was switched off meanwhile.
  - Over a connection that is not SSH nothing can be shut out, so the files stay.
options:
  name:
    description: What is tried, such as C(firewall). A machine has one trial of a name at a time.
    type: str
    required: true
  files:
    description: What to write. Not for secrets, since diffs show the content.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it goes. Missing parent directories are made.
        type: path
        required: true
      content:
        description: Content of the file.
        type: str
        required: true
      mode:
        description: Mode, octal.
        type: str
        default: "0644"
  remove:
    description: Files to remove.
    type: list
    elements: path
    default: []
  validate:
    description:
      - Command that proves the candidate. C({stage}) is a directory that holds O(files) under their full paths.
    type: list
    elements: str
    default: []
  apply:
    description:
      - Shell commands that put the files in force, whichever they are. One that fails brings the old ones back.
    type: list
    elements: str
    required: true
  withdraw:
    description: Shell commands that run before old files come back, for what these do not undo.
    type: list
    elements: str
    default: []
  seconds:
    description: Seconds after which the old files come back when nobody confirms the new ones.
    type: int
    default: 60
  remedy:
    description: What to do when the second connection does not get in, a sentence.
    type: str
    default: ""
  step:
    description: What the action has this module do on the machine; leave it out.
    type: str
    choices: [begin, confirm, revert]
    default: begin
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows the content of the files that differ.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Close passwords for SSH
  fleetmint.core.guarded_files:
    name: ssh
    files:
      - path: /etc/ssh/sshd_config.d/00-fleetmint.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/ssh/sshd_config.d/00-fleetmint.conf.j2') }}"
    apply: [/usr/sbin/sshd -t, /usr/bin/systemctl reload ssh]
"""

RETURN = r"""
reasons:
  description: What differed, one sentence each.
  type: list
  elements: str
  returned: success
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetmint.core.plugins.module_utils.config_files import Entry, entry, staged
from ansible_collections.fleetmint.core.plugins.module_utils.trial import Trial, TrialError

FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
}
OPTIONS = {
    "name": {"type": "str", "required": True},
    "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
    "remove": {"type": "list", "elements": "path", "default": []},
    "validate": {"type": "list", "elements": "str", "default": []},
    "apply": {"type": "list", "elements": "str", "required": True},
    "withdraw": {"type": "list", "elements": "str", "default": []},
    "seconds": {"type": "int", "default": 60},
    "remedy": {"type": "str", "default": ""},
    "step": {"type": "str", "choices": ["begin", "confirm", "revert"], "default": "begin"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    trial = Trial(module.params["name"], module.params["apply"], module.params["withdraw"])
    try:
        {"begin": begin, "confirm": confirm, "revert": revert}[module.params["step"]](module, trial)
    except OSError as error:
        trial.revert()
        module.fail_json(msg=f"cannot write {error.filename}: {error.strerror}")
    except TrialError as error:
        trial.revert()
        module.fail_json(msg=f"the new files do not work, so the old ones stay: {error}")


def begin(module: AnsibleModule, trial: Trial) -> None:
    """Put the new files in force, on trial."""
    sentences = []
    if trial.is_open():
        sentences.append(f"an earlier trial of {trial.name} was neither confirmed nor taken back")
        if not module.check_mode:
            trial.revert()
    wanted = [
        entry({"owner": "root" if os.geteuid() == 0 else None, "group": None, **given}) for given in files(module)
    ]
    differing = {item: found for item in wanted if (found := item.reasons())}
    old = [Path(path) for path in module.params["remove"] if os.path.lexists(path)]
    sentences += [sentence for found in differing.values() for sentence in found]
    sentences += [f"{path} is no longer needed" for path in old]
    diff = [
        {
            "before": item.before(),
            "after": (item.content or b"").decode(),
            "before_header": str(item.path),
            "after_header": str(item.path),
        }
        for item in differing
    ]
    if (differing or old) and not module.check_mode:
        prove(module, wanted)
        trial.begin([item.path for item in differing] + old, module.params["seconds"])
        for item in differing:
            item.write()
        for path in old:
            path.unlink()
        trial.put_in_force()
    begun = bool(differing or old)
    module.exit_json(changed=bool(sentences), begun=begun, reasons=sentences, diff=diff)


def files(module: AnsibleModule) -> Sequence[dict[str, str]]:
    """Return the files as they were given."""
    found: Sequence[dict[str, str]] = module.params["files"]
    return found


def prove(module: AnsibleModule, wanted: Sequence[Entry]) -> None:
    """Fail the module, before anything is changed, when the candidate does not work."""
    if not module.params["validate"]:
        return
    with tempfile.TemporaryDirectory(prefix="fleetmint-stage-") as stage:
        for item in staged(wanted, stage):
            item.write(Path(stage))
        command = [word.replace("{stage}", stage) for word in module.params["validate"]]
        code, out, err = module.run_command(command)
    if code:
        raise TrialError(f"{command[0]} says: {(err or out).strip() or f'nothing, and ended with {code}'}")


def confirm(module: AnsibleModule, trial: Trial) -> None:
    """Keep the new files."""
    trial.confirm()
    module.exit_json(changed=True)


def revert(module: AnsibleModule, trial: Trial) -> None:
    """Bring the old files back."""
    trial.revert()
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
