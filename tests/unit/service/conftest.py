from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gateway_site import GatewaySite, make_gateway_site

from fleetmint.service.app import create_app


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> GatewaySite:
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def app(site: GatewaySite) -> Iterator[Flask]:
    app = create_app(site.config)
    yield app
    engine = vars(app.extensions["fleetmint"]).get("engine")
    if engine is not None:
        engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
