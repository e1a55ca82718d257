"""What a role says about its variables is what it does with them."""

import re

import pytest

from tests.templates.conftest import ROLES, Role

every_role = pytest.mark.parametrize("role", [Role(name) for name in ROLES], ids=ROLES)


@every_role
def test_defaults_and_argument_specs_say_the_same(role):
    documented = {name: option["default"] for name, option in role.options.items() if "default" in option}
    assert documented == role.defaults


@every_role
def test_what_has_no_default_is_required(role):
    needed = {name for name, option in role.options.items() if option.get("required")}
    for name in {name for name, option in role.options.items() if "default" not in option} - needed:
        # a site's variable may be left out where roles say what is then, each its own
        assert name.startswith("fleet_"), name
        assert f"{name} | default(" in role.read_text("defaults/main.yml"), name


@every_role
def test_every_variable_is_the_roles_own_or_the_sites(role):
    assert [name for name in role.options if not name.startswith((f"{role.name}_", "fleet_"))] == []
    assert [name for name in role.defaults if not name.startswith(f"{role.name}_")] == []
    private = role.read("vars/main.yml")
    assert [name for name in private if not name.startswith(f"__{role.name}_")] == []


@every_role
def test_every_default_has_a_comment_that_says_what_it_means(role):
    path = role.templates.parent / "defaults/main.yml"
    text = path.read_text() if path.exists() else ""
    assert [name for name in role.defaults if not re.search(rf"^# .+\n{name}:", text, re.MULTILINE)] == []


@every_role
def test_a_site_variable_that_a_role_uses_is_in_its_specs(role):
    files = [path for path in role.templates.parent.rglob("*") if path.is_file() and "meta" not in path.parts]
    used = {name for path in files for name in re.findall(r"(?<![.])\bfleet_[a-z_]+\b", path.read_text())}
    optional = {"fleet_tls_profile"}
    through_defaults = set(re.findall(r"\bfleet_[a-z_]+\b", str(role.defaults)))
    assert used - optional - through_defaults <= set(role.options)


@every_role
def test_every_template_says_that_it_is_managed_and_by_which_role(role):
    for path in role.templates.rglob("*.j2"):
        if path.name.endswith("sandbox.j2") or path.suffixes[-2:] in ([".json", ".j2"], [".html", ".j2"]):
            continue  # included by others; JSON has no comments, and those of a page are for its readers
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#!")]
        assert lines[0] == "# {{ ansible_managed }}", path
        assert lines[1].startswith(f"# roles/{role.name}: "), path
