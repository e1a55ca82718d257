"""What check mode would have made earlier in the same run, so that what is built upon it can be foreseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROLLER = "localhost"
CAS = "fleetmint_foreseen_cas"


def cas(variables: Mapping[str, Any]) -> bool:
    """Whether the module `ca` has said in this run, in check mode, that it would make CAs."""
    if not variables.get("ansible_check_mode"):
        return False
    return bool(variables["hostvars"][CONTROLLER].get("ansible_facts", {}).get(CAS))
