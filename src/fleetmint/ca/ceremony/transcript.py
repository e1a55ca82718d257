"""What people sign after a ceremony: who was there, when, with which programs, and every fingerprint. No secret."""

import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import metadata

import cryptography
from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import __version__
from fleetmint.ca.identifier import CaId
from fleetmint.ca.store import fingerprint
from fleetmint.x509 import compat, keys, revocation
from fleetmint.x509.authority import organization


def of_root(
    root: x509.Certificate,
    key: ec.EllipticCurvePublicKey,
    count: int,
    needed: int,
    people: Sequence[str],
    now: datetime,
) -> str:
    """Return the transcript of making a root."""
    body = [
        f"The root of the site {organization(root)} was made.",
        "",
        *_certificate("root", root, key),
        "",
        f"Its passphrase was split into {count} shares; any {needed} of them open it. It is kept nowhere else.",
    ]
    body += ["Who took which share:", *(f"  share {number}: {'.' * 60}" for number in range(1, count + 1))]
    return _page("Transcript of a root ceremony", body, people, now)


def of_answers(
    root: x509.Certificate,
    signed: Mapping[CaId, x509.Certificate],
    crl_pem: bytes,
    people: Sequence[str],
    now: datetime,
) -> str:
    """Return the transcript of answering requests; `signed` holds the certificates by their CA."""
    body = [f"The root of the site {organization(root)} was opened.", f"  root SHA-256  {fingerprint(root)}", ""]
    for ca, certificate in signed.items():
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            body += [*_certificate(ca.title, certificate, key), ""]
    crl = revocation.load_crl(crl_pem, "the root's CRL")
    body.append(f"CRL number {revocation.crl_number(crl)}, ends {_time(compat.next_update(crl))}")
    revoked = [f"  revoked  {entry.serial:x}  on {_time(entry.at)}" for entry in revocation.entries(crl)]
    body += revoked or ["  revokes nothing"]
    return _page("Transcript of answering requests", body, people, now)


def _certificate(what: str, certificate: x509.Certificate, key: ec.EllipticCurvePublicKey) -> list[str]:
    return [
        f"Certificate of the {what}",
        f"  subject       {certificate.subject.rfc4514_string()}",
        f"  SHA-256       {fingerprint(certificate)}",
        f"  key SHA-256   {keys.spki_sha256(key).hex()}",
        f"  serial        {certificate.serial_number:x}",
        f"  valid         {_time(compat.not_before(certificate))} to {_time(compat.not_after(certificate))}",
    ]


def _page(heading: str, body: Sequence[str], people: Sequence[str], now: datetime) -> str:
    lines = [
        heading,
        "=" * len(heading),
        "",
        f"when        {_time(now)} by this machine's clock",
        f"machine     {socket.gethostname()}, {platform.system()} {platform.release()} {platform.machine()}",
        f"programs    Fleetmint {__version__}, Python {sys.version.split()[0]},"
        f" cryptography {cryptography.__version__}, pycryptodome {metadata.version('pycryptodome')},"
        f" {backend.openssl_version_text()}",
        f"present     {', '.join(people)}",
        "",
        *body,
        "",
        "We were present, and this is what happened:",
        *(f"\n  {person}: {'.' * 50}" for person in people),
        "",
    ]
    return "\n".join(lines)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
