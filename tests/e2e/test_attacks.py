"""What the holder of a client CA's key could sign, and old lists, before the real servers and the real firmware.

Each attack has its control beside it: the same knock with what is genuine gets in, so a refusal is about the forgery.
"""

import contextlib
import ipaddress
import re
import shlex
import shutil
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.nvs import keys as nvs_keys
from fleetmint.trust import bundle
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import Authority
from fleetmint.x509.profiles import PROFILES
from tests.e2e.site import Client, wait_for
from tests.support.firmware_boards import Board
from tests.support.gateway_double import http, reply, server_context, serving
from virtual import demo
from virtual.esp32 import fleet
from virtual.esp32.micropython import find
from virtual.purpose import ROOT

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
# listener → the CAs whose leaves get in there, their OU, and a name
LISTENERS = {
    "mqtt": (("device-gateway", "factory"), "devices", "attacker-1"),
    "https": (("device-gateway", "factory"), "devices", "attacker-1"),
    "mqtt_operators": (("operator",), "operators", "mallory@demo"),
    "operators": (("operator",), "operators", "mallory@demo"),
}
LISTENERS_OF_CAS = [(listener, ca) for listener, (cas, _, _) in LISTENERS.items() for ca in cas]


@dataclass(frozen=True)
class Forgery:
    """What is wrong with a leaf; without anything it is what its CA would issue."""

    unit: str | None = None
    sans: tuple[x509.GeneralName, ...] = ()
    is_ca: bool = False
    usage: x509.ObjectIdentifier = field(default=CLIENT)


FORGERIES = {
    "another OU": Forgery(unit="gateways"),
    "the other clients' OU": Forgery(unit="the other"),
    "extra DNS name": Forgery(sans=(x509.DNSName("localhost"),)),
    "extra address": Forgery(sans=(x509.IPAddress(ipaddress.ip_address("127.0.0.1")),)),
    "extra e-mail address": Forgery(sans=(x509.RFC822Name("alice@example.org"),)),
    "extra URI": Forgery(sans=(x509.UniformResourceIdentifier("https://alice.example/"),)),
    "server's usage": Forgery(usage=SERVER),
}


