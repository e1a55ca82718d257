"""The listeners of a site as the controller knows them: whom each trusts, and its CRLs (docs/architecture.md)."""

from collections.abc import Sequence

from cryptography import x509

from fleetmint import choices
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import ROOT, CaId, Kind
from fleetmint.errors import FleetmintError
from fleetmint.trust import bundle
from fleetmint.x509 import listeners, names
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
    policy, store = _POLICIES[kind], hierarchy.store
    # the device CAs of all gateways: which one a device is at is not asked here
    issuing = [
        ca
        for issuer in policy.issuers
        for ca in (store.device_cas() if issuer == listeners.DEVICE else [CaId(Kind(issuer))])
    ]
    own = [store.crl(each) for ca in (ROOT, *issuing) for each in store.generations(ca)]
    lists = [*(crl for crl in own if crl is not None), *crls]
    cas = [certificate for ca in issuing for certificate in store.trusted(ca)]
    return Listener(f"the {policy.name}' listeners", CLIENT, store.roots(), cas, lists, policy.unit, policy.check_name)
