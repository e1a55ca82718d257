"""The MQTT session of the C core: with a real broker, and with brokers that do what none should."""

import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from tests.support.c_lines import data, talk
from tests.support.firmware_site import make_site
from tests.support.real_broker import MOSQUITTO, RealBroker

OPEN = b"\x20\x02\x00\x00"


@pytest.fixture(scope="session")
def mqtt(build):
    return build.program("test/mqtt.c", "test/lines.c", *build.sources)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if MOSQUITTO is None or shutil.which("mosquitto_sub") is None:
        pytest.skip("no mosquitto: scripts/setup test installs mosquitto and mosquitto-clients")
    made = RealBroker(make_site(datetime.now(UTC).replace(microsecond=0)), tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.stop()


def begin(device, port, name="pump-0001", *, will=("", ""), keepalive=60, within=5000, room=256, piece=0):
    return device("begin", port, name, *will, keepalive, within, room, piece)


def patience(result):
    """Milliseconds in which an answer has to come: few only where none comes, since others use this machine as well."""
    return 700 if result == "TIMEOUT" else 15_000


def publish_to(broker, topic, payload, *options):
    command = ["mosquitto_pub", "-p", str(broker.watchers), "-t", topic, "-q", "1", "-s", *options]
    subprocess.run(command, input=payload, check=True)


def live_until(device, wanted):
    """What the device is told, until `wanted` is among it."""
    told = []
    for _ in range(100):
        *events, result = device("live", 50)
        assert result == "0", (result, told)
        told += events
        if wanted.hex() in told:
            return told
    raise AssertionError(told)


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_a_real_broker_takes_messages_and_gives_them(mqtt, broker, piece):
    topic = f"devices/pump/out/{piece}"
    broker.watch(topic)
    with talk(mqtt) as device:
        assert begin(device, broker.watchers, piece=piece) == ["0", "0"]
        assert device("subscribe", f"devices/pump/in/{piece}/#") == ["0"]
        assert device("publish", topic, "first", 0) == ["0"]
        assert device("publish", topic, "x" * 3000, 0) == ["0"]
        assert device("publish", f"{topic}/kept", "", 0) == ["0"]
        assert device("publish", f"{topic}/status", "here", 1) == ["0"]
        publish_to(broker, f"devices/pump/in/{piece}/grün", b"hello")
        publish_to(broker, f"devices/pump/in/{piece}/door", b"world")
        told = live_until(device, b"world")
        assert [data(word).decode() for word in (*told[1:3], *told[4:6])] == [
            f"devices/pump/in/{piece}/grün", "hello", f"devices/pump/in/{piece}/door", "world",
        ]  # fmt: skip
        assert device("leave") == ["0"]
    assert broker.watched(topic, 2) == ["first", "x" * 3000]
    assert broker.retained(f"{topic}/status") == "here"


def test_the_will_is_said_after_a_lost_connection_and_not_after_a_farewell(mqtt, broker):
    for name, ends, kept in (("leaver", "leave", ""), ("loser", "close", "gone")):
        with talk(mqtt) as device:
            assert begin(device, broker.watchers, name, will=(f"devices/{name}/out/status", "gone")) == ["0", "0"]
            device(ends)
            device("close")
        if kept:
            broker.wait_for_retained(f"devices/{name}/out/status", kept)
        assert broker.retained(f"devices/{name}/out/status") == kept


@pytest.mark.parametrize("piece", [0, 5])
def test_a_message_that_is_too_large_is_passed_over_and_comes_once(mqtt, broker, piece):
    with talk(mqtt) as device:
        assert begin(device, broker.watchers, "small", room=64, piece=piece) == ["0", "0"]
        assert device("subscribe", f"large/{piece}/#") == ["0"]
        topics = [f"large/{piece}/t", f"large/{piece}/" + "t" * 25, f"large/{piece}/" + "t" * 200]
        for topic in topics:
            publish_to(broker, topic, b"x" * 5000)
        publish_to(broker, f"large/{piece}", b"small")
        told = live_until(device, b"small")
    assert told[::3] == ["large", "large", "large", "message"]
    # of the topic there is so much as half of the room holds
    assert [data(word).decode() for word in told[1:9:3]] == [topic[:30] for topic in topics]
    assert [int(word) for word in told[2:9:3]] == [2 + len(topic) + 2 + 5000 for topic in topics]


def test_a_silent_session_is_kept_open_by_pings(mqtt, broker):
    with talk(mqtt) as device:
        assert begin(device, broker.watchers, "silent", keepalive=1) == ["0", "0"]
        # The broker ends a session that was silent for one and a half times as long.
        assert device("live", 2500) == ["0"]
        assert device("publish", "t", "still here", 0) == ["0"]
    with talk(mqtt) as device:
        assert begin(device, broker.watchers, "ended") == ["0", "0"]
        assert begin(device, broker.watchers, "other") == ["0", "0"]


def test_a_broker_that_goes_ends_the_session(mqtt, broker):
    with talk(mqtt) as device:
        assert begin(device, broker.watchers, "left") == ["0", "0"]
        broker.stop()
        try:
            assert device("live", 5000) == ["CLOSED"]
            assert device("publish", "t", "nobody hears", 0) == ["CLOSED"]
            assert device("leave") == ["CLOSED"]
        finally:
            broker.start()


@contextmanager
def pretending(*replies):
    """The port of something that answers each packet with the next of these bytes, and then says nothing more."""

    def serve():
        connection, _ = server.accept()
        # A client that has not read everything closes with a reset.
        with connection, suppress(ConnectionResetError):
            for reply in replies:
                if not connection.recv(4096):
                    return
                if reply is None:
                    return
                connection.sendall(reply)
            while connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (OPEN, ["0", "0"]),
        (b"\x20\x02\x00\x01", ["REFUSED", "1"]),
        (b"\x20\x02\x00\x02", ["REFUSED", "2"]),
        (b"\x20\x02\x00\x03", ["IO", "3"]),
        (b"\x20\x02\x00\x04", ["REFUSED", "4"]),
        (b"\x20\x02\x00\x05", ["REFUSED", "5"]),
        (b"\x20\x02\x00\xff", ["REFUSED", "255"]),
        (b"\x20\x03\x00\x00\x00", ["BAD", "0"]),
        (b"\x20\x00", ["BAD", "0"]),
        (b"\x30\x05\x00\x01tok", ["BAD", "0"]),
        (b"\x30\xff\xff\x01", ["BAD", "0"]),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ["BAD", "0"]),
        (b"\xff" * 50, ["BAD", "0"]),
        (b"\x20\x02\x00", ["TIMEOUT", "0"]),
        (b"", ["TIMEOUT", "0"]),
        (None, ["CLOSED", "0"]),
    ],
)
def test_only_a_broker_that_accepts_the_client_opens_a_session(mqtt, reply, answer):
    with pretending(reply) as port, talk(mqtt) as device:
        assert begin(device, port, within=patience(answer[0])) == answer
        device("close")


