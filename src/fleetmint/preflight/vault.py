"""Whether passphrases that are in Ansible Vault can be made and opened."""

from collections.abc import Callable
from pathlib import Path

from fleetmint.preflight.problem import Problem
from fleetmint.preflight.variables import CONTROLLER

VARIABLE = "fleet_ca_passphrases"


def problems(source: object, has_password: bool, opens: Callable[[Path], bool]) -> list[Problem]:
    """Return what is wrong with `source`, the value of the variable, when it is `vault:DIRECTORY`.

    `has_password` is whether a vault password reaches other programs; `opens` says whether it opens a file.
    """
    kind, _, directory = str(source).partition(":")
    if kind != "vault":
        return []
    if not has_password:
        remedy = (
            "export ANSIBLE_VAULT_PASSWORD_FILE=FILE, with the file that holds it (a password that is typed, or named"
            " on the command line, does not reach the modules)"
        )
        return [Problem(VARIABLE, "there is no vault password", remedy, hosts=(CONTROLLER,))]
    remedy = "the file that ANSIBLE_VAULT_PASSWORD_FILE names holds another one"
    return [
        Problem(VARIABLE, f"the vault password does not open {path}", remedy, hosts=(CONTROLLER,))
        for path in sorted(Path(directory).glob("*"))
        if path.is_file() and not opens(path)
    ]
