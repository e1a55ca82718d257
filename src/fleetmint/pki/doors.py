"""The doors of a site as the controller knows them: whom each trusts, and its CRLs (docs/architecture.md)."""

from collections.abc import Sequence

from cryptography import x509

from fleetmint import files
from fleetmint.errors import FleetmintError
from fleetmint.pki import names, revocation
from fleetmint.pki.authority import CERTIFICATE, load_certificate
from fleetmint.pki.hierarchy import ROOT, Hierarchy
from fleetmint.pki.profiles import CLIENT, SERVER
from fleetmint.pki.verify import Door

DEVICE, OPERATOR, SERVER_KIND = "device", "operator", "server"
KINDS = (DEVICE, OPERATOR, SERVER_KIND)


def open_door(hierarchy: Hierarchy, kind: str, crls: Sequence[x509.CertificateRevocationList] = ()) -> Door:
    """Return what lets in a certificate of `kind`.

    `crls` come on top of those on the controller: a device CA's lives on its gateway.
    """
    if kind == SERVER_KIND:
        anchors = [_certificate(hierarchy, name) for name in ("server", "server-next")]
        return Door("devices", SERVER, anchors, (), None, names.GATEWAYS_UNIT)
    root = [_certificate(hierarchy, ROOT)]
    if kind == OPERATOR:
        issuing, unit, grammar = ["operator"], names.OPERATORS_UNIT, names.operator_name
    elif kind == DEVICE:
        issuing = ["factory", *sorted(path.name for path in hierarchy.directory.glob("device-*"))]
        unit, grammar = names.DEVICES_UNIT, names.device_id
    else:
        raise FleetmintError(f"there is no door for {kind!r}: choose one of {', '.join(KINDS)}")
    lists = [*_crls(hierarchy, [ROOT, *issuing]), *crls]
    cas = [_certificate(hierarchy, name) for name in issuing]
    return Door(f"the {kind}s' doors", CLIENT, root, cas, lists, unit, grammar)


def _certificate(hierarchy: Hierarchy, name: str) -> x509.Certificate:
    return load_certificate(hierarchy.directory / name / CERTIFICATE)


def _crls(hierarchy: Hierarchy, authorities: Sequence[str]) -> list[x509.CertificateRevocationList]:
    paths = [hierarchy.directory / name / revocation.CRL for name in authorities]
    return [revocation.load_crl(files.read(path, "CRL"), str(path)) for path in paths if path.exists()]
