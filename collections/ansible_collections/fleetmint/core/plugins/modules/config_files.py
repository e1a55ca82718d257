#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write several files at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Write the files of a service at once
description:
  - Compares files and directories with what is wanted, proves the whole candidate, and renames it into place.
  - One call for all files of a service, since over SSH each call costs more than all of its files together.
options:
  files:
    description: What to write, directories before what they hold. Not for secrets, since diffs show the content.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it goes. Missing parent directories are made.
        type: path
        required: true
      content:
        description: Content of the file. Leave it out for a directory.
        type: str
      mode:
        description: Mode, octal; by default 0644 for a file and 0755 for a directory.
        type: str
      owner:
        description: Name of the owner; by default the account that the task runs as.
        type: str
      group:
        description: Name of the group; by default the first group of the account that the task runs as.
        type: str
      keep_from:
        description: A whole line. From an empty line and this one on, the end of the file that is there is kept.
        type: str
  validate:
    description:
      - Command that proves the candidate. C({stage}) stands for a directory that holds all of O(files) under their full
        paths. Where one of them names another, the staged one names the staged other.
      - When it fails, nothing is changed.
    type: list
    elements: str
    default: []
  remove:
    description: Files that an earlier version has written, to remove behind all the rest.
    type: list
    elements: path
    default: []
  hints:
    description: What to do about a failure of O(validate), by what its message then holds.
    type: dict
    default: {}
  pending:
    description:
      - File made before the first change, for the handlers to remove once the service runs with the new files. When it
        is there already, the module reports a change, so that the next run makes good what an interrupted one left.
    type: path
attributes:
  check_mode:
    support: full
    description: Says what would change; the candidate is not proven, since what proves it may not be installed yet.
  diff_mode:
    support: full
    description: Shows the content of the files that differ.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Configure nginx
  fleetmint.core.config_files:
    files:
      - path: /etc/nginx/nginx.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/nginx/nginx.conf.j2') }}"
    validate: [nginx, -t, -q, -c, "{stage}/etc/nginx/nginx.conf"]
    pending: /run/fleetmint-pending/nginx
  notify: Reload nginx
"""

RETURN = r"""
reasons:
  description: What differed, one sentence each.
  type: list
  elements: str
  returned: success
changed_paths:
  description: What was written or removed; all files when an interrupted run may have left them without effect.
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

FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "keep_from": {"type": "str"},
}
OPTIONS = {
    "files": {"type": "list", "elements": "dict", "required": True, "options": FILE},
    "validate": {"type": "list", "elements": "str", "default": []},
    "remove": {"type": "list", "elements": "path", "default": []},
    "hints": {"type": "dict", "default": {}},
    "pending": {"type": "path"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    entries = [entry(given) for given in module.params["files"]]
    reasons = {item: found for item in entries if (found := item.reasons())}
    pending = Path(module.params["pending"]) if module.params["pending"] else None
    old = [Path(path) for path in module.params["remove"] if os.path.lexists(path)]
    sentences = [sentence for found in reasons.values() for sentence in found]
    sentences += [f"{path} is no longer needed" for path in old]
    interrupted = pending is not None and pending.exists()
    if interrupted:
        sentences.append(f"changes have not taken effect yet: {pending} says so")
    diff = [
        {
            "before": item.before(),
            "after": item.content.decode(),
            "before_header": str(item.path),
            "after_header": str(item.path),
        }
        for item in reasons
        if item.content is not None
    ]
    if (reasons or old) and not module.check_mode:
        try:
            prove(module, entries)
            if pending:
                pending.parent.mkdir(parents=True, exist_ok=True)
                pending.touch()
            for item in reasons:
                item.write()
            for path in old:
                path.unlink()
        except OSError as error:
            module.fail_json(msg=f"cannot write {error.filename}: {error.strerror}")
    paths = [str(item.path) for item in (entries if interrupted else reasons)] + [str(path) for path in old]
    module.exit_json(changed=bool(sentences), reasons=sentences, changed_paths=paths, diff=diff)


def prove(module: AnsibleModule, entries: Sequence[Entry]) -> None:
    """Fail the module, before anything is changed, when the candidate does not work."""
    if not module.params["validate"]:
        return
    with tempfile.TemporaryDirectory(prefix="fleetmint-stage-") as stage:
        Path(stage).chmod(0o755)  # a service that gave up root reads the candidate too
        for item in staged(entries, stage):
            item.write(Path(stage))
        command = [word.replace("{stage}", stage) for word in module.params["validate"]]
        code, out, err = module.run_command(command)
    if code:
        said = (err or out).strip() or f"it ended with {code} and said nothing"
        hints = "".join(f". {hint}" for text, hint in module.params["hints"].items() if text in said)
        module.fail_json(msg=f"the new files do not work, so the old ones stay: {command[0]} says: {said}{hints}")


if __name__ == "__main__":
    main()
