"""When a device is to renew its certificate: the policy is the gateway's, and devices are told a time."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy.engine import Connection

from fleetmint.ledger.devices import Certificate
from fleetmint.ledger.issuance import is_made_by_factory
from fleetmint.x509.authority import Authority
from fleetmint.x509.chain import issued_by
from fleetmint.x509.profiles import BACKDATE, profile

PROFILE = "device"
_ISSUED_HERE = "device"


@dataclass(frozen=True)
class Renewal:
    """From when on a certificate is to be renewed, and whether with a new key: the one it has was made elsewhere."""

    at: datetime
    new_key: bool


def renewal_of(connection: Connection, issued: Certificate, authority: Authority, *, ours: bool = False) -> Renewal:
    """Return the renewal of a signed certificate; `ours` is for one that this authority has signed just now.

    At two thirds of the life that its profile or the end of its CA gave it; from its beginning, when its CA has
    been replaced since, or when the factory has made its key and only its recovery brought it here.
    """
    if issued.der is None or issued.not_before is None or issued.not_after is None:
        raise ValueError("only a certificate that was signed can be renewed")
    begin = issued.not_before + BACKDATE
    last_third = min(profile(PROFILE).renew_before, (issued.not_after - begin) / 3)
    at = (issued.not_after - last_third).replace(microsecond=0)
    new_key = is_made_by_factory(connection, issued.device, issued.spki_sha256)
    if issued.issuer == _ISSUED_HERE:
        current = ours or issued_by(x509.load_der_x509_certificate(issued.der), authority.certificate)
        if new_key or not current:
            at = min(at, begin)
    return Renewal(at, new_key)