@pytest.mark.parametrize(
    ("packets", "result"),
    [
        (b"\x30\x05\x00\x01tok", "0"),
        (b"\x30\x03\x00\x01t", "0"),
        (b"\x32\x07\x00\x01t\x00\x09ok", "0"),
        (b"\xd0\x00", "0"),
        # QoS 2 and 3 were never asked for
        (b"\x34\x07\x00\x01t\x00\x09ok", "BAD"),
        (b"\x36\x07\x00\x01t\x00\x09ok", "BAD"),
        # a topic that does not fit, is cut, is no text
        (b"\x30\x03\x00\x02t", "BAD"),
        (b"\x32\x04\x00\x01t\x00", "BAD"),
        (b"\x30\x01\x00", "BAD"),
        (b"\x30\x00", "BAD"),
        (b"\x30\x04\x00\x01\xffo", "BAD"),
        (b"\x30\x04\x00\x01\x00o", "BAD"),
        # too large, with a topic that is larger still
        (b"\x30\x80\x08\xff\xff" + b"t" * 1022, "BAD"),
        (b"\x34\x80\x08\x00\x01" + b"t" * 1022, "BAD"),
        # answers to what nobody asked
        (b"\x40\x02\x00\x01", "BAD"),
        (b"\x90\x03\x00\x01\x00", "BAD"),
        (b"\x20\x02\x00\x00", "BAD"),
        (b"\xd0\x01\x00", "BAD"),
        (b"\xe0\x00", "BAD"),
        (b"\x40\x81\x08", "BAD"),
        (b"\x30\xff\xff\xff\xff\x01", "BAD"),
        # half of a packet
        (b"\x30\x05\x00\x01t", "TIMEOUT"),
        (b"\x30", "TIMEOUT"),
        (b"\x30\x80\x08\x00\x01t", "TIMEOUT"),
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
def test_what_no_broker_sends_ends_the_session(mqtt, packets, result, piece):
    with pretending(OPEN + packets) as port, talk(mqtt) as device:
        assert begin(device, port, within=patience(result), piece=piece)[0] in ("0", result)
        assert device("live", 1000 if result == "TIMEOUT" else 200)[-1] == result
        device("close")


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (b"\x40\x02\x00\x01", "0"),
        (b"\x32\x07\x00\x01t\x00\x09ok" + b"\x40\x02\x00\x01", "0"),
        (b"\x40\x02\x00\x02", "BAD"),
        (b"\x40\x03\x00\x01\x00", "BAD"),
        (b"\x90\x03\x00\x01\x00", "BAD"),
        (b"", "TIMEOUT"),
        (None, "CLOSED"),
    ],
)
def test_a_message_is_taken_over_only_when_its_own_acknowledgement_comes(mqtt, reply, result):
    with pretending(OPEN, reply) as port, talk(mqtt) as device:
        assert begin(device, port, within=patience(result)) == ["0", "0"]
        assert device("publish", "t", "x", 0)[-1] == result
        device("close")


def test_a_subscription_that_is_refused_is_told(mqtt):
    with pretending(OPEN, b"\x90\x03\x00\x01\x80") as port, talk(mqtt) as device:
        assert begin(device, port) == ["0", "0"]
        assert device("subscribe", "#") == ["REFUSED"]
        device("close")


def test_a_ping_without_an_answer_ends_the_session(mqtt):
    with pretending(OPEN) as port, talk(mqtt) as device:
        assert begin(device, port, keepalive=1, within=patience("TIMEOUT")) == ["0", "0"]
        assert device("live", 5000) == ["TIMEOUT"]
        device("close")
