"""All three rollovers under clients that never stop knocking. Runs last: afterwards the first CAs are gone.

What a client trusts is what it was given: devices the server CAs of the first day, operators the root of the first day,
and the new one beside it from the moment at which docs/rollover.md says to give it to them. The tests are the steps of
one long rollover, in their order.
"""

import base64
import hashlib
import http.client
import json
import re
import secrets
import shutil
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.documents.registration import FORMAT
from fleetmint.gateway.disconnect import connect_packet
from fleetmint.x509 import keys
from fleetmint.x509.authority import load_certificate
from fleetmint.x509.chain import issued_by
from tests.e2e.site import Client, wait_for
from virtual import demo
from virtual.esp32 import fleet

# A board with MicroPython that made its own key: its certificate is of the first device CA.
BOARD = "lamp-000001"
# Enrolled before anything changes, one of them to keep a session; between the rollovers; and when the old CAs are gone.
TOKENS = ("early", "staying", "late-device", "late-server", "late-root", "late-retired")
FACTORY_MADE = "factory-made"
EVERY_LISTENER = {"HTTPS", "MQTT"}
ACCEPTED, PING, PONG = b"\x20\x02\x00\x00", b"\xc0\x00", b"\xd0\x00"
PATIENCE = 60
PLAYS = ("--skip-tags", "base,time")


class Knocker(threading.Thread):
    """Opens fresh connections until it is told to stop, and writes down each one that was refused."""

    def __init__(self):
        super().__init__(daemon=True)
        self.refused = []
        self.accepted = {}
        self._probes = {}
        self._over = threading.Event()

    def add(self, name, probe):
        self._probes = {**self._probes, name: probe}

    def run(self):
        while not self._over.is_set():
            for name, probe in self._probes.items():
                begun = time.time()
                try:
                    probe()
                    self.accepted[name] = self.accepted.get(name, 0) + 1
                except (OSError, AssertionError, http.client.HTTPException) as error:
                    self.refused.append(f"{datetime.fromtimestamp(begun, UTC):%H:%M:%S} {name}: {error!r}")
            self._over.wait(0.2)

    def stop(self):
        self._over.set()
        self.join(PATIENCE)


