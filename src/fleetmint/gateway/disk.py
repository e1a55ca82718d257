"""Whether there is room for what a gateway has to write.

The ledger's journal and a signed list need their room many times over, so that what was begun comes to its end. Nothing
new is begun when the reserve of the configuration is touched; what ends something, such as a revocation, may have it.
"""

import os
from functools import lru_cache
from pathlib import Path

from sqlalchemy.engine import make_url

from fleetmint.errors import StateError
from fleetmint.gateway.config import Config


def ledger_file(config: Config) -> Path | None:
    """Return the file of the ledger, None when that is on a server."""
    return _file(config.ledger)


@lru_cache
def _file(ledger: str) -> Path | None:
    url = make_url(ledger)  # which takes longer than all the rest
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
    if free < config.disk_reserve:
        raise StateError(
            f"{free // 2**20} MiB are free for the ledger, and {config.disk_reserve_mib} are kept for what has to be"
            " written: make room, `df` says where"
        )
