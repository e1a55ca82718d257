"""The one way from modules into the library: carry out a plan, the Ansible way."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule

    from fleetmint.ca.hierarchy import Hierarchy
    from fleetmint.plan import Plan

# Every module that works with the CAs says in the same way which ones.
CA_OPTIONS = {
    "directory": {"type": "path", "required": True},
    # `str` would make the site 100 of the number 0144 in silence.
    "site": {"type": "raw", "required": True},
    # The name of a place, not what lies there.
    "passphrases": {"type": "str", "required": True, "no_log": False},
    "root_directory": {"type": "path"},
}

# Every module that works with a batch says in the same way which one.
BATCH_OPTIONS = {
    "batch": {"type": "path", "required": True},
    "ledger": {"type": "str", "required": True},
}


def utc_now() -> datetime:
    """Return the time that a module hands to the library."""
    return datetime.now(UTC)


def hierarchy(module: AnsibleModule) -> Hierarchy:
    """Return the CAs that CA_OPTIONS describe."""
    from pathlib import Path

    from fleetmint.ca.hierarchy import Hierarchy
    from fleetmint.passphrases import open_source
    from fleetmint.text import is_text

    params = module.params
    root = Path(params["root_directory"]) if params["root_directory"] else None
    return Hierarchy(
        Path(params["directory"]),
        is_text(params["site"], "the name of the site"),
        open_source(params["passphrases"]),
        root,
    )


def carry_out(
    module: AnsibleModule,
    make_plan: Callable[[], Plan[object]],
    facts: Callable[[Plan[object]], dict[str, object]] = lambda _plan: {},
) -> None:
    """Make the plan, apply it unless in check mode, and report it and its result; `facts` has more to report of it."""
    try:
        from fleetmint import commands, notices, trouble
        from fleetmint.errors import FleetmintError
        from fleetmint.plan import plain
    except ImportError:
        module.fail_json(
            msg="The Fleetmint library is not installed in the Python that runs Ansible: run `make setup` and use"
            " .venv/bin/ansible-playbook, and set ansible_python_interpreter to {{ ansible_playbook_python }}.",
            exception=traceback.format_exc(),
        )
    commands.act_on_play()
    if "ledger" in module.params:
        commands.use_ledger(module.params["ledger"])
    try:
        plan = make_plan()
        result = plain(plan.carry_out(check=module.check_mode or not plan.changed))
    except FleetmintError as error:
        # With a line feed Ansible does not fold it, so that a command in it can be pasted.
        module.fail_json(msg=f"{error}\n")
    except OSError as error:
        module.fail_json(msg=f"{trouble.sentence(error, 'this cannot go on')}\n")
    for sentence in (*notices.take(), *result.pop("warnings", ())):
        module.warn(sentence)
    module.exit_json(
        # Some plans know only after they were applied whether anything was left to change.
        changed=result.pop("changed", plan.changed),
        reasons=list(plan.reasons),
        diff={"before": plan.before, "after": plan.after},
        **result,
        **facts(plan),
    )
