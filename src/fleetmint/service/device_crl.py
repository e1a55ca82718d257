"""The device CA's CRL, signed on the gateway.

Signed again when what it revokes has changed, and when it is two days old: it lives a week, so a timer that fails for
days harms nobody, while an expired CRL locks the whole fleet out.
"""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from sqlalchemy.engine import Engine

from fleetmint import files
from fleetmint.errors import ClockError, StateError
from fleetmint.ledger import reading, writing
from fleetmint.ledger.revocation import last_crl_number, revoked_certificates, take_crl_number
from fleetmint.pki import compat, keys, revocation
from fleetmint.pki.authority import Authority
from fleetmint.pki.profiles import BACKDATE, PROFILES
from fleetmint.pki.revocation import Revoked
from fleetmint.plan import Plan

RENEW_AFTER = timedelta(days=2)


def plan_device_crl(engine: Engine, authority: Authority, path: Path, *, now: datetime, force: bool = False) -> Plan:
    """Plan the CRL file at `path`; `facts["number"]` is the number of the CRL in it, after the plan is applied too.

    What the CRL in place revokes stays revoked, even when the ledger does not know it: that is how revocations survive
    the restoring of an older ledger. Raises ClockError when the clock is before the CA, and StateError when the CRL in
    place cannot be read (unless forced) or is signed by another CA.
    """
    if now < compat.not_before(authority.certificate):
        raise ClockError(f"the clock says {now:%Y-%m-%d %H:%M}Z, before this CA was made: set it, or wait for NTP")
    old = _read(path, authority, force)
    with reading(engine) as connection:
        listed = revoked_certificates(connection, "device")
        last = last_crl_number(connection, _issuer(authority))
    wanted = {entry.serial: entry for entry in listed}
    old_number = 0
    reasons = ["asked to"] if force else []
    if old is None:
        reasons.append(f"there is no {path} yet")
    else:
        old_number = revocation.crl_number(old)
        known = {entry.serial: entry for entry in revocation.entries(old)}
        reasons += [f"revoke {serial:x}" for serial in wanted if serial not in known]
        wanted = {**known, **wanted}
        signed_at = compat.last_update(old) + BACKDATE
        if now - signed_at >= RENEW_AFTER:
            reasons.append(f"{path} was signed {signed_at:%Y-%m-%d %H:%M}Z")
        if old_number < last:
            reasons.append(f"{path} has the number {old_number}, and {last} was given out")
    if not reasons:
        return Plan(facts={"number": old_number})

    def sign() -> None:
        with writing(engine) as connection:  # durable before it is signed: a number is never used twice
            number = take_crl_number(connection, _issuer(authority), at_least=old_number + 1)
        _write(path, authority, list(wanted.values()), number, now)

    return Plan(tuple(reasons), sign, facts={"number": max(last, old_number) + 1})


def _write(path: Path, authority: Authority, revoked: list[Revoked], number: int, now: datetime) -> None:
    lifetime = PROFILES["device-ca"].crl_lifetime
    if lifetime is None:
        raise StateError("the profile of the device CA has no CRL lifetime")
    crl = revocation.build_crl(authority, revoked, number=number, now=now, lifetime=lifetime)
    files.make_private_dir(path.parent)
    files.write_atomically(path, revocation.crl_pem(crl), files.PUBLIC_FILE)


def _read(path: Path, authority: Authority, force: bool) -> x509.CertificateRevocationList | None:
    if not path.exists():
        return None
    try:
        found = revocation.load_crl(files.read(path, "CRL"), str(path))
    except StateError:
        if force:
            return None
        raise
    if not revocation.signed_by(found, authority.certificate):
        raise StateError(f"{path} is signed by another CA: move it away if that CA is gone, then sign again")
    return found


def _issuer(authority: Authority) -> str:
    return keys.spki_sha256(authority.key.public_key()).hex()
