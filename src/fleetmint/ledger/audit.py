"""The promises of the ledger, checked row by row, by whoever has done something nasty to it."""

from collections import Counter

from cryptography import x509
from sqlalchemy import select, text
from sqlalchemy.engine import Connection

from fleetmint.ledger import events
from fleetmint.ledger.devices import serial_text
from fleetmint.ledger.schema import ACTIVE, REGISTERED, RESERVED, UNUSED, USED, certificates, devices, tokens
from fleetmint.pki import keys, names


def findings(connection: Connection) -> tuple[str, ...]:
    """Return what is wrong with a gateway's ledger, a sentence each; empty when it keeps its promises."""
    found: list[str] = []
    if connection.dialect.name == "sqlite":
        problems = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check"))]
        found += [f"the file is damaged: {problem}" for problem in problems if problem != "ok"]
        found += [
            f"a row of {row[0]} refers to nothing" for row in connection.execute(text("PRAGMA foreign_key_check"))
        ]
    found += [f"event {seq} does not follow from the one before it" for seq in events.broken_links(connection)]
    found += _of_certificates(connection)
    found += _of_tokens(connection)
    found += _of_devices(connection)
    return tuple(found)


def _of_certificates(connection: Connection) -> list[str]:
    found: list[str] = []
    live: Counter[str] = Counter()
    for row in connection.execute(select(certificates)):
        if row.status in (ACTIVE, RESERVED):
            live[row.device] += 1
        if row.der is None:
            continue
        certificate = x509.load_der_x509_certificate(bytes(row.der))
        key = certificate.public_key()
        says = (
            serial_text(certificate.serial_number),
            names.common_name(certificate.subject),
            keys.spki_sha256(key).hex(),  # type: ignore[arg-type]
        )
        if says != (row.serial, row.device, row.spki_sha256):
            found.append(f"the certificate {row.serial} of {row.device} is not the one that its row describes")
    found += [f"{device} has {number} certificates at once" for device, number in live.items() if number > 1]
    return found


def _of_tokens(connection: Connection) -> list[str]:
    issued = Counter(connection.execute(select(certificates.c.token_sha256)).scalars())
    found = []
    for row in connection.execute(select(tokens)):
        number = issued[row.token_sha256]
        if number != (1 if row.state == USED else 0):
            found.append(f"a token of {row.device} is {row.state} and has {number} certificates")
    return found


def _of_devices(connection: Connection) -> list[str]:
    live = set(
        connection.execute(select(certificates.c.device).where(certificates.c.status.in_((ACTIVE, RESERVED)))).scalars()
    )
    waiting = set(connection.execute(select(tokens.c.device).where(tokens.c.state == UNUSED)).scalars())
    found = []
    for row in connection.execute(select(devices.c.device, devices.c.status)):
        holds = {REGISTERED: (row.device in waiting, row.device not in live), ACTIVE: (row.device in live,)}
        rules = holds.get(row.status, (row.device not in live, row.device not in waiting))
        if not all(rules):
            found.append(f"{row.device} is {row.status}, but its certificates and tokens say something else")
    return found