def mint(ca: Authority, subject: x509.Name, key, forgery: Forgery) -> x509.Certificate:
    """Sign what somebody with the CA's key could sign."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(forgery.is_ca, None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([forgery.usage]), critical=False)
    )
    if forgery.sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(forgery.sans), critical=False)
    return builder.sign(ca.key, hashes.SHA256())


def forged(site, listener: str, ca: str, forgery: Forgery) -> Client:
    authority, key = site.hierarchy.authority(ca), keys.new_key()
    _, unit, name = LISTENERS[listener]
    other = "operators" if unit == "devices" else "devices"
    units = {None: unit, "the other": other}
    subject = names.subject("demo", units.get(forgery.unit, forgery.unit), name)
    return site.client("forged", key, mint(authority, subject, key, forgery), authority.certificate)


@pytest.fixture
def let_in(site):
    """Say whether a server lets a client through its TLS, whatever the ledger then says about it."""

    def knock(listener: str, client: Client) -> bool:
        if listener.startswith("mqtt"):
            return (
                site.mosquitto("mosquitto_pub", listener, client, "-t", "x", "-m", "x", "-i", "knock").returncode == 0
            )
        status, body = site.curl(listener, "/", client)
        assert status in (200, 401, 403), body
        return status != 401

    return knock


@pytest.mark.parametrize(("listener", "ca"), LISTENERS_OF_CAS)
def test_what_the_ca_would_issue_is_let_in(site, let_in, listener, ca):
    assert let_in(listener, forged(site, listener, ca, Forgery()))


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
@pytest.mark.parametrize(("listener", "ca"), LISTENERS_OF_CAS)
def test_a_forged_leaf_is_refused(site, let_in, listener, ca, forgery):
    assert not let_in(listener, forged(site, listener, ca, forgery))


@pytest.mark.parametrize(
    ("listener", "ca"), [(listener, ca) for listener, ca in LISTENERS_OF_CAS if not listener.startswith("mqtt")]
)
def test_a_leaf_that_calls_itself_a_ca_gets_no_page(site, listener, ca):
    # OpenSSL lets a CA be a client, strict or not, so the service refuses it. Mosquitto has nobody to ask: there it is
    # the device or operator that it names, which whoever holds the CA's key can be anyway, and it can sign for nobody.
    status, body = site.curl(listener, "/", forged(site, listener, ca, Forgery(is_ca=True)))
    assert status == 403
    assert "of another kind" in body


@pytest.mark.parametrize(("listener", "ca"), LISTENERS_OF_CAS)
def test_what_a_leaf_that_calls_itself_a_ca_has_signed_is_refused(site, let_in, listener, ca):
    authority, between, key = site.hierarchy.authority(ca), keys.new_key(), keys.new_key()
    _, unit, name = LISTENERS[listener]
    middle = mint(authority, names.subject("demo", unit, f"{name}-ca"), between, Forgery(is_ca=True))
    leaf = mint(Authority(middle, between), names.subject("demo", unit, name), key, Forgery())
    assert not let_in(listener, site.client("deep", key, leaf, middle, authority.certificate))


# profile → its CA, a name, and the listeners it opens
CLIENTS = {
    "device": ("device-gateway", "attacker-1", {"mqtt", "https"}),
    "factory-device": ("factory", "attacker-1", {"mqtt", "https"}),
    "operator": ("operator", "mallory@demo", {"mqtt_operators", "operators"}),
    "operator-rsa": ("operator", "mallory@demo", {"mqtt_operators", "operators"}),
    "station": ("operator", "mallory@demo", {"mqtt_operators", "operators"}),
    "dashboard": ("operator", "mallory@demo", {"mqtt_operators", "operators"}),
}


@pytest.mark.parametrize(
    "profile", [name for name, profile in PROFILES.items() if profile.usage == CLIENT and not profile.is_ca]
)
def test_a_client_of_each_profile_is_let_in_at_its_own_listeners_and_no_other(site, let_in, profile):
    ca, name, listeners = CLIENTS[profile]
    authority, key = site.hierarchy.authority(ca), keys.new_leaf_key(PROFILES[profile].key_kind)
    leaf = authority.issue(profile, key.public_key(), name, now=datetime.now(UTC))
    client = site.client(profile, key, leaf, authority.certificate)
    assert {listener for listener in LISTENERS if let_in(listener, client)} == listeners


# --- an older list for a newer one ---

GATEWAY = "/opt/fleetmint/bin/fleetmint gateway"


def run_on_the_pi(site, command: str) -> tuple[int, str]:
    """Return exit code and all output of a shell command on the Pi, as root."""
    said = site.on_the_pi(f"{{ {command}; }} 2>&1; echo exit $?").decode().replace("\r", "")
    text, code = re.search(r"(?s)>>\n(.*)exit (\d+)", said).groups()
    return int(code), text


def put_on_the_pi(site, path: str, data: bytes) -> None:
    code, said = run_on_the_pi(site, f"printf %s {shlex.quote(data.decode())} > {path}")
    assert code == 0, said


def test_an_older_list_of_operators_is_refused_and_who_was_revoked_stays_out(site, let_in):
    key, authority = keys.new_key(), site.hierarchy.authority("operator")
    leaf = authority.issue("operator", key.public_key(), "mallory@demo", now=datetime.now(UTC))
    mallory, file = site.client("mallory", key, leaf), site.state / "ca/operator/crl.pem"
    older = file.read_bytes()
    assert let_in("operators", mallory)
    plan_authority_crl(site.hierarchy, "operator", [leaf.serial_number], datetime.now(UTC)).apply()
    place = "/etc/fleetmint/crl/operator.pem"
    put_on_the_pi(site, place, file.read_bytes())
    assert run_on_the_pi(site, f"{GATEWAY} publish")[0] == 0
    assert not let_in("operators", mallory)
    assert not let_in("mqtt_operators", mallory)
    try:
        put_on_the_pi(site, place, older)
        code, said = run_on_the_pi(site, f"{GATEWAY} publish")
        assert code != 0
        assert "an older list would forget revocations" in said
        for server in ("nginx", "mosquitto"):
            assert run_on_the_pi(site, f"systemctl reload {server}")[0] == 0
        assert not let_in("operators", mallory)
        assert not let_in("mqtt_operators", mallory)
        assert let_in("operators", site.operator())
    finally:
        put_on_the_pi(site, place, file.read_bytes())
    assert run_on_the_pi(site, f"{GATEWAY} publish")[0] == 0


def test_an_older_list_of_devices_is_refused_and_the_next_signing_mends_it(site):
    place = "/var/lib/fleetmint/crl/device.pem"
    sign = f"runuser --user=fleetmint -- {GATEWAY} sign-crl"
    bundles = "sha256sum /etc/nginx/fleetmint/devices.crl.pem /etc/mosquitto/fleetmint/devices.crl.pem"
    older = run_on_the_pi(site, f"cat {place}")[1].encode()
    assert run_on_the_pi(site, f"{sign} --force && {GATEWAY} publish")[0] == 0
    before = run_on_the_pi(site, bundles)
    put_on_the_pi(site, place, older)
    code, said = run_on_the_pi(site, f"{GATEWAY} publish")
    assert code != 0
    assert "an older list would forget revocations" in said
    assert run_on_the_pi(site, bundles) == before
    code, said = run_on_the_pi(site, f"{sign} && {GATEWAY} publish")
    assert code == 0, said
    assert "was given out" in said


# --- a server that a client CA has signed, before MicroPython ---

GET = """
import asyncio
from agent import https, stream
from agent.errors import Problem
try:
    context = stream.context([bytes.fromhex(anchor) for anchor in anchors])
    result([asyncio.run(https.request(context, "localhost", port, "GET", "/")).status, ""])
