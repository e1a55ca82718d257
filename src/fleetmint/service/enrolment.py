"""The policy of enrolment: who gets a certificate, and what happens if the power goes while they do.

Strangers first meet the token, and only then the parser of requests; neither writes anything. Then one transaction
uses the token and records what will be signed, the signature is made outside of any, a second one stores it, and what
it stored is answered.
"""

from collections.abc import Callable
from datetime import datetime

from cryptography.hazmat.primitives import serialization
from sqlalchemy.engine import Engine

from fleetmint.gateway.clock import refuse_wrong_clock
from fleetmint.ledger import issuance, reading, writing
from fleetmint.ledger.devices import Certificate
from fleetmint.ledger.issuance import KeyInUseError, TokenRefusedError
from fleetmint.service.body import Enrolment
from fleetmint.x509 import compat
from fleetmint.x509.authority import Authority, new_serial
from fleetmint.x509.keys import spki_sha256
from fleetmint.x509.profiles import BACKDATE
from fleetmint.x509.request import Request, RequestRefusedError, read_request

PROFILE = "device"


def enrol(engine: Engine, authority: Authority, enrolment: Enrolment, *, clock: Callable[[], datetime]) -> Certificate:
    """Return the certificate of this device, token and key: a new one, or the one that was issued before.

    Raises TokenRefusedError (say nothing to the stranger), RequestRefusedError (say its code), ClockError and
    LedgerError (nothing was acknowledged; try again). After any of them, and after a crash, a retry is safe.
    """
    with reading(engine) as connection:
        issuance.find_token(connection, enrolment.device, enrolment.token_sha256)
    request = read_request(enrolment.csr)
    _refuse_foreign(request, enrolment.device, authority)
    try:
        with writing(engine) as connection:
            now = clock()
            refuse_wrong_clock(connection, authority, now)
            reserved = issuance.reserve(
                connection,
                device=enrolment.device,
                token_sha256=enrolment.token_sha256,
                spki_sha256=request.spki_sha256.hex(),
                serial=new_serial(),
                now=now,
            )
    except KeyInUseError as error:
        raise RequestRefusedError("key_in_use", str(error)) from error
    if reserved.der is not None:
        return reserved
    return _sign(engine, authority, reserved, request, now)


def _refuse_foreign(request: Request, device: str, authority: Authority) -> None:
    if request.common_name not in (None, device):
        raise RequestRefusedError("bad_name", "the CN has to be the device's own id; leave the subject empty")
    if request.spki_sha256 == spki_sha256(authority.key.public_key()):
        raise RequestRefusedError("key_in_use", "this is the key of the CA: make a new key")


def _sign(engine: Engine, authority: Authority, reserved: Certificate, request: Request, now: datetime) -> Certificate:
    # Reserved before this CA was there, when another one has taken its place while the device was away.
    begin = max(reserved.reserved_at, compat.not_before(authority.certificate) + BACKDATE)
    signed = authority.issue(PROFILE, request.public_key, reserved.device, now=begin, serial=reserved.serial)
    if compat.not_after(signed) <= now:
        raise TokenRefusedError("the reservation is older than its certificate would live")
    with writing(engine) as connection:
        return issuance.store_signed(
            connection,
            reserved.serial,
            der=signed.public_bytes(serialization.Encoding.DER),
            not_before=compat.not_before(signed),
            not_after=compat.not_after(signed),
        )
