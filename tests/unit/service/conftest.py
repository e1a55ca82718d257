import pytest
from gateway_site import GatewaySite, make_gateway_site

from fleetmint.service.app import create_app


@pytest.fixture
def site(tmp_path, tmp_path_factory) -> GatewaySite:
    return make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def app(site):
    app = create_app(site.config)
    yield app
    engine = vars(app.extensions["fleetmint"]).get("engine")
    if engine is not None:
        engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()
