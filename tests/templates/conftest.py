"""Roles read as data, and their templates rendered with their defaults as Ansible would do it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2.meta import find_undeclared_variables
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())

# What a site has to say; everything else comes from the roles.
SITE = {
    "ansible_managed": "Ansible managed",
    "inventory_hostname": "gateway",
    "fleet_site": "workshop",
    "fleet_gateway_names": ["gateway.example.net", "192.0.2.7"],
    "fleet_https_port": 443,
    "fleet_operators_https_port": 8443,
    "fleet_mqtt_port": 8883,
    "fleet_operators_mqtt_port": 8884,
}
# how many variables stand between a template and a literal
DEPTH = 3


@dataclass(frozen=True)
class Role:
    """One role by name."""

    name: str

    def read(self, file: str) -> dict[str, Any]:
        path = ROOT / "roles" / self.name / file
        return (yaml.safe_load(path.read_text()) if path.exists() else None) or {}

    def read_text(self, file: str) -> str:
        return (ROOT / "roles" / self.name / file).read_text()

    @property
    def defaults(self) -> dict[str, object]:
        return self.read("defaults/main.yml")

    @property
    def options(self) -> dict[str, dict[str, object]]:
        return dict(self.read("meta/argument_specs.yml")["argument_specs"]["main"]["options"])

    @property
    def templates(self) -> Path:
        return ROOT / "roles" / self.name / "templates"

    def render(self, template: str, **changed: object) -> str:
        """Render a template with the role's defaults, except for what is `changed`."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.templates),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,  # as Ansible has it
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701 - configuration, not HTML
        )
        known = {**SITE, **self.defaults, **self.read("vars/main.yml"), **changed}
        for _ in range(DEPTH):  # what cannot be rendered yet may stand on something that is rendered next
            tried = {name: _try(environment, value, known) for name, value in known.items()}
            known = {name: known[name] if found is None else found for name, found in tried.items()}
        known = {name: known[name] for name, found in tried.items() if found is not None}
        return environment.get_template(template).render(known)


def _try(environment: jinja2.Environment, value: object, known: dict[str, object]) -> object:
    """Render a variable; None when a play would have to look it up on a controller, which no template of ours needs."""
    try:
        return _rendered(environment, value, known)
    except jinja2.TemplateError:
        return None


def _rendered(environment: jinja2.Environment, value: object, known: dict[str, object]) -> object:
    if isinstance(value, str) and "{{" in value:
        if any("{{" in str(known.get(name)) for name in find_undeclared_variables(environment.parse(value))):
            raise jinja2.UndefinedError("what it stands on is not rendered yet")
        found = NativeEnvironment(undefined=jinja2.StrictUndefined).from_string(value).render(known)
        # lists and mappings stay what they are
        return found if isinstance(found, list | dict) else environment.from_string(value).render(known)
    if isinstance(value, list):
        return [_rendered(environment, item, known) for item in value]
    if isinstance(value, dict):
        return {key: _rendered(environment, item, known) for key, item in value.items()}
    return value


@pytest.fixture
def nginx() -> Role:
    return Role("nginx")


@pytest.fixture
def mosquitto() -> Role:
    return Role("mosquitto")


@pytest.fixture
def signing_service() -> Role:
    return Role("signing_service")


@pytest.fixture
def controller() -> Role:
    return Role("controller")
