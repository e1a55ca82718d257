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
