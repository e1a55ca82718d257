from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fleetmint.service.app import create_app
from tests.support.gateway_site import GatewaySite, site
from tests.support.promised_answers import all_promised

__all__ = ["site"]


@pytest.fixture
def app(site: GatewaySite) -> Iterator[Flask]:
    app = create_app(site.config)
    with all_promised(app):
        yield app
    app.extensions["fleetmint"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(autouse=True)
def look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a CA are looked at with each request: a test that replaces them does not wait."""
    monkeypatch.setattr("fleetmint.service.resources._LOOK_AGAIN", 0)
    monkeypatch.setattr("fleetmint.service.resources._TRY_AGAIN", 0)
