"""What the commands of a gateway share: its configuration, its ledger, and how they answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from fleetmint.cli.lazily import for_work
from fleetmint.errors import PublishError

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway.config import Config, config_path, load_config
    from fleetmint.ledger import open_ledger

# Who did it, in the chain of events: SSH and sudo have their own logs of who that was.
ACTOR = "command line"
_START = "`sudo systemctl start fleetmint-crl`"

_T = TypeVar("_T")


def read_config(ctx: click.Context) -> Config:
    """Return the configuration that `--config` names, else the one of this gateway."""
    return load_config(ctx.obj or config_path())


def with_ledger(config: Config, run: Callable[[Engine], _T], *, create: bool = False) -> _T:
    """Return what `run` makes of the ledger, which is closed then."""
    engine = open_ledger(config.ledger, create=create)
    try:
        return run(engine)
    finally:
        engine.dispose()


def read_stdin(limit: int = -1) -> bytes:
    """Return what comes on stdin, at most so many bytes of it."""
    data: bytes = sys.stdin.buffer.read(limit)
    return data


def say(as_json: bool, values: Mapping[str, Any], text: str) -> None:
    """Print `values` as JSON, or else `text`."""
    click.echo(json.dumps(values) if as_json else text)


def refuse_unpublished(problems: Sequence[str]) -> None:
    """Raise PublishError when something was revoked that the servers do not know of yet."""
    if problems:
        raise PublishError(f"what was revoked is not in force yet: {'; '.join(problems)}; {_START} puts it in force")
