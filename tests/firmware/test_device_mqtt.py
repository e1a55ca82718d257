"""The MQTT client against a broker behind mutual TLS."""

import pytest

from fleetmint.x509.authority import pem
from tests.support.gateway_double import server_context, serving
from tests.support.mqtt_broker import Broker

pytestmark = pytest.mark.micropython

SESSION = """
import asyncio, time
from agent import mqtt, stream
from agent.errors import *
received = []
certificate, key = [bytes.fromhex(part) for part in identity]
async def session():
    trusted = [bytes.fromhex(anchor) for anchor in anchors]
    link = await stream.Stream.open(stream.context(trusted, certificate, key), "localhost", port)
    on_message = lambda topic, payload: received.append([topic, payload.decode()])
    too_large = lambda topic, size: received.append([topic.decode(), size, "too large"])
    client = mqtt.Mqtt(link, on_message, keepalive, within, too_large if dropped else None)
    await client.connect("pump-0001")
    SCRIPT
    await client.close(True)
async def arrived(count):
    for _ in range(200):
        if len(received) >= count: return
        await asyncio.sleep_ms(10)
try:
    asyncio.run(session())
    result(["done", received])
except Problem as error:
    result([type(error).__name__, str(error)])
"""


@pytest.fixture
def session(board, site, tmp_path):
    def run(broker, *lines, keepalive=60, within=5000, identity=None, dropped=False):
        chain, key = site.server("localhost").files(tmp_path / "broker")
        trust = tmp_path / "trust.pem"
        trust.write_bytes(pem(site.device_ca.certificate))
        shown = identity or site.device()
        with serving(server_context(chain, key, trust), broker.handle) as port:
            return board.run(
                SESSION.replace("SCRIPT", "\n    ".join(lines)),
                anchors=[anchor.hex() for anchor in site.anchors],
                identity=[shown.der.hex(), shown.key_der.hex()],
                port=port,
                keepalive=keepalive,
                within=within,
                dropped=dropped,
            )

    return run


def test_a_message_is_published_and_acknowledged(session):
    broker = Broker()
    assert session(broker, 'await client.publish("a/b", b"one")', 'await client.publish("a/b", b"two")') == ["done", []]
    assert broker.messages == [("a/b", b"one"), ("a/b", b"two")]
    assert broker.sessions == [("pump-0001", "pump-0001")]


def test_a_message_of_a_few_kilobytes_is_published(session):
    broker = Broker()
    assert session(broker, 'await client.publish("a/b", b"x" * 3000)')[0] == "done"
    assert broker.messages == [("a/b", b"x" * 3000)]


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_to_the_device_arrives_and_is_acknowledged_when_asked(session, qos):
    broker = Broker(greeting=[("a/in/set", b"x" * 200, qos)])
    lines = ('await client.subscribe("a/in/#")', "await arrived(1)")
    assert session(broker, *lines) == ["done", [["a/in/set", "x" * 200]]]
    assert broker.acknowledged == qos


def test_messages_that_come_together_all_arrive(session):
    broker = Broker(greeting=[("a/in/set", str(n).encode(), 1) for n in range(3)])
    lines = ('await client.subscribe("a/in/#")', "await arrived(3)")
    assert session(broker, *lines) == ["done", [["a/in/set", str(n)] for n in range(3)]]


def test_a_message_that_comes_before_an_acknowledgement_is_not_lost(session):
    broker = Broker(greeting=[("a/in/set", b"on", 1)])
    lines = ('await client.subscribe("a/in/#")', 'await client.publish("a/b", b"one")')
    assert session(broker, *lines) == ["done", [["a/in/set", "on"]]]


@pytest.mark.parametrize("size", [4080, 5000, 70_000])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_longer_than_the_device_can_take_is_dropped_and_acknowledged_and_the_session_goes_on(
    session, qos, size
):
    broker = Broker(greeting=[("a/in/big", b"x" * size, qos, True), ("a/in/set", b"on", 1)])
    lines = ('await client.subscribe("a/in/#")', 'await client.publish("a/b", b"one")', "await arrived(2)")
    kind, received = session(broker, *lines, dropped=True)
    packet = size + 2 + len("a/in/big") + 2 * qos
    if packet > 4096:
        assert (kind, received) == ("done", [["a/in/big", packet, "too large"], ["a/in/set", "on"]])
    else:
        assert (kind, received) == ("done", [["a/in/big", "x" * size], ["a/in/set", "on"]])
    assert broker.acknowledged == qos + 1
    assert broker.messages == [("a/b", b"one")]


@pytest.mark.parametrize("when", ["before the reply to a subscription", "before that to a message"])
def test_a_message_that_is_too_long_may_come_before_any_reply(session, when):
    broker = Broker(greeting=[("a/in/" + "t" * 5000, b"x" * 5000, 1)], greets_first=when.endswith("subscription"))
    lines = ('await client.subscribe("a/in/#")', 'await client.publish("a/b", b"one")')
    kind, received = session(broker, *lines, dropped=True)
    assert (kind, received[0][1:]) == ("done", [10_009, "too large"])
    assert received[0][0] == "a/in/" + "t" * 251
    assert (broker.acknowledged, broker.messages) == (1, [("a/b", b"one")])


def test_a_silent_session_is_kept_alive(session):
    broker = Broker()
    assert session(broker, "await asyncio.sleep_ms(1500)", "client.check()", keepalive=1)[0] == "done"
    assert broker.pings >= 2


def test_a_refused_session_is_told_apart(session):
    assert session(Broker(return_code=5)) == ["Refused", "the broker refuses the session: not authorised"]
    assert session(Broker(return_code=3)) == ["Problem", "the broker is not available"]


def test_an_acknowledgement_that_never_comes_is_given_up(session):
    broker = Broker(silent_after=0)
    assert session(broker, 'await client.publish("a/b", b"one")', within=300) == [
        "Problem",
        "the broker does not answer",
    ]


def test_a_session_that_the_broker_ends_is_noticed(session):
    kind, _ = session(Broker(drop_at=1), 'await client.publish("a/b", b"one")')
    assert kind in ("Problem", "Dropped")


def test_a_certificate_of_another_ca_gets_no_session(session, foreign_site):
    broker = Broker()
    assert session(broker, identity=foreign_site.device())[0] == "Dropped"
    assert broker.sessions == []
