"""What has to happen to an older ledger before a gateway may go on with it.

It is older than the world. So everything that the newest CRL revokes is revoked in it again, the numbers of the CRLs go
on above any that was given out, and tokens that were unused then are void, because one may have been used since.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from sqlalchemy import func, select
from sqlalchemy.engine import Connection, Engine

from fleetmint import files, staging
from fleetmint.errors import LedgerError, StateError
from fleetmint.gateway.backup import HEAD, LEDGER, Content, ledger_path, read_backup
from fleetmint.gateway.catching_up import Lists, bring_up_to_date, since, unused_tokens
from fleetmint.gateway.clock import refuse_wrong_clock
from fleetmint.gateway.config import Config
from fleetmint.gateway.crl_files import parse_lists, read_lists
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.ledger import open_ledger, reading, writing
from fleetmint.ledger.audit import of_database
from fleetmint.ledger.head import Head, head_in, read_head
from fleetmint.ledger.revocation import last_crl_number, take_crl_number
from fleetmint.ledger.schema import VERSION, devices, settings
from fleetmint.ledger.upgrade import Migration, migrate
from fleetmint.ledger.version import is_older, newer, version_of
from fleetmint.plan import Plan
from fleetmint.x509 import keys, revocation
from fleetmint.x509.authority import Authority, load_certificates

# More CRLs than a gateway signs between two backups, for when nobody has the newest one.
_GAP = 1000


@dataclass(frozen=True)
class Restored:
    """A ledger that is in use again.

    `devices` is how many it has, `revoked` names those that newer CRLs revoke, `void` is how many tokens were ended,
    `crl` is the number that the next CRL is above, and `withdrawn` names those that have to wait for a new token.
    """

    devices: int
    revoked: tuple[str, ...]
    void: int
    crl: int
    withdrawn: tuple[str, ...] = ()


def plan_restore(
    config: Config,
    authorities: Sequence[Authority],
    backup: bytes,
    now: datetime,
    *,
    crls: Mapping[str, bytes] | None = None,
    keep_tokens: bool = False,
    replace: bool = False,
) -> Plan[Restored]:
    """Plan to go on with the ledger in `backup`, under the device CAs that are installed here, the one in use first.

    `crls` holds further lists of theirs by where they come from, PEM or DER: the newest one has the last word. With
    `keep_tokens` unused tokens stay good, which is right when the old gateway had ended its work before the backup. A
    ledger that is here is replaced only with `replace`, and kept beside it.

    Nothing is changed until the plan is applied. Raises StateError for a backup that is damaged or of another site,
    gateway or device CA.
    """
    path = ledger_path(config)
    if path.exists() and not replace:
        raise StateError(
            f"{path} is there already: this gateway goes on with its own ledger. To put the older one in its place,"
            " which forgets what was issued since, give --replace"
        )
    content = read_backup(backup)
    found = _lists(config, authorities, content, crls or {})
    newest = [_newest(found, authority) for authority in authorities]
    kept = [crl for crl in newest if crl is not None]
    unnumbered = [crl for crl in found if revocation.usable_number(crl) is None]
    lists = Lists([*kept, *unnumbered], _factory_list(config))
    with _opened(content, config) as (engine, _, migration, head), reading(engine) as connection:
        found_since = since(connection, lists)
        void = 0 if keep_tokens else unused_tokens(connection)
        number = _devices(connection)
    went_on = max((each.seq for each in _heads(kept)), default=0)
    if keep_tokens and went_on > head.seq:
        raise StateError(
            f"the gateway went on after this backup: it ends with the event {head.seq}, and the newest CRL was signed"
            f" when there were {went_on}. Tokens may have been used since: restore it without --keep-tokens"
            " (signing_service_restore_tokens), or bring the last backup"
        )
    gone = sorted(found_since.ended)
    above = [_above(crl, authority, content, keep_tokens) for crl, authority in zip(newest, authorities, strict=True)]
    reasons = [f"restore the ledger with {number} devices"]
    reasons += [f"bring it from version {migration.before} to {VERSION}"] if migration is not None else []
    reasons += [f"revoke {device}, as the newest CRL does" for device in gone]
    reasons += [
        f"have {device} wait for a new token, because {why}" for device, why in sorted(found_since.withdrawn.items())
    ]
    if found_since.unknown:
        reasons.append(
            f"keep out {found_since.unknown} certificates that have ended since and that this ledger does not know"
        )
    if went_on > head.seq:
        reasons.append(f"forget the events {head.seq + 1} to {went_on}, and whatever happened later")
    reasons += [f"end {void} unused tokens, which may have been used since"] if void else []

    restored = Restored(number, tuple(gone), void, above[0], tuple(sorted(found_since.withdrawn)))

    def restore() -> Restored:
        with _opened(content, config) as (engine, staged, _, head):
            with writing(engine) as connection:
                refuse_wrong_clock(connection, authorities[0], now)
                taken = [
                    take_crl_number(connection, issuer, at_least=max(least, last_crl_number(connection, issuer)))
                    for issuer, least in zip(map(_issuer, authorities), above, strict=True)
                ]
                bring_up_to_date(connection, lists, head, crl_number=taken[0], keep_tokens=keep_tokens, now=now)
            engine.dispose()  # the last connection brings everything into the one file
            data = staged.read_bytes()
        if path.exists():
            _put_aside(path, now)
        # The list before the ledger: it may revoke what the ledger has never heard of, and the next one builds on it.
        if kept:
            files.make_private_dir(config.device_crl.parent)
            data_of_lists = b"".join(revocation.crl_pem(crl) for crl in kept)
            files.write_atomically(config.device_crl, data_of_lists, files.PUBLIC_FILE)
        files.write_atomically(path, data)
        ledger = open_ledger(config.ledger)
        try:
            plan_device_crl(ledger, authorities, config.device_crl, now=now, force=True).apply()
        finally:
            ledger.dispose()
        return restored

    return Plan(tuple(reasons), restore, expected=restored)


def _devices(connection: Connection) -> int:
    found: int = connection.execute(select(func.count()).select_from(devices)).scalar_one()
    return found


def _lists(
    config: Config, authorities: Sequence[Authority], content: Content, given: Mapping[str, bytes]
) -> list[x509.CertificateRevocationList]:
    """Return every CRL of these device CAs: from the backup, from this gateway, and given along."""
    sources = dict(given)
    if content.crl is not None:
        sources["the backup"] = content.crl
    found = []
    for where, data in sources.items():
        mine = _of(authorities, parse_lists(data, f"the CRL in {where}"))
        if not mine:
            raise StateError(
                f"the CRL in {where} is not signed by the device CA of this gateway: a ledger goes on only under the CA"
                " that signed what is in it; install that one, or register the devices anew"
            )
        found += mine
    if config.device_crl.exists():
        # damaged, it is about to be signed anew
        with suppress(StateError):
            found += _of(authorities, read_lists(config.device_crl, "CRL"))
    return found


def _of(
    authorities: Sequence[Authority], lists: Sequence[x509.CertificateRevocationList]
) -> list[x509.CertificateRevocationList]:
    return [crl for crl in lists if any(revocation.signed_by(crl, one.certificate) for one in authorities)]


def _newest(
    lists: Sequence[x509.CertificateRevocationList], authority: Authority
) -> x509.CertificateRevocationList | None:
    return max(_of([authority], lists), key=_number, default=None)


def _number(crl: x509.CertificateRevocationList) -> int:
    """Return the number of a list; one without a good one is older than any other, and revokes all the same."""
    return revocation.usable_number(crl) or 0


def _above(
    newest: x509.CertificateRevocationList | None, authority: Authority, content: Content, keep_tokens: bool
) -> int:
    """Return the number that the next CRL of a device CA has to exceed."""
    above = 0 if newest is None else _number(newest)
    backed_up = parse_lists(content.crl, "the CRL in the backup") if content.crl is not None else ()
    then = _newest(backed_up, authority)
    if keep_tokens or (newest is not None and (then is None or above > _number(then))):
        return above
    return above + _GAP  # nobody says that this is the newest, and numbers must not come twice


def _heads(lists: Sequence[x509.CertificateRevocationList]) -> Iterator[Head]:
    for crl in lists:
        value = revocation.ledger_head(crl)
        if value is not None:
            with suppress(ValueError):  # then it says nothing of the chain
                yield head_in(value)


def _issuer(authority: Authority) -> str:
    return keys.spki_sha256(authority.key.public_key()).hex()


def _factory_list(config: Config) -> list[x509.CertificateRevocationList]:
    """Return the factory CA's CRLs that the play has brought: several while one takes the place of another."""
    path = config.crl("factory")
    if not path.exists():
        return []
    issuers = load_certificates(config.trusted("factory"))
    lists = read_lists(path, "factory CRL")
    return [crl for crl in lists if any(revocation.signed_by(crl, issuer) for issuer in issuers)]


