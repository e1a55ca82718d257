"""Taking what the factory tells: a registration or a handover, over SSH, from a station over HTTPS, or as a file."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Engine

from fleetmint import commands
from fleetmint.documents import handover as handover_format
from fleetmint.documents import registration, signature
from fleetmint.documents.document import read_object
from fleetmint.errors import RegistrationRefusedError, StateError
from fleetmint.gateway.config import Config
from fleetmint.gateway.crl_files import read_lists
from fleetmint.ledger import handover, imports, reading, writing
from fleetmint.ledger.imports import Skipped
from fleetmint.x509 import revocation
from fleetmint.x509.authority import load_certificates
from fleetmint.x509.chain import issued_by, title


@dataclass(frozen=True)
class Report:
    """What came of a document: numbers by name, and the devices for which the ledger keeps what it has."""

    changed: bool
    counts: dict[str, int]
    skipped: tuple[Skipped, ...]

    def values(self) -> dict[str, Any]:
        """Return it as plain data."""
        skipped = [{"device": each.device, "reason": each.reason} for each in self.skipped]
        return {"changed": self.changed, **self.counts, "skipped": skipped, "kept": skipped}  # kept: one version before

    def text(self) -> str:
        """Return it in words."""
        said = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in self.counts.items())
        return "\n".join([said, *(f"{each.device} is kept as it is: {each.reason}" for each in self.skipped)])


def take(engine: Engine, config: Config, data: bytes, *, actor: str, now: datetime, check: bool = False) -> Report:
    """Bring a document into the ledger, wholly or not at all; with `check` only say what that would come to.

    Raises RegistrationRefusedError with a sentence for a document that is malformed, for another gateway, or
    contradicts the ledger.
    """
    transaction = reading if check else writing
    form = read_object(data).get("format")
    if form == handover_format.FORMAT:
        document = handover_format.read_handover(data, site=config.site, gateway=config.gateway)
        with transaction(engine) as connection:
            done = (
                handover.decide(connection, document, now)
                if check
                else handover.import_handover(connection, document, actor=actor, now=now)
            )
        counts = {"updated": len(done.updated), "revoked": len(done.revoked), "unchanged": done.unchanged}
        return Report(done.changed, counts, done.skipped)
    path = config.trusted("factory")
    factory_cas = load_certificates(path) if path.exists() else ()
    wanted = registration.read_registration(data, site=config.site, gateway=config.gateway, factory_cas=factory_cas)
    with transaction(engine) as connection:
        decision = (
            imports.decide(connection, wanted, now)
            if check
            else imports.import_registration(connection, wanted, actor=actor, now=now)
        )
    counts = {"added": len(decision.added), "replaced": len(decision.replaced), "unchanged": decision.unchanged}
    if decision.ruled:
        counts["policy_changed"] = len(decision.ruled)
    return Report(decision.changed, counts, decision.skipped)


def open_signed(config: Config, data: bytes, now: datetime) -> tuple[bytes, str]:
    """Return the document in a signed file and the station that signed it; raise RegistrationRefusedError otherwise."""
    found = signature.read(data)
    issuers = load_certificates(config.trusted("operator"))
    # of one key while a root is replaced, under either root
    own = {issuer.serial_number for issuer in issuers if issued_by(found.certificate, issuer)}
    if own & _revoked(config, "root"):
        raise RegistrationRefusedError("this site's operator CA is revoked: nobody may sign for it any more")
    name = signature.signer(found, config.site, issuers, _revoked(config, "operator"), now)
    if name not in config.station_names:
        raise RegistrationRefusedError(
            f"{name} is no station of this gateway: signing_service_stations in the inventory says who is"
        )
    return found.payload, name


def _revoked(config: Config, authority: str) -> frozenset[int]:
    """Return the serials on the CRLs of a CA, which have to be its own; one that has ended still revokes."""
    path = config.crl(authority)
    try:
        lists = read_lists(path, "CRL")
        for issuer in load_certificates(config.trusted(authority)):
            if not any(revocation.signed_by(crl, issuer) for crl in lists):
                raise StateError(f"{path} holds no CRL of {title(issuer)}: run {commands.playbook('gateway.yml')}")
    except StateError as error:
        raise RegistrationRefusedError(f"whether the signer is revoked cannot be told: {error}") from error
    return frozenset(entry.serial_number for crl in lists for entry in crl)
