"""The CRLs that a gateway's device CAs sign on it, and the controller's copy of the newest of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from cryptography import x509

from fleetmint import files
from fleetmint.ca.identifier import device_ca
from fleetmint.ca.store import CaStore
from fleetmint.errors import FleetmintError, StateError
from fleetmint.gateway.crl_files import parse_lists
from fleetmint.ledger.findings import Finding
from fleetmint.ledger.head import Head, head_in
from fleetmint.site import heads
from fleetmint.site.client import Gateway
from fleetmint.site.heads import Memory, Seen
from fleetmint.site.state import Site
from fleetmint.x509 import revocation
from fleetmint.x509.listeners import DEVICE

_CRL = x509.CertificateRevocationList


def look_at_crls(
    site: Site, gateway: Gateway, *, keep: bool = True, forget: bool = False
) -> tuple[list[Finding], list[Head]]:
    """Return what is wrong with the CRLs in force at a gateway, and the heads of its chain that are signed in them.

    With `keep` they become the controller's copy, unless they forget something that is on that; with `forget` always.
    """
    path = heads.crl_path(site, gateway.name)
    before = parse_lists(files.read(path, "CRL"), str(path)) if path.exists() else ()
    fetched = _fetch(gateway)
    found: list[Finding] = []
    good: list[_CRL] = []
    for authority in CaStore(site.ca_directory).trusted(device_ca(gateway.name)):
        old, new = _of(authority, before), _of(authority, fetched)
        try:
            if new is not None and old is not None and not forget:
                _refuse_forgetting(new, old, gateway.name)
        except StateError as error:
            what, _, remedy = str(error).partition("; ")
            found += [] if any(each.what == what for each in found) else [Finding(what, remedy)]
            new = None
        chosen = old if new is None else new  # that a CA has no list at all, the gateway's own audit says
        # while a root is replaced there are two certificates for each key, and one list
        good += [] if chosen is None or chosen in good else [chosen]
    data = b"".join(revocation.crl_pem(crl) for crl in good)
    if keep and good and (not path.exists() or files.read(path, "CRL") != data):
        files.make_private_dir(path.parent)
        files.write_atomically(path, data)
    return found, [head for crl in good for head in _head(crl)]


def keep_crls(site: Site, gateway: Gateway, now: datetime) -> None:
    """Make the CRLs in force at a gateway the controller's copy, and remember the heads that are signed in them."""
    _, in_crls = look_at_crls(site, gateway)
    for head in in_crls:
        heads.change(site, gateway.name, partial(Memory.with_head, seen=Seen(head, now, "crl")))


def _of(authority: x509.Certificate, lists: Sequence[_CRL]) -> _CRL | None:
    return next((crl for crl in lists if revocation.signed_by(crl, authority)), None)


def _refuse_forgetting(crl: _CRL, old: _CRL, gateway: str) -> None:
    revocation.refuse_forgetting(
        crl,
        old,
        what=f"the CRL of the device CA that is in force at {gateway}",
        where="this controller's copy",
        remedy=lambda _: (
            "restore the gateway's latest backup with this controller's copy, which revokes again what it names"
        ),
    )


def _fetch(gateway: Gateway) -> list[_CRL]:
    try:
        names = [str(row["name"]) for row in gateway.get("/v1/crls")["crls"]]
    except (KeyError, TypeError) as error:
        raise FleetmintError(f"{gateway.name} lists its CRLs in no known way") from error
    mine = [name for name in names if name == DEVICE or name.startswith(f"{DEVICE}-")]
    return [revocation.read_crl(gateway.fetch(f"/v1/crls/{name}"), f"the CRL {name}") for name in mine]


def _head(crl: _CRL) -> list[Head]:
    value = revocation.ledger_head(crl)
    try:
        return [] if value is None else [head_in(value)]
    except ValueError:
        return []