def _refuse_others(engine: Engine, config: Config) -> None:
    """Raise StateError unless this is a ledger of this gateway, of a version that can be brought up to date."""
    with reading(engine, any_version=True) as connection:
        version = version_of(connection)
        if version and version != VERSION and not is_older(version):
            raise newer("the ledger in the backup", version, bench=False)
        rows = connection.execute(select(settings.c.name, settings.c.value)) if version else ()
        found = {str(name): str(value) for name, value in rows}
    for name, value in {"site": config.site, "owner": config.gateway}.items():
        if found.get(name) != value:
            raise StateError(
                f"the backup has {name} {found.get(name)!r}, and this gateway is {value!r}: bring the backup of this"
                " gateway"
            )


@contextmanager
def _opened(content: Content, config: Config) -> Iterator[tuple[Engine, Path, Migration | None, Head]]:
    """Open the ledger of a backup as a file of its own, in a directory that only this user can read.

    An older one is of today's version there; the head is that of the backup. Raises StateError unless it is a whole
    ledger of this gateway.
    """
    with staging.workspace("restore") as directory:
        path = directory / LEDGER
        files.write_atomically(path, content.ledger)
        engine = open_ledger(f"sqlite:///{path}")
        try:
            _refuse_others(engine, config)
            with reading(engine, any_version=True) as connection:
                head = read_head(connection)
            if content.head not in (None, head):
                raise StateError(
                    f"the ledger in the backup ends with the event {head.seq}, and its {HEAD} says something else:"
                    " somebody has changed the backup; bring another one"
                )
            migration = migrate(engine, keep_copy=False)
            with reading(engine) as connection:
                problems = of_database(connection)
            if problems:
                raise StateError(f"the ledger in the backup is damaged ({problems[0].what}): bring an earlier backup")
            yield engine, path, migration, head
        finally:
            engine.dispose()


def _put_aside(path: Path, now: datetime) -> None:
    """Keep the ledger that is replaced. Raises LedgerError while somebody has it open: they would go on with it."""
    try:
        with closing(sqlite3.connect(path, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # refused unless nobody else has it open
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise LedgerError(
                f"{path} is in use: stop its users first (`sudo systemctl stop fleetmint.service fleetmint-crl.timer`)"
            ) from error
    except sqlite3.DatabaseError:
        pass  # damaged, which is why it is replaced
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%SZ}{suffix}"))
