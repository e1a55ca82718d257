"""Readings, from a broker that is only as much of one as the test needs."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest

from fleetmint.cli.readings import readings
from fleetmint.cli.site import Gateway
from fleetmint.errors import FleetmintError
from fleetmint.pki import keys
from fleetmint.pki.authority import pem


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
            connection, _ = server.accept()
            with connection, contextlib.suppress(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_who_is_refused_is_told_so_instead_of_waiting(hierarchy, broker_for_devices, tmp_path):
    write_pair(hierarchy.authority("operator"), "operator", "eve@test", tmp_path / "issued/operators/x")
    gateway = Gateway(tmp_path, "gateway", "eve@test", "localhost", 1, broker_for_devices)
    with pytest.raises(FleetmintError, match=r"certificate of eve@test.*revoked"):
        list(readings(gateway, 10))
