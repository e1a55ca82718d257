"""Whether there is room for what a gateway has to write."""

import os
from pathlib import Path

from sqlalchemy.engine import make_url

from fleetmint.errors import StateError
from fleetmint.gateway.config import Config

# What the ledger's journal and a signed list need many times over, so that what has been begun comes to its end.
ENOUGH = 32 * 1024 * 1024


def ledger_file(config: Config) -> Path | None:
    """Return the file of the ledger, None when that is on a server."""
    url = make_url(config.ledger)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def free_bytes(config: Config) -> int:
    """Return how many bytes are free where the ledger lies, or else where the service keeps its files."""
    file = ledger_file(config)
    place = config.state if file is None else file.parent
    try:
        found = os.statvfs(place)
    except OSError as error:
        raise StateError(f"cannot look at {place}: {error.strerror}") from error
    return found.f_bavail * found.f_frsize


def refuse_full(config: Config) -> None:
    """Raise StateError when so little is free that nothing new should be begun."""
    free = free_bytes(config)
    if free < ENOUGH:
        raise StateError(
            f"{free // 2**20} MiB are free for the ledger, and {ENOUGH // 2**20} are wanted: make room, `df` says where"
        )
