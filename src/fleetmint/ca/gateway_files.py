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

from cryptography.hazmat.primitives import hashes

from fleetmint import commands, files
from fleetmint.ca import generations
from fleetmint.ca.generations import INCOMING, LEAVING, OUTGOING, ROOT
from fleetmint.ca.hierarchy import device_ca
from fleetmint.errors import StateError
from fleetmint.x509 import revocation
from fleetmint.x509.authority import CERTIFICATE, load_certificate, pem
from fleetmint.x509.listeners import DELIVERED, DEVICE, LISTENERS

# The CAs of each file; "device" stands for the device CA of the gateway that is asked about.
_TRUST: Mapping[str, tuple[str, ...]] = {f"{each.name}.ca": each.authorities for each in LISTENERS.values()}
_ROOTS = "roots"
_CERTIFICATES = (ROOT, _ROOTS, "server", "operator", "factory", "device")
_CRLS = {f"{name}.crl": name for name in DELIVERED}
_FINGERPRINTS = "root.sha256"
FILES = (*_TRUST, *_CERTIFICATES, *_CRLS, _FINGERPRINTS)


class NotMadeError(StateError):
    """A CA that a gateway is given is not there, and is not damaged either: it was not made yet."""


def gateway_file(directory: Path, gateway: str, file: str) -> bytes:
    """Return the content of `file` (one of FILES) for `gateway`; raise NotMadeError when a CA of it is missing."""
    if file in _CRLS:
        return _crls(directory, _CRLS[file])
    if file not in FILES:
        raise StateError(f"no gateway is given {file!r}: choose one of {', '.join(FILES)}")
    chosen = _TRUST.get(file, (ROOT if file in (_ROOTS, _FINGERPRINTS) else file,))
    found = []
    for name in chosen:
        path = device_ca(gateway) if name == DEVICE else name
        certificates = generations.trusted(directory, path)
        if not certificates:
            raise NotMadeError(f"there is no {directory / path / CERTIFICATE}: run {commands.playbook('ca.yml')}")
        if file == _ROOTS:  # a leaving root's CRL is delivered until no listener trusts it, and has to be checked
            leaving = generations.generations(directory, ROOT, [LEAVING])
            certificates += [load_certificate(directory / each / CERTIFICATE) for each in leaving]
        found += certificates
    if file == _FINGERPRINTS:
        return "\n".join(each.fingerprint(hashes.SHA256()).hex(":").upper() for each in found).encode()
    return pem(*found)


def _crls(directory: Path, name: str) -> bytes:
    places = ("", INCOMING, OUTGOING, LEAVING)
    paths = [directory / each / revocation.CRL for each in generations.generations(directory, name, places)]
    if not paths:
        raise NotMadeError(f"there is no {directory / name / CERTIFICATE}: run {commands.playbook('ca.yml')}")
    return b"".join(files.read(path, "CRL") for path in paths)
