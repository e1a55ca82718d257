"""What a device of a batch gets when it is no board: a directory with key and certificate, or a file with its token.

An identity leaves the bench once. The factory's ledger says so before it does: a second copy would be a second device.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from fleetmint import commands, files
from fleetmint.batch import secrets
from fleetmint.batch.secrets import Secret
from fleetmint.batch.settings import Settings
from fleetmint.batch.spec import LINUX
from fleetmint.documents import client
from fleetmint.documents import token as token_files
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.documents.token import Token
from fleetmint.errors import StateError
from fleetmint.ledger import events, looking, open_factory_ledger, writing
from fleetmint.ledger.factory import find_unit
from fleetmint.ledger.schema import events as rows
from fleetmint.passphrases import Source
from fleetmint.plan import Plan
from fleetmint.trust import bundle
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem

_EXPORTED = "exported"


def plan_pem(
    batch: Path, ledger: str, source: Source, device: str, out: Path, now: datetime, *, again: bool = False
) -> Plan[None]:
    """Plan the directory `out` with key and certificate of a device whose key the factory made, and a trust bundle.

    `source` has the passphrase `bench`. Raises StateError for what is no such device of the batch in the directory
    `batch`, is not registered with its gateway, or was exported before, unless `again`; and when there is an `out`.
    """
    settings, secret = _of(batch, ledger, source, device, again)
    if secret.key is None or secret.certificate is None:
        raise StateError(f"{device} makes its key itself: {_export(batch, token=device)} writes its token")
    contact, certificate, key = _contact(settings), secret.certificate, secret.key
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StateError(f"there is something in {out} already: name a directory that is empty or new")

    def write() -> None:
        made = serialization.load_der_private_key(key, None)
        if not isinstance(made, ec.EllipticCurvePrivateKey):
            raise StateError(f"the secret of {device} is no EC key: restore the batch from a backup")
        leaf = pem(x509.load_der_x509_certificate(certificate))
        files.make_private_dir(out)
        files.write_atomically(out / bundle.FILE, contact.bundle.encode(), files.PUBLIC_FILE)
        client.write(out, client.About(device, contact.reach), contact.bundle.anchors, leaf, keys.plain_pem(made))

    return _recorded(ledger, device, f"write key and certificate of {device} to {out}", write, now)


def plan_token(
    batch: Path, ledger: str, source: Source, device: str, out: Path, now: datetime, *, again: bool = False
) -> Plan[None]:
    """Plan the file `out` with the token of a device that makes its key itself; raise as plan_pem does."""
    settings, secret = _of(batch, ledger, source, device, again)
    if secret.token is None or secret.token_expires is None:
        raise StateError(f"the factory made the key of {device}: {_export(batch, pem=device)} writes it")
    token, contact = Token(device, secret.token, secret.token_expires), _contact(settings)
    if out.exists():
        raise StateError(f"there is a {out} already: name another file, or delete it")

    def write() -> None:
        token_files.save(token, out, contact)

    return _recorded(ledger, device, f"write the token of {device} to {out}", write, now)


def _of(batch: Path, ledger: str, source: Source, device: str, again: bool) -> tuple[Settings, Secret]:
    known = secrets.load(batch, source)
    if known.chip != LINUX:
        raise StateError(
            f"the batch {batch.name} is for boards ({known.chip}), and its identities go into those alone: a batch with"
            " `chip: linux` is for machines"
        )
    with looking(ledger) as connection:
        unit = find_unit(connection, device)
        chosen = (rows.c.kind == _EXPORTED, rows.c.subject == device)
        before = connection.execute(select(rows.c.at).where(*chosen).order_by(rows.c.seq.desc())).scalar()
    if unit is None or unit.batch != batch.name:
        shown = commands.fleetmint("batch", "show", batch.name)
        raise StateError(f"there is no {device} in the batch {batch.name}: {shown} lists its devices")
    if unit.registered_at is None:
        raise StateError(
            f"{device} is not registered with its gateway, which would not let it in: first run"
            f" {commands.fleetmint('batch', 'register', batch.name)}"
        )
    if before is not None and not again:
        raise StateError(
            f"{device} was exported on {before:%Y-%m-%d} before: two machines with one identity lock each other out."
            " --again writes it once more, for the same machine"
        )
    return known.settings, known.of(device)


def _contact(settings: Settings) -> FirstContact:
    common = settings.common
    reach = Reach(common.gateway, common.https_port, common.mqtt_port)
    return FirstContact(reach, bundle.decode(common.bundle, "the trust bundle of the batch"))


def _recorded(ledger: str, device: str, reason: str, write: Callable[[], None], now: datetime) -> Plan[None]:
    def apply() -> None:
        engine = open_factory_ledger(ledger)
        try:
            with writing(engine) as connection:
                events.append(connection, at=now, actor="factory", kind=_EXPORTED, subject=device, detail={})
        finally:
            engine.dispose()
        write()

    return Plan((reason,), apply)


def _export(batch: Path, *, token: str = "", pem: str = "") -> commands.Command:
    if token:
        return commands.fleetmint("batch", "export", batch.name, "--token", token, "--out", "FILE")
    return commands.fleetmint("batch", "export", batch.name, "--pem", pem, "--out", "DIRECTORY")
