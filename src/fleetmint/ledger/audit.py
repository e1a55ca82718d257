"""The promises of the ledger, checked row by row, by whoever has done something nasty to it: the gateway's half.

The factory's half is in factory_audit.py; both begin with what every ledger promises.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from sqlalchemy import select, text
from sqlalchemy.engine import Connection

from fleetmint import commands
from fleetmint.ledger import elsewhere, events
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.event_audit import of_events
from fleetmint.ledger.findings import RESTORE, Finding, revoke_remedy
from fleetmint.ledger.schema import (
    ACTIVE,
    REGISTERED,
    RESERVED,
    REVOKED,
    UNUSED,
    USED,
    certificates,
    devices,
    public_keys,
    tokens,
)
from fleetmint.x509 import keys, names
from fleetmint.x509.parsing import UnreadableError, parsing, touch


def findings(connection: Connection) -> tuple[Finding, ...]:
    """Return what is wrong with a gateway's ledger; empty when it keeps its promises."""
    return (
        *of_database(connection),
        *_of_certificates(connection),
        *_of_lines(connection),
        *_of_tokens(connection),
        *_of_devices(connection),
        *_of_keys_elsewhere(connection),
        *of_events(connection),
    )


def _of_keys_elsewhere(connection: Connection) -> Iterator[Finding]:
    for each in elsewhere.conflicts(connection):
        yield Finding(
            f"{each.here} has the key {each.spki_sha256} of {each.there}, which is at another gateway",
            f"revoke the one that is a copy: {revoke_remedy(each.here)}",
        )


def of_database(connection: Connection) -> list[Finding]:
    """Return what is wrong with a ledger of either kind, whatever is in it: the file, its references, its events."""
    found: list[Finding] = []
    if connection.dialect.name == "sqlite":
        problems = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check"))]
        found += [Finding(f"the file is damaged ({problem})", RESTORE) for problem in problems if problem != "ok"]
        found += [
            Finding(f"a row of {row[0]} refers to nothing", RESTORE)
            for row in connection.execute(text("PRAGMA foreign_key_check"))
        ]
    broken = events.broken_links(connection)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        found.append(Finding(f"event {broken[0]} does not follow from the one before it{more}", RESTORE))
    return found


def _of_certificates(connection: Connection) -> list[Finding]:
    found: list[Finding] = []
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for row in connection.execute(select(certificates)):
        owners[row.spki_sha256].add(row.device)
        if row.der is not None and not _is_described(row):
            found.append(
                Finding(
                    f"the certificate {row.serial} of {row.device} is not the one that its row describes",
                    revoke_remedy(row.device),
                )
            )
    found += [
        Finding(
            f"{' and '.join(sorted(shared))} have the same public key", "; ".join(map(revoke_remedy, sorted(shared)))
        )
        for shared in owners.values()
        if len(shared) > 1
    ]
    return found


def _of_lines(connection: Connection) -> list[Finding]:
    """The certificates of each device are one line (succession.py), of keys that were not given up before."""
    lines: defaultdict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(select(certificates)):
        lines[row.device].append(row)
    retired = {
        row.spki_sha256: row.retired_at
        for row in connection.execute(select(public_keys).where(public_keys.c.retired_at.is_not(None)))
    }
    found = []
    for device, rows in sorted(lines.items()):
        found += [Finding(f"{device} {what}", revoke_remedy(device)) for what in _of_line(rows, retired)]
        found += [_of_clone(row) for row in rows if row.cloned_at is not None and not _is_settled(row, rows)]
    return found


def _is_settled(cloned: Any, rows: Sequence[Any]) -> bool:
    """Whether somebody has decided about a clone: with a token for the device, or by revoking it."""
    later = any(row.token_sha256 is not None and row.reserved_at > cloned.cloned_at for row in rows)
    return later or all(row.status == REVOKED for row in rows)