class Visitor:
    """Somebody with a certificate and a file of what is trusted, both read anew each time."""

    def __init__(self, site, trust, client: Client | None = None):
        self._site, self._trust, self._client = site, trust, client

    def connect(self, port) -> ssl.SSLSocket:
        return self._site.connect(port, self._client, trust=self._trust, seconds=PATIENCE)

    def ask(self, port, method="GET", path="/", body=None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect(port)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def page(self, port):
        status, body = self.ask(port)
        assert status == 200, (status, body[:200])

    def session(self, port, client_id):
        with Session(self, port, client_id) as session:
            session.ping()


class Session:
    """One MQTT session that lives for as long as the broker leaves it alone."""

    def __init__(self, visitor: Visitor, port, client_id):
        self._connection = visitor.connect(port)
        packet = bytearray(connect_packet(client_id))
        packet[10:12] = (300).to_bytes(2, "big")  # keep alive: on a busy machine a round of knocking takes its time
        try:
            self._connection.sendall(packet)
            assert self._connection.recv(len(ACCEPTED)) == ACCEPTED
        except BaseException:
            self._connection.close()
            raise

    def ping(self):
        self._connection.sendall(PING)
        assert self._connection.recv(len(PONG)) == PONG

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()


@pytest.fixture(scope="module")
def given(site):
    """The trust that was given out on the first day: server CAs for devices, the root for people."""
    place = site.scratch / "given"
    place.mkdir()
    servers = [(site.state / f"ca/{name}/ca.crt").read_text() for name in ("server", "server-next")]
    (place / "devices.pem").write_text("".join(servers))
    for name in ("operators.pem", "old-root.pem"):
        (place / name).write_bytes(site.root.read_bytes())
    shutil.copy(site.operator().key, place / "alice.key")
    shutil.copy(site.operator().certificate, place / "alice.crt")
    return place


@pytest.fixture(scope="module")
def factory_made(site):
    """A device with a certificate of the factory CA, not registered yet."""
    key = keys.new_key()
    leaf = site.hierarchy.authority("factory").issue(
        "factory-device", key.public_key(), FACTORY_MADE, now=datetime.now(UTC)
    )
    return site.client(FACTORY_MADE, key, leaf)


@pytest.fixture(scope="module")
def enrol(site, given, factory_made):
    """Return a function by which a registered device gets its certificate. Its token is from before the rollovers."""
    tokens = {device: secrets.token_hex(16) for device in TOKENS}
    expires = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
    entries = [
        {"device": device, "token_sha256": hashlib.sha256(token.encode()).hexdigest(), "token_expires": expires}
        for device, token in tokens.items()
    ]
    leaf = load_certificate(factory_made.certificate).public_bytes(serialization.Encoding.DER)
    entries.append({"device": FACTORY_MADE, "certificate": base64.b64encode(leaf).decode()})
    document = {"format": FORMAT, "site": "demo", "gateway": "gateway", "batch": "late", "devices": entries}
    text = base64.b64encode(json.dumps(document).encode()).decode()
    site.on_the_pi(
        f"echo {text} | base64 -d | runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway import --json"
    )

    def run(device) -> Client:
        key = keys.new_key()
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        der = base64.b64encode(csr.public_bytes(serialization.Encoding.DER)).decode()
        body = json.dumps({"device": device, "token": tokens[device], "csr": der})
        status, answer = Visitor(site, given / "devices.pem").ask("https", "POST", "/v1/enrol", body)
        assert status == 200, answer
        leaf = x509.load_der_x509_certificate(base64.b64decode(json.loads(answer)["certificate"]))
        return site.client(device, key, leaf)

    return run


@pytest.fixture(scope="module")
def staying(site, given, enrol):
    """The session of a device that is opened before anything changes."""
    with Session(Visitor(site, given / "devices.pem", enrol("staying")), "mqtt", "staying") as session:
        yield session


@pytest.fixture(scope="module")
def knocker(site, given, enrol, factory_made, staying):
    knocker = Knocker()
    watch(site, given, knocker, "early", enrol("early"))
    watch(site, given, knocker, FACTORY_MADE, factory_made)
    knocker.add("staying", staying.ping)
    first_day = Client(given / "alice.key", given / "alice.crt")
    for name, client in (("alice", site.operator()), ("alice as on the first day", first_day)):
        visitor = Visitor(site, given / "operators.pem", client)
        knocker.add(f"{name}, HTTPS", partial(visitor.page, "operators"))
        knocker.add(f"{name}, MQTT", partial(visitor.session, "mqtt_operators", "knocking"))
    with Session(visitor, "mqtt_operators", "alice-staying") as session:
        knocker.add("alice, staying", session.ping)
        knocker.start()
        yield knocker
        knocker.stop()


def watch(site, given, knocker, device, client):
    visitor = Visitor(site, given / "devices.pem", client)
    knocker.add(f"{device}, HTTPS", partial(visitor.page, "https"))
    knocker.add(f"{device}, MQTT", partial(visitor.session, "mqtt", device))


def roll(site, kind, step="start", *arguments):
    variables = ("-e", f"ca_rollover={kind}", "-e", f"ca_rollover_step={step}")
    return site.playbook("ca_rollover.yml", *variables, *PLAYS, *arguments)


def rolled(site, kind, step="start", *arguments):
    done = roll(site, kind, step, *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    return done


def connections(site) -> int:
    return site.console(BOARD).count("connected to the broker")


def start_again(site):
    """Switch the board off and on; it greets its gateway, takes the bundle that it is offered, and talks."""
    before = connections(site)
    fleet.stop(fleet.slots(site.state)[site.board_of(BOARD) - 1])
    fleet.up(site.state, demo.BOARDS)
    wait_for(lambda: connections(site) > before, PATIENCE)
    assert site.nvs(site.board_of(BOARD))["bundle"] == (site.state / "ca/bundle.bin").read_bytes()


def served(site, root) -> set[str]:
    """At which listeners the usual programs, which take a root only, are served with this one as all of their trust."""
    client = site.operator()
    message = ("-t", "x", "-m", "x", "-q", "1")
    command = site.mosquitto_command("mosquitto_pub", "mqtt_operators", client, *message, trust=root)
    sent = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    status, _ = site.curl("operators", "/", client, "--cacert", str(root))
    return {listener for listener, good in {"MQTT": sent.returncode == 0, "HTTPS": status == 200}.items() if good}


def trusted_on_the_pi(site) -> dict[str, tuple[int, int]]:
    """How many CAs each listener of each server trusts, and how many lists it has."""
    said = site.on_the_pi(
        "for f in nginx/fleetmint/devices nginx/fleetmint/operators mosquitto/fleetmint/devices"
        " mosquitto/fleetmint/operators; do"
        " echo $f $(grep -c BEGIN /etc/$f.ca.pem) $(grep -c BEGIN /etc/$f.crl.pem); done"
    )
    return {
        listener: (int(cas), int(lists)) for listener, cas, lists in re.findall(r"(\S+s) (\d+) (\d+)", said.decode())
    }


def test_the_device_ca_is_replaced_under_connected_clients(site, given, knocker, enrol):
    old = load_certificate(site.state / "ca/device-gateway/ca.crt")
    before = connections(site)
    done = rolled(site, "device")
    assert "ends the old one when none of its certificates is valid any more" in " ".join(done.stdout.split())
    late = enrol("late-device")
    assert not issued_by(load_certificate(late.certificate), old)
    assert issued_by(load_certificate(late.certificate), load_certificate(site.state / "ca/device-gateway/ca.crt"))
    watch(site, given, knocker, "late-device", late)
    assert connections(site) == before
    assert knocker.refused == []


def test_the_sealed_server_ca_comes_into_service_under_connected_clients(site, given, knocker, enrol):
    before = connections(site)
    rolled(site, "server")
    watch(site, given, knocker, "late-server", enrol("late-server"))
    assert connections(site) == before
    start_again(site)
    assert knocker.refused == []


def test_a_new_root_is_trusted_beside_the_old_one_and_nobody_notices(site, given, knocker):
    before = connections(site)
    rolled(site, "root")
    new = (site.state / "ca/incoming/root/ca.crt").read_bytes()
    (given / "new-root.pem").write_bytes(new)
    assert served(site, given / "old-root.pem") == EVERY_LISTENER
    assert served(site, given / "new-root.pem") == set()
    assert site.plain("/root-ca.crt")[1].count("BEGIN") == 2
    # Now people are given the new one beside the old one.
    both = given / "both.pem"
    both.write_bytes((given / "old-root.pem").read_bytes() + new)
    both.replace(given / "operators.pem")
    assert connections(site) == before
    assert knocker.refused == []


def test_the_gateways_show_the_new_root_from_the_switch_on(site, given, knocker, enrol):
    before = connections(site)
    rolled(site, "root", "switch")
    assert served(site, given / "new-root.pem") == EVERY_LISTENER
    assert served(site, given / "old-root.pem") == set()
    assert served(site, given / "operators.pem") == EVERY_LISTENER
    watch(site, given, knocker, "late-root", enrol("late-root"))
    assert connections(site) == before
    start_again(site)
    assert knocker.refused == []


def test_the_old_server_ca_and_the_old_root_are_retired_and_nobody_notices(site, given, knocker):
    before = connections(site)
    rolled(site, "server", "retire")
    rolled(site, "root", "retire")
    assert served(site, given / "new-root.pem") == EVERY_LISTENER
    assert connections(site) == before
    start_again(site)
    assert knocker.refused == []


def test_a_device_with_an_old_certificate_is_still_revoked_within_seconds(site, knocker):
    thief = site.stolen(BOARD)
    assert site.curl("https", "/", thief)[0] == 200
    ended = site.console(BOARD).count("the broker ended the session")
    done = site.playbook("revoke.yml", "--extra-vars", f"device={BOARD}")
    assert done.returncode == 0, done.stdout[-3000:]
    wait_for(lambda: site.console(BOARD).count("the broker ended the session") > ended, PATIENCE)
    assert site.curl("https", "/", thief)[0] == 401
    assert knocker.refused == []


def test_the_old_device_ca_is_not_retired_while_a_device_hangs_on_it(site, knocker):
    refused = roll(site, "device", "retire")
    assert refused.returncode != 0
    assert "valid certificate" in refused.stdout
    assert "ca_rollover_force=true" in refused.stdout
    assert knocker.refused == []


def test_a_device_ca_that_is_retired_by_force_takes_its_devices_and_their_sessions_with_it(
    site, given, knocker, enrol, staying, factory_made
):
    knocker.stop()
    assert knocker.refused == []
    assert min(knocker.accepted.values()) > 0, knocker.accepted
    old, new = (Client(site.scratch / f"{name}.key", site.scratch / f"{name}.crt") for name in ("early", "late-device"))
    staying.ping()
    rolled(site, "device", "retire", "-e", "ca_rollover_force=true")
    with pytest.raises((OSError, AssertionError)):
        staying.ping()
    trust = given / "devices.pem"
    assert Visitor(site, trust, old).ask("https")[0] == 401
    with pytest.raises((OSError, AssertionError)):
        Visitor(site, trust, old).session("mqtt", "early")
    for name, client in (("late-device", new), (FACTORY_MADE, factory_made), ("late-retired", enrol("late-retired"))):
        Visitor(site, trust, client).page("https")
        Visitor(site, trust, client).session("mqtt", name)


def test_when_all_is_over_nothing_is_left_of_the_old_ones_and_the_playbooks_change_nothing(site):
    done = site.playbook("deploy.yml", *PLAYS)
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(re.findall(r"changed=(\d+)", done.stdout)) == {"0"}, done.stdout
    counts = {"devices": (3, 3), "operators": (2, 2)}
    listeners = {
        f"{server}/fleetmint/{listener}": counts[listener] for server in ("nginx", "mosquitto") for listener in counts
    }
    assert trusted_on_the_pi(site) == listeners
    site.on_the_pi('test -z "$(ls /etc/fleetmint/device-ca/crl-only)"')
    shown = site.fleetmint("ca", "show", "--state", str(site.state))
    assert "demo root G2" in shown.stdout
    assert "Under way" not in shown.stdout
