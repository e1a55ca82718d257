"""What ends at a site, as far as the controller knows it by itself: the rows of `ca show`, and one line of what is due.

A device is in no line: it renews itself, and its gateway says which ones have not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509

from fleetmint import commands
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import ROOT, CaId, Kind, Phase
from fleetmint.ca.leaves import revoked
from fleetmint.ca.rollover.steps import KINDS
from fleetmint.commands import Command
from fleetmint.site.certificates import FACTORY_DEVICE, OPERATOR, SERVER, SERVICE, Issued, certificates, leaves
from fleetmint.site.state import Site
from fleetmint.trust import bundle
from fleetmint.x509 import compat, names
from fleetmint.x509.expiries import Ending, is_due, is_late, sentence
from fleetmint.x509.inspect import days_left, text_time, time_text
from fleetmint.x509.profiles import PROFILES

if TYPE_CHECKING:  # every command looks here, and few ask a gateway
    from fleetmint.site.client import Gateway

AUTHORITY, CRL, ANCHOR = "CA", "CRL", "anchor"
# Whoever has not been missed for so long has left, and is no alarm any more.
_GONE = timedelta(days=90)
# A gateway gives its command less, and has to answer after that.
_TRYING_SECONDS = 30.0


class Renewal(NamedTuple):
    """What renews something, in words, and the commands for it, where there are any."""

    text: str
    commands: tuple[Command, ...] = ()


class _Row(NamedTuple):
    ending: Ending
    renewal: Renewal
    due: bool


def expiries(hierarchy: Hierarchy, site: Site, now: datetime) -> list[dict[str, Any]]:
    """Return everything that ends, the earliest first, each with what renews it. What is revoked is left out.

    `due` says what will lock somebody out before long, and needs a person.
    """
    rows = [*_of_authorities(hierarchy, now), *_of_leaves(hierarchy, certificates(site), now)]
    return [_described(row, now) for row in sorted(rows, key=lambda row: (row.ending.ends, row.ending.name))]


def warning(site: Site, now: datetime) -> str:
    """Return one line about what will lock somebody out before long; empty when nothing will.

    Raises StateError and OSError when the state cannot be read, which other commands say better.
    """
    if not (site.is_described and site.ca_directory.is_dir()):
        return ""
    hierarchy = site.hierarchy()
    if not hierarchy.store.exists(ROOT):
        return ""
    rows = [*_of_authorities(hierarchy, now), *_of_leaves(hierarchy, leaves(site), now)]
    said = sentence([row.ending for row in rows if row.due], now)
    return said and f"{said}: {commands.fleetmint('ca', 'show')} says what renews it"


def of_gateway(gateway: Gateway, now: datetime) -> list[dict[str, Any]]:
    """Return what ends of the devices that a gateway knows: certificates, and tokens of those that never enrolled."""
    rows = []
    for device in gateway.get("/v1/devices")["devices"]:
        late, unused = has_not_renewed(device, now), unused_token(device)
        renewal = Renewal("the device itself, when two thirds of its life are over")
        if device["status"] == "active" and device["not_after"]:
            rows.append(_described(_device("device", device, "not_after", renewal, late), now))
        elif unused is not None:
            renewal = Renewal("another token", (commands.fleetmint("token", "new", device["device"]),))
            rows.append(_described(_device("token", device, "token_expires", renewal, is_due(None, unused, now)), now))
    return rows


def has_not_renewed(device: Mapping[str, Any], now: datetime) -> bool:
    """Whether a device of the gateway's list should have renewed by now."""
    if device["status"] != "active" or not device.get("not_before") or not device["not_after"]:
        return False
    return is_late(text_time(device["not_before"]), text_time(device["not_after"]), now)


def unused_token(device: Mapping[str, Any]) -> datetime | None:
    """Return when the token of a device ends that has never enrolled; None when it has, or has none."""
    ends = device.get("token_expires")
    return text_time(ends) if ends and device["status"] == "registered" else None


def try_alert(gateway: Gateway) -> tuple[bool, str]:
    """Have a gateway run its alert_command; return whether that worked, and what it said.

    Raises FleetmintError when the gateway cannot be asked.
    """
    answer = gateway.post("/v1/alerts/test", b"{}", seconds=_TRYING_SECONDS)
    return bool(answer["ok"]), str(answer["said"])


def _device(kind: str, device: Mapping[str, Any], end: str, renewal: Renewal, due: bool) -> _Row:
    ending = Ending(
        kind, device["device"], text_time(device[end]), remedy=tuple(each.line for each in renewal.commands)
    )
    return _Row(ending, renewal, due)


