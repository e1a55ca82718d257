"""What a gateway is given of the CAs, as its servers and its service load it: one PEM file for each name.

    devices.ca, operators.ca                    whom a listener of nginx and Mosquitto trusts: roots and issuing CAs
    root, server, operator, factory, device     the certificates of one kind of CA, the one in use first
    roots                                       with the root that is trusted no more and whose CRL is still delivered
    root.crl, operator.crl, factory.crl         their CRLs; that of a device CA is signed on its gateway
    root.sha256                                 no PEM: their fingerprints, one to a line, as openssl writes them

It follows from what lies in the directory of the CAs and from nothing else, so whatever playbook runs in the middle of
a rollover delivers the same. docs/rollover.md says why the order of the steps refuses nobody.
"""

from collections.abc import Mapping
from pathlib import Path

from fleetmint import commands, files
from fleetmint.ca import identifier
from fleetmint.ca.identifier import PHASES, CaId, Kind, Phase
from fleetmint.ca.store import CaStore, fingerprint
from fleetmint.errors import StateError
from fleetmint.x509.authority import pem
from fleetmint.x509.listeners import DELIVERED, LISTENERS

# The CAs of each file; the device CA is that of the gateway that is asked about.
_TRUST: Mapping[str, tuple[Kind, ...]] = {
    f"{each.name}.ca": tuple(map(Kind, each.authorities)) for each in LISTENERS.values()
}
_ROOTS = "roots"
_CERTIFICATES = (Kind.ROOT.value, _ROOTS, *map(str, (Kind.SERVER, Kind.OPERATOR, Kind.FACTORY, Kind.DEVICE)))
_CRLS = {f"{name}.crl": CaId(Kind(name)) for name in DELIVERED}
_FINGERPRINTS = "root.sha256"
FILES = (*_TRUST, *_CERTIFICATES, *_CRLS, _FINGERPRINTS)


class NotMadeError(StateError):
    """A CA that a gateway is given is not there, and is not damaged either: it was not made yet."""


def gateway_file(directory: Path, gateway: str, file: str) -> bytes:
    """Return the content of `file` (one of FILES) for `gateway`; raise NotMadeError when a CA of it is missing."""
    store = CaStore(directory)
    if file in _CRLS:
        return _crls(store, _CRLS[file])
    if file not in FILES:
        raise StateError(f"no gateway is given {file!r}: choose one of {', '.join(FILES)}")
    chosen = _TRUST.get(file) or (Kind.ROOT if file in (_ROOTS, _FINGERPRINTS) else Kind(file),)
    found = []
    for kind in chosen:
        ca = identifier.device_ca(gateway) if kind is Kind.DEVICE else CaId(kind)
        certificates = store.trusted(ca)
        if not certificates:
            raise _not_made(store, ca)
        if file == _ROOTS:  # a distrusted root's CRL is delivered until no listener trusts it, and has to be checked
            certificates += [store.certificate(each) for each in store.generations(ca, [Phase.DISTRUSTED])]
        found += certificates
    if file == _FINGERPRINTS:
        return "\n".join(fingerprint(each) for each in found).encode()
    return pem(*found)


def _crls(store: CaStore, ca: CaId) -> bytes:
    found = store.generations(ca, PHASES)
    if not found:
        raise _not_made(store, ca)
    return b"".join(files.read(store.crl_path(each), "CRL") for each in found)


def _not_made(store: CaStore, ca: CaId) -> NotMadeError:
    return NotMadeError(f"there is no {store.certificate_path(ca)}: run {commands.playbook('ca.yml')}")
