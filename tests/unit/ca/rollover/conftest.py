from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509

from fleetmint.ca.leaves import plan_client
from fleetmint.x509.authority import load_certificate
from tests.support.rollover_world import Openssl, World


@pytest.fixture
def world(tmp_path: Path, now: datetime, openssl: Openssl) -> World:
    world = World(tmp_path, now, openssl)
    world.make()
    world.issue("device-gateway", "device", "lamp-000001")
    world.issue("factory", "factory-device", "lamp-000002")
    return world


@pytest.fixture
def operator(world: World) -> x509.Certificate:
    plan_client(world.hierarchy, "operator", "alice@test", world.state / "issued/operators", world.now).apply()
    return load_certificate(world.state / "issued/operators/alice@test.crt")
