"""The document says what there is and nothing else: rules, methods and codes, compared in both directions."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.http import HTTP_STATUS_CODES

import fleetmint
from fleetmint.service.api.document import LISTENER_OF, document
from fleetmint.service.api.operations import OPERATIONS
from fleetmint.service.api.refusals import REFUSALS
from fleetmint.service.api.schemas import SCHEMAS
from tests.support.gateway_site import environ, new_key
from tests.support.promised_answers import path_of

SOURCE = Path(fleetmint.__file__).parent
# Where codes are written down: what asks for a certificate passes through these.
PLACES = [*SOURCE.glob("service/*.py"), SOURCE / "x509/request.py", *SOURCE.glob("ledger/*.py")]
SAYERS = {"RequestRefusedError", "KeyRefusedError", "PolicyRefusedError", "ApprovalPendingError", "refuse", "retry"}
CODE = re.compile(r"[a-z]+(_[a-z]+)*")


def written_codes():
    """Every code that the source can answer with."""
    found = set()
    for path in PLACES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                texts = [each.value for each in node.keywords if each.arg == "error"]
                if called in SAYERS:
                    texts += [each for each in node.args if isinstance(each, ast.Constant)][:2]
                if called == "abort":
                    found.add(HTTP_STATUS_CODES[node.args[0].value].lower().replace(" ", "_"))
            elif isinstance(node, ast.Assign) and [getattr(each, "id", "") for each in node.targets] == ["code"]:
                texts = list(ast.walk(node.value))
            else:
                continue
            found |= {
                each.value
                for each in texts
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and CODE.fullmatch(each.value)
            }
    return found


def test_the_document_is_good_openapi():
    assert [str(each) for each in OpenAPIV31SpecValidator(document()).iter_errors()] == []
    identifiers = Counter(each["operationId"] for path in document()["paths"].values() for each in path.values())
    assert [name for name, times in identifiers.items() if times > 1] == []


def test_every_rule_of_the_application_is_in_the_document_and_nothing_else(app):
    rules = {
        (method, path_of(rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    said = {(method.upper(), path) for path, found in document()["paths"].items() for method in found}
    assert said == rules


def test_every_code_that_the_source_can_answer_is_in_the_document_and_nothing_else():
    # what Flask says by itself
    by_flask = {"method_not_allowed"}
    assert written_codes() | by_flask == set(REFUSALS)
    used = {code for row in OPERATIONS for code in row.codes}
    assert used | by_flask == set(REFUSALS)


def test_every_shape_is_used():
    text = str(document())
    assert [name for name in SCHEMAS if f"'#/components/schemas/{name}'" not in text] == []


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: f"{row.method} {row.path}")
def test_a_route_is_at_its_listener_only_and_asks_for_what_the_document_says(client, site, now, row):
    issue = site.hierarchy.authority("operator").issue
    operator = issue("operator", new_key().public_key(), "alice@test", now=now)
    path = row.path.replace("{device}", "lamp-000001").replace("{name}", "root")

    def ask(listener, certificate=None):
        return client.open(path, method=row.method, environ_overrides=environ(listener, certificate)).status_code

    here = LISTENER_OF[row.who]
    if row.who not in ("anybody", "everybody"):
        assert ask({"devices": "operators", "operators": "devices"}[here], operator) == 404
    if row.who not in ("nobody", "everybody"):
        assert ask(here) == 401
    if row.who == "station":
        assert ask(here, operator) == 403
    if row.who == "operator":
        assert ask(here, operator) in (200, 404)


def test_any_operator_is_given_the_document_and_nobody_else(client, site, now):
    issue = site.hierarchy.authority("operator").issue
    dashboard = issue("dashboard", new_key().public_key(), "wall@test", now=now)
    answer = client.get("/v1/openapi.json", environ_overrides=environ("operators", dashboard))
    assert (answer.status_code, answer.json) == (200, document())
    assert client.get("/v1/openapi.json", environ_overrides=environ("devices")).status_code == 404
