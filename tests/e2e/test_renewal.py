"""Renewals on the real servers: a thousand at once, and what has ended opens nothing."""

import asyncio
import base64
import collections
import contextlib
import json
import logging
import random
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.documents.registration import FORMAT
from fleetmint.gateway.disconnect import connect_packet
from fleetmint.ledger.devices import serial_text
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import new_serial
from tests.e2e.site import wait_for
from tests.support.gateway_site import make_csr

_log = logging.getLogger(__name__)

MANY = 1000
PATIENCE = 400
FLEETMINT = "runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway"
# The hours of a certificate beside its successor are over.
A_DAY_LATER = """import sqlite3, sys
ledger = sqlite3.connect("/var/lib/fleetmint/ledger.sqlite")
done = ledger.execute("update certificates set superseded_at = confirmed_at where serial = ?", sys.argv[1:])
assert done.rowcount == 1
ledger.commit()
"""
ACCEPTED = b"\x20\x02\x00\x00"


def register(site, leaves: dict[str, x509.Certificate]) -> None:
    """Tell the gateway of devices with certificates of the factory."""
    listed = sorted(leaves)
    for start in range(0, len(listed), 60):
        entries = [
            {"device": name, "certificate": base64.b64encode(der(leaves[name])).decode()}
            for name in listed[start : start + 60]
        ]
        document = {"format": FORMAT, "site": "demo", "gateway": "gateway", "batch": "many", "devices": entries}
        path = site.scratch / "many.json"
        path.write_text(json.dumps(document))
        sent = ("-H", "Content-Type: application/json", "--data-binary", f"@{path}")
        status, said = site.curl("operators", "/v1/registrations", site.operator("bench@demo"), *sent)
        assert status == 200, said


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


