"""What an inventory says about the site, as the library wants it, and where each thing stands."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import is_trusted_as_template
from ansible.utils.vars import load_extra_vars
from ansible.vars.hostvars import HostVars

try:  # where a value stands; ansible-core keeps it for its own messages, and has no public name for it
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

if TYPE_CHECKING:  # else where it is used, since whoever runs Ansible may not have the library yet
    from fleetmint.preflight.problem import Problem
    from fleetmint.preflight.variables import Inventory

# Each variable of the roles with what its spec says about it.
Options = dict[str, dict[str, Any]]

SPECS = "meta/argument_specs.yml"
# A message of Ansible would repeat a part of it.
_SECRET = frozenset({"fleet_wifi"})


def read_options(roles: Path, loader: DataLoader) -> Options:
    """Return the variables of all roles below `roles` with what their specs say about them."""
    found: Options = {}
    for path in sorted(roles.glob(f"*/{SPECS}")):
        for entry in loader.load_from_file(str(path))["argument_specs"].values():
            found |= entry["options"]
    return found


def read_inventory(
    hostvars: HostVars, groups: Mapping[str, Sequence[str]], options: Options, roles: Path, loader: DataLoader
) -> Inventory:
    """Return the variables that the inventory and the command line set; those that a role reads with their values."""
    from fleetmint.preflight.variables import CONTROLLER, OTHERS, Inventory

    known = options.keys() | OTHERS
    prefixes = [f"{path.name}_" for path in roles.iterdir() if path.is_dir()]
    return Inventory(
        # Ansible makes one up where it is not named, which has no interpreter and no directory
        _variables(hostvars, CONTROLLER, known) if CONTROLLER in groups["all"] else {},
        {name: _variables(hostvars, name, known) for name in groups.get("gateways", [])},
        known,
        prefixes,
        load_extra_vars(loader),
    )


def of_another_type(inventory: Inventory, options: Options) -> list[Problem]:
    """Return what Ansible would refuse when the role comes that reads it, if the library does not read it itself."""
    from fleetmint.preflight.problem import Problem, merged
    from fleetmint.preflight.variables import CHECKED, CONTROLLER, Unreadable

    found = []
    for host, variables in ((CONTROLLER, inventory.controller), *inventory.gateways.items()):
        for name in variables.keys() & options.keys() - CHECKED - _SECRET:
            value = variables[name]
            if isinstance(value, Unreadable):
                found.append(Problem(name, value.what, value.remedy, hosts=(host,)))
                continue
            wanted = {key: part for key, part in options[name].items() if key not in ("required", "default")}
            said = ArgumentSpecValidator({name: wanted}).validate({name: value}, validate_role_argument_spec=True)
            for message in said.error_messages:
                remedy = "`ansible-doc -t role -r roles -l` lists the roles, and each page says what it takes"
                found.append(Problem(name, str(message), remedy, hosts=(host,)))
    return merged(found)


def placed(problem: Problem, hostvars: HostVars) -> Problem:
    """Return the problem with file and line of the value, where Ansible can tell them."""
    if not problem.hosts or Origin is None:
        return problem
    variables = hostvars.raw_get(problem.hosts[0])
    value = variables.get(problem.variable)
    item = value[problem.index] if problem.index is not None and isinstance(value, (list, tuple)) else None
    # yes, no and null carry no mark, but then their names do
    names = (name for name in variables if name == problem.variable)
    origin = Origin.get_tag(item) or Origin.get_tag(value) or Origin.get_tag(next(names, None))
    if origin is None:
        return problem
    if not origin.path:
        return replace(problem, where=origin.description or "")
    here = os.path.relpath(origin.path)
    path = origin.path if here.startswith("..") else here
    return replace(problem, where=f"{path}:{origin.line_num}" if origin.line_num else path)


def vault_problems(source: object, loader: DataLoader) -> list[Problem]:
    """Return what keeps the passphrases from being made or opened, when they are in Ansible Vault."""
    from fleetmint.preflight import vault

    def opens(path: Path) -> bool:
        try:
            loader.get_text_file_contents(str(path))
        except AnsibleError:
            return False
        return True

    # whoever opens the passphrases is a program of its own, and is told by the environment only
    told = bool(constants.DEFAULT_VAULT_PASSWORD_FILE or constants.DEFAULT_VAULT_IDENTITY_LIST)
    return vault.problems(source, told, opens)


def _variables(hostvars: HostVars, host: str, known: Collection[str]) -> dict[str, object]:
    from fleetmint.preflight.variables import REACHED

    templated, written = hostvars[host], hostvars.raw_get(host)
    return {
        name: _value(templated, name, written.get(name)) if name in known or name in REACHED else None
        for name in templated
    }


def _value(templated: Mapping[str, Any], name: str, written: object) -> object:
    from fleetmint.preflight.variables import Unreadable

    # fleet_wifi has a reader of its own
    if name not in _SECRET and _holds_comment(written):
        return Unreadable("write !unsafe before the quoted text, or take it out", "Ansible would cut {#…#} out of it")
    try:
        value = templated[name]
        number = _another_number(value)
        return Unreadable("write it in decimal digits, without a 0 before them", number) if number else value
    except AnsibleError as error:
        # of what may hold a secret, the message may be a part
        reason = "a template in it fails: write !unsafe before a text that holds braces" if name in _SECRET else ""
        return Unreadable(reason or str(error.message).partition("\n")[0])


def _holds_comment(written: object) -> bool:
    """Whether a text holds a comment of a template, of which nothing would be seen in what Ansible makes of it."""
    if isinstance(written, (list, tuple)):
        return any(map(_holds_comment, written))
    if isinstance(written, dict):
        return any(map(_holds_comment, written.values()))
    return isinstance(written, str) and "{#" in written and is_trusted_as_template(written)


def _another_number(value: object) -> str:
    """Return what YAML has made of a number that a person would read otherwise; empty where it has not."""
    if Origin is None or not isinstance(value, int) or isinstance(value, bool):
        return ""
    origin = Origin.get_tag(value)
    if origin is None or not (origin.path and origin.line_num and origin.col_num):
        return ""
    from fleetmint.preflight.spelling import another_number

    try:
        line = Path(origin.path).read_text().splitlines()[origin.line_num - 1][origin.col_num - 1 :]
    except (OSError, ValueError, IndexError):
        return ""  # the file is encrypted, or has just been changed
    return another_number(line, value)
