"""How an audit tells of a broken promise."""

from dataclasses import dataclass

from fleetmint import commands

RESTORE = "restore the latest backup of the ledger, and find out who or what wrote to it"


@dataclass(frozen=True)
class Finding:
    """One broken promise: what is wrong with which thing, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def revoke_remedy(device: str) -> str:
    """Return what to do where an identity can be trusted no longer."""
    return f"revoke the device with {commands.playbook('revoke.yml', device=device)} and give its board a new identity"
