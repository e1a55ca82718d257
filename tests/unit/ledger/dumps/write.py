"""Write a small ledger of the version that the library on sys.path makes, as SQL text beside this file.

    python tests/unit/ledger/dumps/write.py 0006

Before a migration is added, with the number of the version that is about to become an earlier one. For a version that
has gone already: `git worktree add /tmp/then COMMIT`, and the same line with PYTHONPATH=/tmp/then/src.
"""

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[3]))
NOW = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
YEAR = timedelta(365)
MACS = [f"24:0a:c4:00:00:0{number}" for number in range(9)]


def fill(connection: Connection) -> None:
    """Enter a batch, and the devices of it that a gateway knows: something of every kind that this version has."""
    from fleetmint.ledger import events, schema

    def add(table: str, **values: object) -> None:
        known = schema.metadata.tables.get(table)
        if known is not None:
            row = {name: value for name, value in values.items() if name in known.columns}
            connection.execute(insert(known).values(**row))

    def rows_of(table: str) -> list[Any]:
        return list(connection.execute(select(schema.metadata.tables[table])))

    def flags_of(row: Any) -> str:
        holds = {"r": row.status == "revoked", "t": row.token_sha256, "c": row.confirmed_at}
        return "".join(flag for flag, is_so in holds.items() if is_so)

    def happen(kind: str, subject: str, **detail: object) -> None:
        events.append(connection, at=NOW, actor="anna@workshop", kind=kind, subject=subject, detail=detail)

    devices = [f"lamp-00000{number}" for number in range(1, 7)]
    add("batches", batch="lamps-1", created_at=NOW)
    happen("batch", "lamps-1", units=len(devices))
    states = ["burned", "burned", "quarantined", "claimed", "planned"]
    states.append("returned" if hasattr(schema, "RETURNED") else "planned")
    for position, (device, state) in enumerate(zip(devices, states, strict=True)):
        add(
            "units", device=device, batch="lamps-1", position=position, state=state, registered_at=NOW,
            key_origin="factory" if position == 1 else "device", product="Lamp", hardware="B", serial=f"L{position}",
            mac=None if state == "planned" else MACS[0 if state == "returned" else position],
            claimed_by=None if state == "planned" else "bench:1", port=None if state == "planned" else "/dev/ttyUSB0",
            claimed_at=None if state == "planned" else NOW,
            finished_at=NOW if state in ("burned", "quarantined", "returned") else None,
            reason="no answer" if state in ("quarantined", "returned") else None,
        )  # fmt: skip
    burn = {"port": "/dev/ttyUSB0", "worker": "bench:1", "at": NOW}
    for position, result in enumerate(["burned", "burned", "quarantined"]):
        add("burns", device=devices[position], mac=MACS[position], result=result, reason="", **burn)
    add("refused_boards", batch="lamps-1", mac=None, code="no-answer", reason="no board answered", **burn)
    for number, (device, status, has) in enumerate(
        [(devices[0], "active", "used"), (devices[1], "revoked", "replaced"), (devices[4], "registered", "unused")]
    ):
        revoked = status == "revoked"
        add(
            "devices", device=device, batch="lamps-1", status=status, registered_at=NOW,
            revoked_at=NOW if revoked else None, revoke_reason="key_compromise" if revoked else None,
            mac=MACS[0] if status == "active" else None, result="burned" if status == "active" else None,
            result_at=NOW if status == "active" else None,
        )  # fmt: skip
        sha256 = f"{number}" * 64
        used = NOW if has == "used" else None
        add("tokens", token_sha256=sha256, device=device, expires_at=NOW + timedelta(90), state=has, used_at=used)
        happen("import", "lamps-1", tokens={device: sha256}, certificates={})
        if status == "registered":
            continue
        certificate = issued_to(device)
        serial = certificate.serial_number.to_bytes(20, "big").lstrip(b"\0").hex()
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(spki)
        key = digest.finalize().hex()
        add("public_keys", spki_sha256=key, device=device)
        add(
            "certificates", serial=serial, issuer="device", device=device,
            spki_sha256=key, token_sha256=sha256 if has == "used" else None, status=status, reserved_at=NOW,
            not_before=NOW, not_after=NOW + YEAR, der=certificate.public_bytes(serialization.Encoding.DER),
            revoked_at=NOW if revoked else None, revoke_reason="key_compromise" if revoked else None,
            confirmed_at=None if revoked else NOW,
        )  # fmt: skip
        told = {"serial": f"{certificate.serial_number:040x}", "spki_sha256": key, "superseded": []}
        happen("renew" if revoked else "enrol", device, **told)
        if revoked:
            happen("revoke", device, reason="key_compromise", serials=[told["serial"]])
        else:
            happen("confirm", device, serial=told["serial"])
    add("crls", issuer_spki_sha256="c" * 64, number=7)
    if int(schema.VERSION) >= 8:  # since then the events tell what the rows say
        told = {
            "devices": {row.device: row.status for row in rows_of("devices")},
            "tokens": {row.token_sha256: [row.device, row.state] for row in rows_of("tokens")},
            "certificates": {row.serial: [row.device, flags_of(row)] for row in rows_of("certificates")},
        }
        events.append(connection, at=NOW, actor="migration", kind="upgrade", subject="ledger", detail=told)


def issued_to(device: str) -> x509.Certificate:
    """A certificate as a device CA might have issued it; nobody keeps its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, device)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW).not_valid_after(NOW + YEAR)
    return builder.sign(key, hashes.SHA256())


def make(url: str) -> None:
    from fleetmint.ledger import create_schema, open_ledger, writing

    engine = open_ledger(url, create=True)
    create_schema(engine, site="home", owner="factory")
    with writing(engine) as connection:
        fill(connection)
    engine.dispose()


def of_sqlite() -> str:
    """The SQL of a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "ledger.sqlite")
        make(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection:
            return "\n".join(connection.iterdump()) + "\n"


def of_postgresql() -> str:
    """The SQL of a database on a server, without what only this server says of itself."""
    from virtual import postgres

    with postgres.cluster() as url:
        make(url)
        host = url.partition("host=")[2]
        command = ["pg_dump", "--host", host, "--username", "postgres", "--inserts", "--no-owner", "postgres"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "SET ", "\\"))]
    return "\n".join(line for line in lines if "set_config" not in line) + "\n"


if __name__ == "__main__":
    (number,) = sys.argv[1:]
    for dialect, text in (("sqlite", of_sqlite()), ("postgresql", of_postgresql())):
        (HERE / f"{number}.{dialect}.sql").write_text(text)
