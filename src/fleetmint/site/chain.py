"""Whether the ledger of a gateway goes on from what this controller has seen of it (site/heads.py).

The events since the last look are fetched and their digests computed; they have to lead through every head that was
seen since: in answers, in CRLs that a device CA has signed, in backups. Where they do not, the ledger was cut, computed
anew, put back to an older copy, or restored, and of these only the last is an event, for a person to acknowledge.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleetmint import commands
from fleetmint.documents.times import text_time
from fleetmint.errors import FleetmintError, StateError
from fleetmint.ledger.events import digest_of
from fleetmint.ledger.findings import Finding
from fleetmint.ledger.head import Head, head_of
from fleetmint.site import heads
from fleetmint.site.client import Gateway
from fleetmint.site.gateway_crls import look_at_crls
from fleetmint.site.heads import Memory, Seen
from fleetmint.site.state import Site

# Events of an import are large, and there are few of them.
_AT_ONCE = 200
RESTORED = "restore"
_HEAD = "head.json"


@dataclass
class Walked:
    """Events as a gateway shows them: digests and times by number, restores, and the first one that is out of order."""

    digests: dict[int, str] = field(default_factory=dict)
    times: dict[int, datetime] = field(default_factory=dict)
    restores: list[tuple[int, datetime, dict[str, Any]]] = field(default_factory=list)
    broken: int | None = None
    first: Any = None
    last: Any = None


@dataclass(frozen=True)
class Compared:
    """What a look came to: `happened` is empty when the chain goes on, and `head` is where it is now."""

    happened: str
    remedy: str
    head: Seen


def look(site: Site, gateway: Gateway, now: datetime) -> list[Finding]:
    """Compare a gateway's chain and CRLs with what is remembered, and remember what there is now.

    Raises FleetmintError when the gateway does not answer: it was not asked then.
    """
    found, memory = _gather(site, gateway, now)
    compared = _compare(gateway, memory, now)
    if compared.happened:
        return [*found, Finding(f"{gateway.name}: {compared.happened}", compared.remedy)]
    if compared.head.head.seq:
        heads.change(site, gateway.name, lambda current: current.with_checked(memory.heads, compared.head))
    return found


def acknowledge(site: Site, gateway: Gateway, reason: str, now: datetime) -> str:
    """Go on from the chain that a gateway has now, for a `reason` that a person gives; return what had happened.

    Raises StateError when there is nothing to acknowledge.
    """
    _, memory = _gather(site, gateway, now, keep_crls=False)
    compared = _compare(gateway, memory, now)
    if not compared.happened:
        raise StateError(f"the ledger of {gateway.name} goes on from what was seen of it: nothing to acknowledge")
    note = {
        "at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "by": gateway.operator,
        "reason": reason,
        "happened": compared.happened,
        "forgotten": [each.head.values() for each in memory.heads],
    }
    begun = Memory((compared.head,) if compared.head.head.seq else (), (*memory.acknowledged, note))
    heads.change(site, gateway.name, lambda _: begun)
    look_at_crls(site, gateway, keep=True, forget=True)
    return compared.happened


def _gather(site: Site, gateway: Gateway, now: datetime, *, keep_crls: bool = True) -> tuple[list[Finding], Memory]:
    """Return what is remembered, with the heads of the newest backup and of the CRLs that are in force."""
    found, in_crls = look_at_crls(site, gateway, keep=keep_crls)
    new = [Seen(head, now, "crl") for head in in_crls]
    backed_up = _in_backup(site, gateway.name)
    new += [Seen(backed_up, now, "backup")] if backed_up is not None else []

    def add(memory: Memory) -> Memory:
        for each in new:
            memory = memory.with_head(each)
        return memory

    return found, heads.change(site, gateway.name, add)


def _in_backup(site: Site, gateway: str) -> Head | None:
    path = site.directory / "backups" / f"{gateway}.tar"
    try:
        with tarfile.open(path, mode="r:") as archive:
            member = archive.extractfile(_HEAD)
            return None if member is None else head_of(json.load(member))
    except (OSError, KeyError, ValueError, tarfile.TarError):
        return None  # none yet, of an older gateway, or damaged, which restoring it says


def _compare(gateway: Gateway, memory: Memory, now: datetime) -> Compared:
    known = memory.heads
    checked = [each for each in known if each.checked]
    walked = _walk(gateway.get, (checked or known)[-1 if checked else 0].head.seq if known else 0)
    wrong = [each for each in known if not _leads_through(walked, each)]
    if wrong and len(checked) > 1:
        walked = _walk(gateway.get, known[0].head.seq)  # since when it is another one
        wrong = [each for each in known if not _leads_through(walked, each)]
    head = _head(walked)
    seen = Seen(head, now, "audit", checked=True)
    if walked.broken is not None:
        what = f"its event {walked.broken} does not follow from the one before it"
        return Compared(what, _restore(gateway), seen)
    if not wrong:
        return Compared("", "", seen)
    return Compared(*_say(gateway, known, wrong, walked, head), seen)


def _walk(get: Callable[[str], Any], start: int) -> Walked:
    """Follow the chain from the event `start` on; from 0 only its first and last event are looked at."""
    walked = Walked()
    try:
        walked.first = next(iter(get("/v1/events?order=oldest&limit=1")["events"]), None)
        if start == 0:
            walked.last = next(iter(get("/v1/events?order=newest&limit=1")["events"]), None)
            return walked
        cursor: object = start - 1
        while cursor is not None:
            page = get(f"/v1/events?order=oldest&cursor={cursor}&limit={_AT_ONCE}")
            for row in page["events"]:
                _take(walked, row)
            cursor = None if page["next"] is None else int(page["next"])
        if walked.last is None:
            walked.last = next(iter(get("/v1/events?order=newest&limit=1")["events"]), None)
        _head(walked)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FleetmintError(f"it shows its events in no known way ({error!r})") from error
    return walked


def _take(walked: Walked, row: Any) -> None:
    seq, at = int(row["seq"]), text_time(row["at"])
    detail = json.dumps(row["detail"], sort_keys=True, separators=(",", ":"))
    digest = digest_of(seq, at, row["actor"], row["kind"], row["subject"], detail, row["previous"])
    before = walked.last
    follows = before is None or (seq, row["previous"]) == (before["seq"] + 1, before["digest"])
    if walked.broken is None and (digest != row["digest"] or not follows):
        walked.broken = seq
    walked.digests[seq], walked.times[seq], walked.last = digest, at, row
    if row["kind"] == RESTORED:
        walked.restores.append((seq, at, row["detail"]))


def _head(walked: Walked) -> Head:
    if walked.first is None or walked.last is None:
        return Head("", 0, "")
    return head_of({"chain": walked.first["digest"], "seq": walked.last["seq"], "digest": walked.last["digest"]})


def _leads_through(walked: Walked, seen: Seen) -> bool:
    """Whether the chain has a head in it. What lies before the walk is stood for by the one that it began with."""
    first = min(walked.digests, default=0)
    return seen.head.seq < first or walked.digests.get(seen.head.seq) == seen.head.digest


def _say(gateway: Gateway, known: Sequence[Seen], wrong: Sequence[Seen], walked: Walked, head: Head) -> tuple[str, str]:
    """Return in words what has happened, and what to do."""
    newest, first = wrong[-1], wrong[0]
    good = max((each.head.seq for each in known if each.head.seq < first.head.seq), default=0)
    lost = f"{newest.head.seq} were seen until {newest.at:%Y-%m-%d %H:%M}Z"
    restored = [each for each in walked.restores if _is_of(each[2], first.head.seq)]
    if restored:
        seq, at, detail = restored[-1]
        return (
            f"its ledger was restored on {at:%Y-%m-%d %H:%M}Z (event {seq}) from a backup that ends with event"
            f" {detail['backup']['seq']}, and {lost}: what happened in between is forgotten",
            f"if a person of yours did that: {_acknowledge(gateway)}; if not, treat the gateway as stolen:"
            " docs/recovery.md",
        )
    if head.seq == 0:
        what = f"all of its events are gone, and {lost}"
    elif head.chain != newest.head.chain:
        begun = text_time(walked.first["at"])
        what = (
            f"another ledger was begun on {begun:%Y-%m-%d %H:%M}Z"
            if begun > known[0].at
            else "all of its events are other ones, the first included: the chain was computed anew"
        )
        what = f"{what}; {lost}"
    elif first.head.seq > head.seq:
        what = (
            f"its newest events are gone: there are {head.seq}, and {lost}. Either they were deleted, which"
            f" {commands.gateway('audit')} tells by what they left behind, or an older copy of the ledger was put back"
        )
    elif walked.times[first.head.seq] > first.at:
        what = (
            f"an older copy of its ledger was put back, and the gateway went on with it: event {first.head.seq} was"
            f" seen on {first.at:%Y-%m-%d %H:%M}Z, and is one of {walked.times[first.head.seq]:%Y-%m-%d %H:%M}Z now"
        )
    else:
        what = (
            "its events were changed and their chain computed anew:"
            f" {f'up to event {good} it is as it was seen, and ' if good else ''}event {first.head.seq} is another one"
        )
    return what, _restore(gateway)


def _is_of(detail: Any, forgotten: int) -> bool:
    """Whether an event of a restore says of itself that the ledger went back behind the event `forgotten`."""
    try:
        return int(detail["backup"]["seq"]) < forgotten
    except (KeyError, TypeError, ValueError):
        return False


def _restore(gateway: Gateway) -> str:
    return (
        "find out who wrote to the gateway's ledger, restore its latest backup (docs/recovery.md), then"
        f" {_acknowledge(gateway)}"
    )


def _acknowledge(gateway: Gateway) -> str:
    return str(commands.fleetmint("audit", "--acknowledge", gateway.name, "--reason", "REASON"))
