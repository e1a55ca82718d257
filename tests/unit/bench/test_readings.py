"""Readings, from a broker that is only as much of one as the test needs."""

import contextlib
import socket
import ssl
import threading
import time
import types
from datetime import UTC, datetime

import pytest

from fleetmint.bench.enrolment_check import EnrolmentCheck
from fleetmint.bench.readings import Reading, readings
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.site.broker import Message
from fleetmint.site.client import Gateway
from fleetmint.site.state import Site
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem

SESSION = types.SimpleNamespace()


def write_pair(authority, profile, name, path, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    key = keys.new_key()
    leaf = authority.issue(profile, key.public_key(), name, now=datetime.now(UTC), **more)
    path.with_name(f"{name}.crt").write_bytes(pem(leaf, authority.certificate))
    path.with_name(f"{name}.key").write_bytes(keys.plain_pem(key))


@pytest.fixture
def now():
    return datetime.now(UTC)


@pytest.fixture
def broker_for_devices(hierarchy, tmp_path):
    """The port of a broker that takes certificates of the factory CA only, and never gets as far as MQTT."""
    write_pair(hierarchy.authority("server"), "server", "localhost", tmp_path / "broker" / "x", sans=["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "broker/localhost.crt", tmp_path / "broker/localhost.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(tmp_path / "ca/factory/ca.crt")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(2):  # the second asks why the first was refused
                connection, _ = server.accept()
                with connection, contextlib.suppress(ssl.SSLError):
                    context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_who_is_refused_is_told_so_instead_of_waiting(hierarchy, broker_for_devices, tmp_path):
    write_pair(hierarchy.authority("operator"), "operator", "eve@test", tmp_path / "issued/operators/x")
    gateway = Gateway(Site(tmp_path), "gateway", "eve@test", "localhost", 1, broker_for_devices)
    with pytest.raises(FleetmintError, match=r"certificate of eve@test comes from a CA that it does not know"):
        list(readings(gateway, 10))


@pytest.fixture
def heard(monkeypatch):
    """What comes of a message of a device."""

    def run(payload):
        message = Message("devices/lamp-000001/out/readings", payload, 1.0, retained=False)
        monkeypatch.setattr("fleetmint.bench.readings.Session", lambda *_: contextlib.nullcontext(SESSION))
        monkeypatch.setattr(SESSION, "messages", lambda _seconds: [message], raising=False)
        (reading,) = readings(None, 1)
        return reading

    return run


@pytest.mark.parametrize("payload", [b"[" * 200_000, b"\xff\xfe", b"", b"7"])
def test_no_device_can_end_the_listening_with_what_it_says(heard, payload):
    assert heard(payload).device == "lamp-000001"


def test_a_station_that_cannot_listen_any_more_blames_no_board(tmp_path, monkeypatch):
    def ends(_gateway, _seconds):
        yield Reading("lamp-000001", time.time() + 3600, {})
        raise KeyError("something unforeseen")

    monkeypatch.setattr("fleetmint.bench.enrolment_check.readings", ends)
    hello = EnrolmentCheck(Gateway(Site(tmp_path), "gateway", "eve@test", "localhost", 1, 1), 60)
    with pytest.raises(FleetmintError, match="unforeseen KeyError"):
        hello.start()
    hello("lamp-000001")
    with pytest.raises(BurnError, match="was not tested") as caught:
        hello("lamp-000002")
    assert caught.value.code is BurnCode.MONITOR_LOST


def test_a_reading_that_the_broker_kept_is_no_sign_of_life(tmp_path, monkeypatch):
    def kept(_gateway, _seconds):
        yield Reading("lamp-000001", time.time() + 3600, {}, retained=True)
        yield Reading("lamp-000002", time.time() + 3600, {})
        time.sleep(5)

    monkeypatch.setattr("fleetmint.bench.enrolment_check.readings", kept)
    monkeypatch.setattr("fleetmint.bench.enrolment_check._REFUSED_SECONDS", 0)
    hello = EnrolmentCheck(Gateway(Site(tmp_path), "gateway", "eve@test", "localhost", 1, 1), 0.5)
    hello.start()
    hello("lamp-000002")
    with pytest.raises(BurnError, match="was not heard of") as caught:
        hello("lamp-000001")
    assert caught.value.code is BurnCode.NOT_HEARD
