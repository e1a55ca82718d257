"""Which device CAs a gateway should hold the keys of, and the commands there that bring it so far."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes

from fleetmint import commands
from fleetmint.ca import identifier
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import CaId
from fleetmint.errors import StateError
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem, public_key_bytes

# What a gateway says that was never set up.
NOTHING_HELD: Mapping[str, Any] = {"installed": False, "crl_only": []}
NOTHING_THERE = "the gateway has no device CA yet"


@dataclass(frozen=True)
class Step:
    """A command for the gateway, the words behind `fleetmint gateway`, and why it is due.

    `authority` is the CA whose certificate and key it reads on its standard input, see `handed_over`; None for none.
    """

    command: tuple[str, ...]
    reason: str
    authority: CaId | None = None


def plan_steps(
    hierarchy: Hierarchy, gateway: str, held: Mapping[str, Any], *, force: bool = False, foreseen: bool = False
) -> tuple[Step, ...]:
    """Return what is left to do, in its order, on a gateway that holds `held`, the object `ca-status --json` prints.

    While one device CA takes the place of another, the gateway keeps all of them beside the one that issues, to sign
    the CRL of each; afterwards it keeps none. With `force` one that has valid certificates is removed, too. `foreseen`
    says that the CAs would be made earlier in a run that only pretends. Raises StateError when there is no device CA.
    """
    ca = identifier.device_ca(gateway)
    wanted = _wanted(hierarchy, ca)
    if ca not in wanted:
        if foreseen:
            return (Step(("install-ca",), NOTHING_THERE, ca),)
        path = hierarchy.store.certificate_path(ca)
        raise StateError(f"there is no {path}: run {commands.playbook('ca.yml')}")
    kept = wanted if len(wanted) > 1 else {}
    return (*_copies(kept, held), *_issuing(ca, wanted[ca], held), *_retired(kept, held, force))


def handed_over(hierarchy: Hierarchy, ca: CaId) -> bytes:
    """Return certificate and unencrypted key of a CA, PEM, as `install-ca` reads them."""
    authority = hierarchy.authority(ca)
    return pem(authority.certificate) + keys.plain_pem(authority.key)


def _wanted(hierarchy: Hierarchy, ca: CaId) -> dict[CaId, tuple[str, str]]:
    """Return the device CAs of one gateway, each with the SHA-256 of its public key and of its certificate, in hex."""
    found = {}
    for each in hierarchy.store.generations(ca):
        certificate = hierarchy.store.certificate(each)
        spki = hashlib.sha256(public_key_bytes(certificate)).hexdigest()
        found[each] = (spki, certificate.fingerprint(hashes.SHA256()).hex())
    return found


def _copies(kept: Mapping[CaId, tuple[str, str]], held: Mapping[str, Any]) -> list[Step]:
    there = {each["spki_sha256"]: each["certificate_sha256"] for each in _crl_only(held) if _as_wanted(each)}
    # a gateway of one version before knows that name only
    option = "--crl-only" if "crl_only" in held else "--beside"
    return [
        Step(("install-ca", option), _why_copy(each, spki, held), each)
        for each, (spki, certificate) in kept.items()
        if there.get(spki) != certificate
    ]


def _why_copy(ca: CaId, spki: str, held: Mapping[str, Any]) -> str:
    if any(each["spki_sha256"] == spki and not _as_wanted(each) for each in _crl_only(held)):
        return f"the copy of the key of the {ca} CA is to be kept {held['wanted']}"
    return f"the gateway has no copy of the {ca} CA to sign its CRL"


def _as_wanted(held: Mapping[str, Any]) -> bool:
    """Whether a key is kept as the gateway is to keep it; one of one version before kept them all in one way."""
    return bool(held.get("as_wanted", True))


def _crl_only(held: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    found: Sequence[Mapping[str, str]] = held["crl_only"] if "crl_only" in held else held["beside"]
    return found


def _issuing(ca: CaId, wanted: tuple[str, str], held: Mapping[str, Any]) -> list[Step]:
    """It comes behind the copies: the one that issued until then is kept by that time."""
    spki, certificate = wanted
    if not held["installed"]:
        return [Step(("install-ca",), NOTHING_THERE, ca)]
    if held["spki_sha256"] != spki:
        return [Step(("install-ca",), "the gateway holds another device CA", ca)]
    if held["certificate_sha256"] != certificate:
        return [Step(("install-ca",), "the gateway holds an earlier certificate of its device CA", ca)]
    if not _as_wanted(held):
        return [Step(("install-ca",), f"the key of the device CA is to be kept {held['wanted']}", ca)]
    return []


def _retired(kept: Mapping[CaId, tuple[str, str]], held: Mapping[str, Any], force: bool) -> list[Step]:
    """What is kept for no rollover any more; the gateway refuses while certificates of it are valid."""
    stays: Collection[str] = {spki for spki, _ in kept.values()}
    options = ("--force",) if force else ()
    return [
        Step(("retire-ca", *options, spki), f"the device CA {spki[:16]} is retired")
        for spki in (each["spki_sha256"] for each in _crl_only(held))
        if spki not in stays
    ]