class Storm:
    """Devices that all wake up at once, and ask until they have what they want."""

    def __init__(self, site, clients):
        self.port = site.ports["https"]
        self.contexts = {name: self.context(site, client) for name, client in clients.items()}
        self.said = collections.Counter()
        self.serials = {}
        self.late = []

    @staticmethod
    def context(site, client) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=site.server_ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_cert_chain(client.certificate, client.key)
        return context

    async def ask(self, name: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await asyncio.open_connection(
            "localhost", self.port, ssl=self.contexts[name], ssl_handshake_timeout=60
        )
        try:
            head = "POST /v1/renew HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            answer = await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        head, _, said = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), said

    async def renew(self, name: str) -> None:
        body = json.dumps({"csr": base64.b64encode(make_csr(keys.new_key())).decode()}).encode()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                status, headers, said = await self.ask(name, body)
            except (OSError, ValueError, IndexError, asyncio.IncompleteReadError):
                self.said["no answer"] += 1  # of what has been held back by the firewall, say
                await asyncio.sleep(1 + random.random())  # noqa: S311
                continue
            self.said[status] += 1
            if status == 200:
                self.serials[name] = json.loads(said)["serial"]
                return
            assert status == 503, said
            wait = int(headers["retry-after"])
            await asyncio.sleep(wait * (1 + random.random()))  # noqa: S311
        self.late.append(name)

    async def run(self) -> None:
        await asyncio.gather(*(self.renew(name) for name in self.contexts))


def test_a_thousand_devices_that_renew_at_once_all_get_a_certificate_and_no_error_but_later(site):
    factory, now = site.hierarchy.authority("factory"), datetime.now(UTC)
    made = {f"storm-{number:04}": keys.new_key() for number in range(MANY)}
    leaves = {name: factory.issue("factory-device", key.public_key(), name, now=now) for name, key in made.items()}
    register(site, leaves)
    storm = Storm(site, {name: site.client(name, key, leaves[name]) for name, key in made.items()})
    begun = time.monotonic()
    asyncio.run(storm.run())
    _log.info("%d renewals in %.0f s: %s", MANY, time.monotonic() - begun, dict(storm.said))
    assert storm.late == []
    assert set(storm.said) <= {200, 503, "no answer"}
    assert len(set(storm.serials.values())) == MANY
    assert b"storm-" not in site.on_the_pi(f"{FLEETMINT} audit || true")


class Ending:
    """A device whose certificate ends while it is looking on."""

    NAME = "ending-0001"

    def __init__(self, site, seconds):
        factory, key = site.hierarchy.authority("factory"), keys.new_key()
        self.end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        # the last minute of a certificate of a year
        leaf = (
            x509.CertificateBuilder()
            .subject_name(names.subject(factory.site, names.DEVICES_UNIT, self.NAME))
            .issuer_name(factory.certificate.subject)
            .public_key(key.public_key())
            .serial_number(new_serial())
            .not_valid_before(self.end - timedelta(days=365))
            .not_valid_after(self.end)
            .sign(factory.key, hashes.SHA256())
        )
        self.site, self.client = site, site.client(self.NAME, key, leaf)
        register(site, {self.NAME: leaf})
        self.context = Storm.context(site, self.client)
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose session is there when the handshake is over

    def connect(self, session=None) -> ssl.SSLSocket:
        """Return a connection to the broker, as a session of this TLS session."""
        plain = socket.create_connection(("localhost", self.site.ports["mqtt"]), timeout=10)
        connection = self.context.wrap_socket(plain, server_hostname="localhost", session=session)
        packet = bytearray(connect_packet(self.NAME))
        packet[10:12] = (300).to_bytes(2, "big")
        try:
            connection.sendall(packet)
        except OSError:
            connection.close()
            raise
        return connection

    def gets_in(self, session=None) -> bool:
        try:
            with self.connect(session) as connection:
                return connection.recv(4) == ACCEPTED
        except OSError:
            return False

    def wait(self) -> None:
        time.sleep(max(0.0, (self.end - datetime.now(UTC)).total_seconds() + 1.5))


@pytest.fixture(scope="module")
def ending(site):
    return Ending(site, 45)


def test_what_has_ended_opens_nothing_and_no_session_goes_on(site, ending):
    with ending.connect() as staying:
        assert staying.recv(4) == ACCEPTED
        assert site.curl("https", "/", ending.client)[0] == 200
    with ending.connect() as first:
        assert first.recv(4) == ACCEPTED
        ticket = first.session
    with ending.connect(ticket) as resumed:  # else this would prove nothing
        assert resumed.recv(4) == ACCEPTED
        assert resumed.session_reused
    with ending.connect() as staying:
        assert staying.recv(4) == ACCEPTED
        ending.wait()
        assert site.curl("https", "/", ending.client)[0] == 401
        assert not ending.gets_in()
        site.on_the_pi("systemctl start fleetmint-crl")
        staying.settimeout(10)
        assert staying.recv(4) == b""
    assert not ending.gets_in(ticket)
    assert wait_for(lambda: site.curl("https", "/", site.stolen("lamp-000001"))[0] == 200)


def test_what_has_ended_comes_back_by_recovery(site, ending):
    ending.wait()
    key = serialization.load_pem_private_key(ending.client.key.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(ending.client.certificate.read_bytes())
    body = json.dumps({
        "certificate": base64.b64encode(der(certificate)).decode(),
        "csr": base64.b64encode(make_csr(key)).decode(),
    })  # fmt: skip
    status, answer = site.curl("https", "/v1/recover", None, "-H", "Content-Type: application/json", "-d", body)
    assert status == 200, answer
    leaf = x509.load_der_x509_certificate(base64.b64decode(json.loads(answer)["certificate"]))
    back = site.client("back", key, leaf)
    status, answer = site.curl("https", "/v1/whoami", back)
    assert (status, json.loads(answer)["renew"], json.loads(answer)["new_key"]) == (200, True, True)
    assert site.publish("mqtt", back, f"devices/{ending.NAME}/out/x", "x", "-i", ending.NAME).returncode == 0


def test_what_a_renewal_has_replaced_of_the_factorys_opens_the_broker_until_the_next_run_of_the_play(site):
    name, key = "replaced-1", keys.new_key()
    leaf = site.hierarchy.authority("factory").issue("factory-device", key.public_key(), name, now=datetime.now(UTC))
    register(site, {name: leaf})
    old, mine = site.client("replaced", key, leaf), keys.new_key()
    body = json.dumps({"csr": base64.b64encode(make_csr(mine)).decode()})
    status, answer = site.curl("https", "/v1/renew", old, "-H", "Content-Type: application/json", "-d", body)
    assert status == 200, answer
    heir = x509.load_der_x509_certificate(base64.b64decode(json.loads(answer)["certificate"]))
    new = site.client("heir", mine, heir)
    assert site.curl("https", "/v1/whoami", new)[0] == 200

    def gets_in(client) -> bool:
        return site.publish("mqtt", client, f"devices/{name}/out/x", "x", "-i", name).returncode == 0

    assert gets_in(old)
    # a day later
    script = base64.b64encode(A_DAY_LATER.encode()).decode()
    serial = serial_text(leaf.serial_number)
    site.on_the_pi(f"echo {script} | base64 -d | /opt/fleetmint/bin/python - {serial}")
    for changed in (True, False):
        done = site.playbook("gateway.yml", "--tags", "certificates")
        assert done.returncode == 0, done.stdout[-3000:]
        assert ("changed=0" not in done.stdout.split("PLAY RECAP")[1]) == changed, done.stdout[-3000:]
    assert not gets_in(old)
    assert site.curl("https", "/v1/whoami", old)[0] == 401
    assert gets_in(new)
    assert site.devices()[name]["status"] == "active"
    site.on_the_pi(f"{FLEETMINT} audit")