def _of_clone(row: Any) -> Finding:
    token = commands.fleetmint("token", "new", row.device)
    return Finding(
        f"somebody asked with the certificate {row.serial} of {row.device} on {row.cloned_at:%Y-%m-%d %H:%M}Z, when its"
        " successor was in use: a copy of its flash, or it has lost what it was given",
        f"look at the device: {token} and its use settle whose the name is. If it is not to be trusted,"
        f" {commands.playbook('revoke.yml', device=row.device)}",
    )


def _of_line(rows: Sequence[Any], retired: Mapping[str, datetime]) -> Iterator[str]:
    known = {row.serial: row for row in rows}
    live = [row for row in rows if row.status in (ACTIVE, RESERVED)]
    current = [row for row in live if row.confirmed_at is not None and row.superseded_at is None]
    unused = [row for row in live if row.confirmed_at is None]
    # two while one follows another: before it is in use, and for some hours afterwards
    if len(live) > 2 or len(current) > 1 or len(unused) > 1:
        yield f"has {len(live)} certificates at once"
    heirs = Counter(row.predecessor for row in rows if row.confirmed_at is not None and row.predecessor is not None)
    for row in rows:
        if heirs[row.serial] > 1:
            yield f"has used {heirs[row.serial]} successors of its certificate {row.serial}"
        if row.superseded_at is not None and not heirs[row.serial]:
            yield f"uses no successor of its certificate {row.serial}, which is superseded"
        before = known.get(row.predecessor)
        if row.predecessor is not None and (before is None or before is row or before.reserved_at > row.reserved_at):
            yield f"had its certificate {row.serial} before the one that it follows"
        elif before is not None and row.confirmed_at is not None and before in current:
            yield f"uses its certificate {row.serial}, and the one before it is not superseded"
        ended = retired.get(row.spki_sha256)
        if ended is not None and (row.status != REVOKED or row.reserved_at > ended):
            yield f"has the certificate {row.serial} of a key that was given up"


def _is_described(row: Any) -> bool:
    try:
        with parsing():
            certificate = touch(x509.load_der_x509_certificate(bytes(row.der)))
            says = (
                serial_text(certificate.serial_number),
                names.common_name(certificate.subject),
                keys.spki_sha256(certificate.public_key()).hex(),  # type: ignore[arg-type]
            )
    except UnreadableError:
        return False
    return says == (row.serial, row.device, row.spki_sha256)


def _of_tokens(connection: Connection) -> list[Finding]:
    issued = Counter(connection.execute(select(certificates.c.token_sha256)).scalars())
    found = []
    for row in connection.execute(select(tokens)):
        number = issued[row.token_sha256]
        if number != (1 if row.state == USED else 0):
            found.append(
                Finding(
                    f"a token of {row.device} is {row.state} and has {number} certificates", revoke_remedy(row.device)
                )
            )
    return found


def _of_devices(connection: Connection) -> list[Finding]:
    live = set(
        connection.execute(select(certificates.c.device).where(certificates.c.status.in_((ACTIVE, RESERVED)))).scalars()
    )
    waiting = set(connection.execute(select(tokens.c.device).where(tokens.c.state == UNUSED)).scalars())
    boards: defaultdict[str, list[str]] = defaultdict(list)
    found = []
    for row in connection.execute(select(devices).order_by(devices.c.device)):
        holds = {REGISTERED: (row.device not in live,), ACTIVE: (row.device in live,)}
        rules = holds.get(row.status, (row.device not in live, row.device not in waiting))
        if not all(rules):
            found.append(
                Finding(
                    f"{row.device} is {row.status}, but its certificates and tokens say something else",
                    revoke_remedy(row.device),
                )
            )
        if row.mac is not None and row.status != REVOKED:
            boards[row.mac].append(row.device)
    found += [
        Finding(
            f"the board {mac} is {' and '.join(sharing)} at once",
            "ask the board itself: burning says whose it is. Revoke the other with"
            f" {' or '.join(str(commands.playbook('revoke.yml', device=device)) for device in sharing)}",
        )
        for mac, sharing in boards.items()
        if len(sharing) > 1
    ]
    return found