except Problem as error:
    result([0, str(error)])
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Board:
    """MicroPython with the firmware's modules, as the boards of the site have them."""
    directory = tmp_path_factory.mktemp("firmware")
    shutil.copytree(ROOT / "firmware/agent", directory / "agent")
    (directory / "agent/nvs_keys.py").write_text(resources.files("fleetmint.nvs").joinpath("keys.py").read_text())
    return Board(find(), (directory,))


@pytest.fixture
def seen_by_a_board(site, board, tmp_path):
    """Return status and reason when MicroPython, trusting what is in a board's flash, meets a server of a CA."""

    def meet(ca: str, *above: x509.Certificate):
        authority, key = site.hierarchy.authority(ca), keys.new_key()
        forgery = Forgery(usage=SERVER, sans=(x509.DNSName("localhost"),))
        leaf = mint(authority, names.subject("demo", "gateways", "localhost"), key, forgery)
        client = site.client("server", key, leaf, authority.certificate, *above)
        context = server_context(client.certificate, client.key)
        with serving(context, http(lambda request: reply("200 OK"), [])) as port:
            trusted = bundle.decode(site.nvs(1)[nvs_keys.BUNDLE], "the board's trust bundle").anchors
            return board.run(GET, anchors=[anchor.hex() for anchor in trusted], port=port)

    return meet


@pytest.mark.parametrize("ca", ["server", "server-next"])
def test_a_board_takes_a_server_of_the_server_cas(seen_by_a_board, ca):
    assert seen_by_a_board(ca) == [200, ""]


@pytest.mark.parametrize("with_root", [False, True], ids=["chain", "chain and root"])
@pytest.mark.parametrize("ca", ["device-gateway", "factory", "operator", "root"])
def test_a_board_takes_no_server_of_any_other_ca_of_its_site(site, seen_by_a_board, ca, with_root):
    above = [site.hierarchy.authority("root").certificate] if with_root else []
    status, reason = seen_by_a_board(ca, *above)
    assert status == 0
    assert "not trusted" in reason


# --- what one stranger or one device can take of a gateway that belongs to all ---


@contextlib.contextmanager
def bare_connections(port: int, number: int):
    """Hold connections that never say a word, as many as are let through."""
    with contextlib.ExitStack() as held:
        found = []
        for _ in range(number):
            connection = held.enter_context(socket.socket())
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", port))
            found.append(connection)
        yield found


def an_operator_hears_a_device(site) -> bool:
    return len(site.readings(1, 12)) == 1


# 55 were enough before there were limits, and a reload made Mosquitto forget its own
@pytest.mark.parametrize("reloaded", [False, True], ids=["started", "reloaded"])
def test_bare_connections_do_not_keep_operators_out_of_the_broker(site, reloaded):
    if reloaded:
        assert run_on_the_pi(site, "systemctl reload mosquitto")[0] == 0
    with bare_connections(site.ports["mqtt_operators"], 400):
        assert an_operator_hears_a_device(site)


def test_thousands_of_connections_to_the_devices_listener_leave_descriptors_for_operators(site):
    with bare_connections(site.ports["mqtt"], 3000):
        wait_for(lambda: "packets 0" not in drops(site, "mqtt")[0])  # the firewall has had enough
        assert an_operator_hears_a_device(site)
        sockets = "ls /proc/$(pidof mosquitto)/fd | wc -l"
        assert int(run_on_the_pi(site, sockets)[1]) < 1500


def drops(site, chain: str) -> list[str]:
    table = "inet fleetmint_limits"
    code, said = run_on_the_pi(site, f"nft list chain {table} {chain} && nft list chain {table} rate")
    assert code == 0, said
    return sorted(re.findall(r"counter (packets \d+)", said), key=lambda text: -int(text.split()[1]))


@pytest.mark.parametrize("listener", ["https", "operators"])
def test_bare_connections_do_not_keep_operators_out_of_their_pages(site, listener):
    with bare_connections(site.ports[listener], 1500):
        assert site.curl("operators", "/v1/devices", site.operator(), "--max-time", "20")[0] == 200


