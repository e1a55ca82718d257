"""The listeners of a site as the controller knows them: whom each trusts, and its CRLs (docs/architecture.md)."""

from collections.abc import Sequence

from cryptography import x509

from fleetmint import choices, files
from fleetmint.ca import generations
from fleetmint.ca.hierarchy import ROOT, Hierarchy
from fleetmint.errors import FleetmintError
from fleetmint.trust import bundle
from fleetmint.x509 import listeners, names, revocation
from fleetmint.x509.listeners import LISTENERS
from fleetmint.x509.profiles import CLIENT, SERVER
from fleetmint.x509.verify import Listener

DEVICE, OPERATOR, SERVER_KIND = KINDS = choices.LISTENERS
_POLICIES = {DEVICE: LISTENERS[listeners.DEVICES], OPERATOR: LISTENERS[listeners.OPERATORS]}


def open_listener(hierarchy: Hierarchy, kind: str, crls: Sequence[x509.CertificateRevocationList] = ()) -> Listener:
    """Return what lets in a certificate of `kind`.

    `crls` come on top of those on the controller: a device CA's lives on its gateway.
    """
    if kind == SERVER_KIND:
        return Listener("devices", SERVER, bundle.anchors(hierarchy.directory), (), None, names.GATEWAYS_UNIT)
    if kind not in _POLICIES:
        raise FleetmintError(f"there is no listener for {kind!r}: choose one of {', '.join(KINDS)}")
    policy = _POLICIES[kind]
    # the device CAs of all gateways: which one a device is at is not asked here
    issuing = [
        name
        for issuer in policy.issuers
        for name in (sorted(_device_cas(hierarchy)) if issuer == listeners.DEVICE else [issuer])
    ]
    everything = [each for name in (ROOT, *issuing) for each in generations.generations(hierarchy.directory, name)]
    lists = [*_crls(hierarchy, everything), *crls]
    cas = [certificate for name in issuing for certificate in generations.trusted(hierarchy.directory, name)]
    roots = generations.roots(hierarchy.directory)
    return Listener(f"the {policy.name}' listeners", CLIENT, roots, cas, lists, policy.unit, policy.check_name)


def _device_cas(hierarchy: Hierarchy) -> set[str]:
    found = {generations.base(name) for name in generations.authorities(hierarchy.directory)}
    return {name for name in found if name.startswith("device-")}


def _crls(hierarchy: Hierarchy, authorities: Sequence[str]) -> list[x509.CertificateRevocationList]:
    paths = [hierarchy.directory / name / revocation.CRL for name in authorities]
    return [revocation.load_crl(files.read(path, "CRL"), str(path)) for path in paths if path.exists()]
