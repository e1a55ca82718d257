"""Trust bundles in plain words: which it is, whether it is signed, and whom a device that holds it trusts."""

from datetime import datetime

from cryptography import x509

from fleetmint.trust.bundle import MAGIC, decode, describe
from fleetmint.x509.finding import Finding
from fleetmint.x509.inspect import certificate_finding


def is_bundle(data: bytes) -> bool:
    """Whether `data` begins as a trust bundle does."""
    return data.startswith(MAGIC)


def bundle_findings(data: bytes, now: datetime, what: str) -> list[Finding]:
    """Describe a trust bundle and the server CAs in it; raise StateError when it is damaged."""
    bundle = decode(data, what)
    facts = {"label": bundle.label, "bytes": len(data), "signed": bundle.is_signed(), "says": describe(bundle)}
    title = f"the trust bundle {bundle.label} of {bundle.site}"
    if not bundle.is_signed():
        title += ", not signed by the release key that it names"
    anchors = [certificate_finding(x509.load_der_x509_certificate(anchor), now) for anchor in bundle.anchors]
    return [Finding("trust bundle", title, facts), *anchors]
