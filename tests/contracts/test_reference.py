"""The two pages of reference say what commands and roles say."""

import re

import click
import pytest

from scripts import reference
from tests.contracts import quoted
from tests.contracts.quoted import ROOT

PAGES = reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_its_sources_say(name):
    assert (ROOT / "docs" / name).read_text() == PAGES[name], "run `make docs`"


def test_every_command_and_option_is_on_its_page():
    sections = dict(re.findall(r"^#+ (fleetmint .+)\n((?:(?!^#).*\n)*)", PAGES["cli.md"], re.MULTILINE))
    for path, command in quoted.commands():
        if path and not command.hidden:
            section = sections[" ".join(("fleetmint", *path))]
            for option in command.params:
                if isinstance(option, click.Option) and not option.hidden:
                    assert f"`{option.opts[0]}" in section, (path, option.opts)


def test_every_variable_that_a_role_reads_of_its_site_is_on_its_page():
    used = set()
    for path in (ROOT / "roles").rglob("*"):
        if path.is_file() and path.suffix in (".yml", ".j2"):
            used |= set(re.findall(r"(?<![\w.])fleet_\w+", path.read_text()))
    documented = set(re.findall(r"^- `(\w+)`", PAGES["variables.md"], re.MULTILINE))
    assert used - documented == set()
