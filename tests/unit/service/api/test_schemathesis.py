"""schemathesis reads the document, asks the application whatever that allows and forbids, and judges each answer."""

import os
from datetime import UTC, datetime

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from fleetmint.service.api.document import LISTENER_OF
from fleetmint.service.api.operations import OPERATIONS
from fleetmint.service.app import create_app
from fleetmint.x509.listeners import OPERATORS
from tests.support.gateway_site import certificate_entry, environ, make_gateway_site, new_key, registration

EXAMPLES = int(os.environ.get("FLEETMINT_EXAMPLES", "5"))


# base64, as far as it is any
schemathesis.serializer.alias(["application/pkcs10", "application/pkcs7-mime"], "text/plain")


class AsWhoMayAsk:
    """The application behind an nginx that has seen the certificate of whoever may ask what is asked."""

    def __init__(self, app, certificates):
        self._app, self._certificates = app, certificates

    def __call__(self, request, start_response):
        listener = next(
            (
                LISTENER_OF[row.who]
                for row in OPERATIONS
                if row.path.split("/")[:3] == request["PATH_INFO"].split("/")[:3]
            ),
            OPERATORS,
        )
        return self._app({**request, **environ(listener, self._certificates[listener])}, start_response)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    place = tmp_path_factory.mktemp("schemathesis")
    site = make_gateway_site(place / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")
    now = datetime.now(UTC).replace(microsecond=0)
    lamp = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), "lamp-000001", now=now)
    site.import_(registration([certificate_entry("lamp-000001", lamp)]), now)
    site.register(now, *(f"lamp-00000{number}" for number in range(2, 8)))
    bench = site.hierarchy.authority("operator").issue("station", new_key().public_key(), "bench@test", now=now)
    app = create_app(site.config)
    asked = AsWhoMayAsk(app, {"operators": bench, "devices": lamp})
    yield schemathesis.openapi.from_wsgi("/v1/openapi.json", asked)
    if (engine := vars(app.extensions["fleetmint"]).get("engine")) is not None:
        engine.dispose()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: f"{row.method} {row.path}")
def test_whatever_is_asked_the_answer_is_one_that_the_document_has(api, row, mode):
    if mode is GenerationMode.NEGATIVE and not (row.body or row.query or "{device}" in row.path):
        return  # nothing that could be asked is wrong
    # what a good CSR is, no schema says
    excluded = [positive_data_acceptance] if "bad_signature" in row.codes else []
    seen = []

    @given(case=api[row.path][row.method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=HealthCheck)
    def ask(case):
        seen.append(case.call_and_validate(excluded_checks=excluded).status_code)

    ask()
    assert seen