def _described(row: _Row, now: datetime) -> dict[str, Any]:
    ending = row.ending
    return {
        "kind": ending.kind,
        "name": ending.name,
        "ends": time_text(ending.ends),
        "days_left": days_left(ending.ends, now),
        "due": row.due,
        "renewed_by": row.renewal.text,
        "renew_with": list(ending.remedy),
    }


def _row(kind: str, name: str, begins: datetime, ends: datetime, renewal: Renewal, due: bool) -> _Row:
    return _Row(Ending(kind, name, ends, begins, tuple(each.line for each in renewal.commands)), renewal, due)


def _of_authorities(hierarchy: Hierarchy, now: datetime) -> Iterator[_Row]:
    for ca in hierarchy.store.identifiers():
        certificate = hierarchy.store.certificate(ca)
        title = names.common_name(certificate.subject) or str(ca)
        begins, ends = compat.not_before(certificate), compat.not_after(certificate)
        yield _row(
            AUTHORITY, title, begins, ends, _renews_ca(ca), ca.phase is Phase.ACTIVE and is_due(begins, ends, now)
        )
        if (crl := hierarchy.store.crl(ca)) is not None:
            begins, ends = compat.last_update(crl), compat.next_update(crl)
            trusted = ca.phase is not Phase.DISTRUSTED
            yield _row(CRL, title, begins, ends, _renews_crl(ca), trusted and is_due(begins, ends, now))
    yield from _of_anchors(hierarchy, now)


def _of_anchors(hierarchy: Hierarchy, now: datetime) -> Iterator[_Row]:
    """Yield what the trust bundle tells devices to trust: only the last to end is due, one takes another's place."""
    path = hierarchy.directory / bundle.FILE
    if not path.exists():
        return
    with_next = (commands.playbook("ca_rollover.yml", ca_rollover="server"),)
    anchors = [x509.load_der_x509_certificate(each) for each in bundle.load(path).anchors]
    last = max(compat.not_after(each) for each in anchors)
    for anchor in anchors:
        begins, ends = compat.not_before(anchor), compat.not_after(anchor)
        yield _row(
            ANCHOR,
            f"{names.common_name(anchor.subject)} ({bundle.FILE})",
            begins,
            ends,
            Renewal("a new trust bundle, with the next server CA", with_next),
            ends == last and is_due(begins, ends, now),
        )


def _of_leaves(hierarchy: Hierarchy, issued: Iterable[Issued], now: datetime) -> Iterator[_Row]:
    for each in issued:
        if not each.in_use or revoked(hierarchy, each.authority, each.certificate.serial_number) is not None:
            continue
        begins, ends = compat.not_before(each.certificate), compat.not_after(each.certificate)
        name = f"{each.name} ({each.path.stem})" if each.kind == SERVER else each.name
        gone = each.kind == OPERATOR and now - ends > _GONE
        due = each.kind != FACTORY_DEVICE and not gone and is_due(begins, ends, now)
        yield _row(each.kind, name, begins, ends, _renews(each), due)


def _renews_ca(which: CaId) -> Renewal:
    if which.phase is not Phase.ACTIVE:
        return Renewal("nothing: another one takes its place")
    if which.kind is Kind.SERVER_NEXT:
        return Renewal("nothing yet: it waits sealed until the server CA is replaced")
    if which.kind not in KINDS:
        return Renewal("nothing yet")
    early = PROFILES[which.profile].renew_before.days // 365
    text = f"playbooks/ca_rollover.yml, from {early} years before; nothing does it by itself"
    return Renewal(text, (commands.playbook("ca_rollover.yml", ca_rollover=which.kind.value),))


def _renews_crl(ca: CaId) -> Renewal:
    make = commands.playbook("ca.yml")
    if ca == ROOT:
        return Renewal("playbooks/ca.yml, with the root's key at hand", (make,))
    text = "playbooks/ca.yml as soon as its CA lasts longer, then playbooks/gateway.yml"
    return Renewal(text, (make, commands.to_gateways()))


def _renews(issued: Issued) -> Renewal:
    if issued.kind == SERVER:
        text = f"each run of playbooks/gateway.yml, once it is {PROFILES['server'].youth.days} days old"
        return Renewal(text, (commands.playbook("gateway.yml"),))
    if issued.kind == SERVICE:
        text = f"each run of playbooks/ca.yml or service-cert, once it is {PROFILES['service'].youth.days} days old"
        return Renewal(text, (commands.fleetmint("service-cert", issued.name),))
    if issued.kind == OPERATOR:
        text = f"each run of playbooks/ca.yml or operator add, once it is {PROFILES['operator'].youth.days} days old"
        return Renewal(text, (commands.fleetmint("operator", "add", issued.name),))
    return Renewal("the device itself, when two thirds of its life are over")
