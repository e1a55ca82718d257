"""What the controller remembers of each gateway's ledger: heads of its chain of events, and its newest CRLs.

    state/heads/GATEWAY.json    {"heads": [{"chain", "seq", "digest", "seen", "by"}], "acknowledged": [{…}]}
    state/heads/GATEWAY.crl     the newest CRL of each of its device CAs, PEM

A head is added with every answer of a gateway that has one; nothing here is changed by what a gateway says, only added
to. `fleetmint audit` compares (site/chain.py), and then forgets those that a newer one stands for.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetmint import commands, files, notices
from fleetmint.documents.times import text_time, time_text
from fleetmint.errors import FleetmintError, StateError
from fleetmint.ledger.head import Head, head_of
from fleetmint.site.state import Site

# Answers that crossed each other on their way: an older head that comes this soon after a newer one means nothing.
_CROSSED_SECONDS = 60
# How many that were compared are kept: with them it can be told since when a chain is another one.
_KEPT = 5


@dataclass(frozen=True)
class Seen:
    """A head, when it was seen, and in what: `answer`, `crl`, `backup` or `audit`.

    `checked`: the chain led to it, so that it stands for those before it.
    """

    head: Head
    at: datetime
    by: str
    checked: bool = False


@dataclass(frozen=True)
class Memory:
    """All that is remembered of a gateway; heads by their number. `acknowledged` is what a person has said to them."""

    heads: tuple[Seen, ...] = ()
    acknowledged: tuple[Mapping[str, Any], ...] = ()

    def with_head(self, seen: Seen) -> Memory:
        """Return it with one more head, unless that is known, or a person has said that it is of the past."""
        past = (head for note in self.acknowledged for head in note["forgotten"])
        if seen.head.seq == 0 or any(each.head == seen.head for each in self.heads) or seen.head.values() in past:
            return self
        return replace(self, heads=tuple(sorted((*self.heads, seen), key=lambda each: each.head.seq)))

    def with_checked(self, compared: Sequence[Seen], newest: Seen) -> Memory:
        """Return it after a look in which the chain led through all that were `compared` to `newest`.

        What has been seen meanwhile stays to be compared.
        """
        known = {each.head for each in compared}
        kept = [replace(each, checked=True) for each in compared if each.head != newest.head]
        meanwhile = [each for each in self.heads if each.head not in known and each.head != newest.head]
        found = (*kept[1 - _KEPT :], newest, *meanwhile)
        return replace(self, heads=tuple(sorted(found, key=lambda each: each.head.seq)))


def directory(site: Site) -> Path:
    """Return where it is kept."""
    return site.directory / "heads"


def crl_path(site: Site, gateway: str) -> Path:
    """Return the file with the newest CRLs of a gateway's device CAs, which may be missing."""
    return directory(site) / f"{gateway}.crl"


def recall(site: Site, gateway: str) -> Memory:
    """Return what is remembered of a gateway; raise StateError when the file is damaged."""
    path = _path(site, gateway)
    if not path.exists():
        return Memory()
    try:
        content = json.loads(files.read(path, "memory of a gateway's ledger"))
        seen = [
            Seen(head_of(each), text_time(each["seen"]), str(each["by"]), bool(each["checked"]))
            for each in content["heads"]
        ]
        return Memory(tuple(seen), tuple(content["acknowledged"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{path} is damaged, and with it what this controller knows of the ledger of {gateway}: restore it from the"
            f" backup of the controller, or move it away and have it begun anew with"
            f" {commands.fleetmint('audit', '--ask-gateway')}"
        ) from error


def change(site: Site, gateway: str, how: Callable[[Memory], Memory]) -> Memory:
    """Change what is remembered of a gateway, one process at a time, and return it."""
    with _locked(site):
        before = recall(site, gateway)
        after = how(before)
        if after != before:
            rows = [
                {**each.head.values(), "seen": time_text(each.at), "by": each.by, "checked": each.checked}
                for each in after.heads
            ]
            content = {"heads": rows, "acknowledged": list(after.acknowledged)}
            files.write_atomically(_path(site, gateway), json.dumps(content, indent=1).encode() + b"\n")
    return after


def remember(site: Site, gateway: str, head: str | None) -> None:
    """Remember the head with a gateway's answer, and say at once when it is older than one of a while ago.

    An answer without one is of an older gateway.
    """
    if head is None:
        return
    try:
        seen = Seen(head_of(json.loads(head)), datetime.now(UTC), "answer")
    except ValueError:
        return  # what it is the answer to has happened nevertheless, and the audit asks again
    try:
        known = change(site, gateway, lambda memory: memory.with_head(seen))
    except (FleetmintError, OSError) as error:  # what was asked for is done, whoever may write here
        notices.add(f"how far the ledger of {gateway} was is not remembered: {error}")
        return
    before = [each for each in known.heads if (seen.at - each.at).total_seconds() > _CROSSED_SECONDS]
    if before and seen.head.seq < before[-1].head.seq:
        notices.add(
            f"the ledger of {gateway} has {seen.head.seq} events, and had {before[-1].head.seq} on"
            f" {before[-1].at:%Y-%m-%d}: {commands.fleetmint('audit', '--ask-gateway')} says what that means"
        )


def _path(site: Site, gateway: str) -> Path:
    return directory(site) / f"{gateway}.json"


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    files.make_private_dir(directory(site))
    with (directory(site) / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
