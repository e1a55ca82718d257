"""What a role says about its variables is what it does with them."""

import re

import pytest
import yaml

from tests.templates.conftest import ROLES, ROOT, Role

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


def points_in_use(value: object) -> set[tuple[str, str]]:
    """Return role and entry point of everything in a play or a task file that brings in a role."""
    found = set()
    for each in value if isinstance(value, list) else []:
        if not isinstance(each, dict):
            continue
        for key, given in each.items():
            if key.rpartition(".")[2] in ("import_role", "include_role"):
                found.add((given["name"], given.get("tasks_from", "main").removesuffix(".yml")))
            elif key == "roles":
                found |= {(one if isinstance(one, str) else one["role"], "main") for one in given}
            else:
                found |= points_in_use(given)
    return found


def test_every_entry_point_that_is_used_has_its_spec_and_every_spec_its_tasks() -> None:
    files = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")]
    used = set().union(*(points_in_use(yaml.safe_load(path.read_text())) for path in files))
    specified = {
        (role, name) for role in ROLES for name in Role(role).read("meta/argument_specs.yml")["argument_specs"]
    }
    assert used - specified == set()
    assert [point for point in specified if not (ROOT / "roles" / point[0] / f"tasks/{point[1]}.yml").exists()] == []
    assert specified - used == {("ca_rollover", "main")}  # which only says what to use


@every_role
def test_the_tasks_of_main_are_few_or_imports_only(role: Role) -> None:
    text = role.read_text("tasks/main.yml")
    tasks = yaml.safe_load(text)
    imports = [task for task in tasks if "ansible.builtin.import_tasks" in task]
    assert len(text.splitlines()) <= 60 or imports == tasks


@every_role
def test_every_default_has_a_comment_that_says_what_it_means(role):
    path = role.templates.parent / "defaults/main.yml"
    text = path.read_text() if path.exists() else ""
    assert [name for name in role.defaults if not re.search(rf"^# .+\n{name}:", text, re.MULTILINE)] == []


@every_role
def test_a_site_variable_that_a_role_uses_is_in_its_specs(role):
    files = [path for path in role.templates.parent.rglob("*") if path.is_file() and "meta" not in path.parts]
    used = {name for path in files for name in re.findall(r"(?<![.])\bfleet_[a-z_]+\b", path.read_text())}
    # what another role documents, and this one can do without
    optional = {"fleet_tls_profile", *re.findall(r"\b(fleet_[a-z_]+) \| default\(", str(role.read("vars/main.yml")))}
    through_defaults = set(re.findall(r"\bfleet_[a-z_]+\b", str(role.defaults)))
    assert used - optional - through_defaults <= set(role.options)


@every_role
def test_every_template_says_that_it_is_managed_and_by_which_role(role):
    included = re.findall(r"{% include '(.+)' %}", "".join(each.read_text() for each in role.templates.rglob("*.j2")))
    for path in role.templates.rglob("*.j2"):
        if str(path.relative_to(role.templates)) in included:
            continue
        if path.suffixes[-2:] in ([".json", ".j2"], [".html", ".j2"]):
            continue  # JSON has no comments, and those of a page are for its readers
        if path.parent == role.templates / "etc/avahi/services":
            continue  # XML begins otherwise, and has the two lines in comments of its own
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#!")]
        assert lines[0] == "# {{ ansible_managed }}", path
        assert lines[1].startswith(f"# roles/{role.name}: "), path