class Device:
    """A device that says whatever somebody with its key can make it say: MQTT 3.1.1, section 2 and 3."""

    def __init__(self, site, name: str, *, clean: bool = True) -> None:
        self.socket = site.connect("mqtt", site.stolen(name))
        self.say(0x10, b"\0\4MQTT\4" + bytes([0x02 if clean else 0]) + b"\0\x3c" + self.text(name))
        assert self.socket.recv(4)[3] == 0

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @staticmethod
    def text(value: str) -> bytes:
        return len(value).to_bytes(2, "big") + value.encode()

    def say(self, kind: int, body: bytes) -> None:
        length, digits = len(body), b""
        while True:
            length, digit = divmod(length, 128)
            digits += bytes([digit | (0x80 if length else 0)])
            if not length:
                break
        self.socket.sendall(bytes([kind]) + digits + body)

    def retain(self, topic: str, payload: bytes) -> None:
        self.say(0x31, self.text(topic) + payload)


def retained_by(site, device: str) -> list[str]:
    """Return the topics at which an operator finds something."""
    topics = ("-t", f"devices/{device}/out/#", "--retained-only", "-F", "%t")
    return site.mosquitto("mosquitto_sub", "mqtt_operators", site.operator(), *topics, seconds=1).stdout.splitlines()


@pytest.fixture
def lamp_1_is_away(site):
    """Switch a board off, so that it and its thief do not end each other's sessions; nothing of the thief's stays."""
    fleet.stop(fleet.slots(site.state)[site.board_of("lamp-000001") - 1])
    yield "lamp-000001"
    with Device(site, "lamp-000001") as thief:
        for topic in retained_by(site, "lamp-000001"):
            thief.retain(topic, b"")
    # a watch that starts reads the database, which the broker writes every few minutes, or when it is told to
    watch, alarms = "fleetmint-broker-watch", "/var/lib/fleetmint-broker-watch/alarms.json"
    before, database = "/run/before", "/var/lib/mosquitto/mosquitto.db"
    forget = f"""systemctl stop {watch}; touch {before}; systemctl kill --signal=USR1 mosquitto
        timeout 20 sh -c 'until [ {database} -nt {before} ]; do sleep 0.1; done' || exit
        rm -f {alarms} {before}; systemctl start {watch}"""
    assert run_on_the_pi(site, forget)[0] == 0
    fleet.up(site.state, demo.BOARDS)


def test_a_device_that_retains_without_end_is_bounded_and_named(site, lamp_1_is_away):
    # its session is ended while it is at it, again and again
    for size, number in ((20_000, 12), (10, 1000)):
        for start in range(0, 6 * number, number):
            with contextlib.suppress(OSError), Device(site, lamp_1_is_away) as thief:
                for each in range(start, start + number):
                    thief.retain(f"devices/{lamp_1_is_away}/out/junk/{each}", b"x" * size)
        wait_for(lambda: 0 < len(retained_by(site, lamp_1_is_away)) <= 32)
    code, said = run_on_the_pi(site, f"{GATEWAY} audit")
    assert code == 1
    assert f"{lamp_1_is_away} in the broker: more than" in said
    assert an_operator_hears_a_device(site)


@pytest.mark.parametrize("clean", [True, False], ids=["for now", "kept"])
def test_a_session_with_subscriptions_without_end_is_ended_and_named(site, lamp_1_is_away, clean):
    with Device(site, lamp_1_is_away, clean=clean) as thief:
        with contextlib.suppress(OSError):
            for number in range(200):
                topic = f"devices/{lamp_1_is_away}/in/{'x' * 500}/{number}"
                thief.say(0x82, (number + 1).to_bytes(2, "big") + thief.text(topic) + b"\1")
        thief.socket.settimeout(10)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while thief.socket.recv(4096):  # until its session is ended, or time is up
                pass
    code, said = run_on_the_pi(site, f"{GATEWAY} audit")
    assert code == 1
    assert re.search(f"{lamp_1_is_away} in the broker: \\d+ subscriptions of \\d+ bytes", said)


@pytest.fixture
def forgotten_afterwards(site):
    """The service remembers who was wrong for a minute, or until it starts anew: other tests are wrong, too."""
    yield
    assert run_on_the_pi(site, "systemctl restart fleetmint")[0] == 0
    wait_for(lambda: site.curl("https", "/v1/enrol", None, "--data-binary", "{}")[0] == 400)


@pytest.mark.usefixtures("forgotten_afterwards")
def test_a_neighbours_wrong_tokens_do_not_keep_a_right_one_out(site):
    # the boards, this test and its neighbour all come from one address
    values = site.nvs(site.board_of("lamp-000001"))
    key = serialization.load_der_private_key(values[f"key{values['slot']}"], None)
    for device in ("lamp-000001", "lamp-009999"):
        answers = [site.enrol(device, f"{number:032x}", keys.new_key())[0] for number in range(24)]
        assert set(answers) == {403, 429}
        assert site.enrol("lamp-000001", site.batch_secrets()["lamp-000001"].token, key)[0] == 200
