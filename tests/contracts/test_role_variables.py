"""Who reads which variable: a role its own and the site's, a play the site's, and nobody the private ones of another.

Every file is read by the parsers that Ansible uses, YAML and Jinja, so that a comment counts for nothing and an
attribute of `hostvars` for as much as a name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import jinja2.nodes
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())
# What is an expression as a whole, without braces.
EXPRESSIONS = ("when", "that", "changed_when", "failed_when", "until", "var")
WORD = re.compile(r"\w+")
JINJA = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])  # noqa: S701 - nothing is rendered


class Loader(yaml.SafeLoader):
    """YAML as Ansible has it."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_scalar(node))


@dataclass
class Read:
    """The names that a file reads, and those that it makes with `register` or `set_fact`."""

    names: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def expression(self, text: str) -> None:
        """Note what an expression, or a text with expressions in it, reads."""
        for node in JINJA.parse(text).find_all((jinja2.nodes.Name, jinja2.nodes.Getattr, jinja2.nodes.Const)):
            if isinstance(node, jinja2.nodes.Name):
                self.names.add(node.name)
            elif isinstance(node, jinja2.nodes.Getattr):
                self.names.add(node.attr)
            elif isinstance(node.value, str):  # hostvars[host]['name'], or map(attribute='value.name')
                self.names.update(WORD.findall(node.value))

    def walk(self, value: object, key: str = "") -> None:
        """Note what a value of a YAML file reads."""
        if isinstance(value, dict):
            for name, inner in value.items():
                if name == "register":
                    self.made.add(inner)
                elif name in ("set_fact", "ansible.builtin.set_fact"):
                    self.made.update(inner)
                self.walk(inner, name)
        elif isinstance(value, list):
            for inner in value:
                self.walk(inner, key)
        elif isinstance(value, str) and key in EXPRESSIONS and "{{" not in value:
            self.expression("{{" + value + "}}")
        elif isinstance(value, str):
            self.expression(value)


def read(*paths: Path) -> Read:
    found = Read()
    for path in paths:
        if path.suffix == ".j2":
            found.expression(path.read_text())
        else:
            found.walk(yaml.load(path.read_text(), Loader))  # noqa: S506 - it is the safe loader with Ansible's tags
    return found


def files(role: str) -> Iterator[Path]:
    for part in ("defaults", "handlers", "tasks", "vars", "templates"):
        yield from (path for path in (ROOT / "roles" / role / part).rglob("*") if path.suffix in (".yml", ".j2"))


def owned(role: str) -> set[str]:
    """Return the names that belong to a role: what it takes, what it works out and what it registers."""
    names = read(*files(role)).made
    for part in ("defaults", "vars"):
        path = ROOT / "roles" / role / part / "main.yml"
        names |= set((yaml.load(path.read_text(), Loader) if path.exists() else None) or {})  # noqa: S506
    specs = yaml.load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text(), Loader)["argument_specs"]  # noqa: S506
    options = {name for entry in specs.values() for name in entry["options"]}
    return names | {name for name in options if not name.startswith("fleet_")}


OWNED = {role: owned(role) for role in ROLES}


def others(names: set[str], mine: str = "") -> list[str]:
    """Return what of `names` belongs to another role, or is private to something that is not `mine`."""
    foreign = set().union(*(owned for role, owned in OWNED.items() if role != mine)) - OWNED.get(mine, set())
    private = {name for name in names if name.startswith("__") and not name.startswith(f"__{mine}_" if mine else "_ ")}
    return sorted(names & foreign | private)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_its_own_variables_and_the_sites(role):
    assert others(read(*files(role)).names, role) == []


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_a_play_reads_the_sites_variables_only(path):
    assert others(read(path).names) == []


def test_what_is_read_is_found_wherever_it_stands(tmp_path):
    path = tmp_path / "tasks.yml"
    path.write_text(
        "# __ca_comment\n"
        "- when: __ca_when and not x\n"
        "  debug: {msg: \"{{ hostvars['gateway'].__ca_attribute }} {{ hostvars[y]['__ca_item'] }}\"}\n"
        "- loop: \"{{ hostvars | dict2items | selectattr('value.__ca_path', 'defined') }}\"\n"
        "  debug: {msg: !unsafe '__ca_text'}\n"
    )
    found = {name for name in read(path).names if name.startswith("__")}
    assert found == {"__ca_when", "__ca_attribute", "__ca_item", "__ca_path"}
