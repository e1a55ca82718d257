"""The drawing of the whole: readable in light and dark, by itself, and naming what there is."""

import re
from xml.etree import ElementTree

import pytest
import yaml

from tests.contracts import quoted
from tests.contracts.quoted import ROOT

PATH = ROOT / "docs/overview.svg"
SVG = "{http://www.w3.org/2000/svg}"
TEXT = PATH.read_text()
TREE = ElementTree.fromstring(TEXT)  # noqa: S314 -- our own file
STYLE = TREE.findtext(f"{SVG}style")
# What text of each class stands on.
GROUNDS = {"text": ("ground", "box", "card"), "soft": ("box", "card"), "key": ("card",), "on-accent": ("accent",)}


def said(class_=None):
    """Return the texts of the drawing, or those of one class."""
    return [
        " ".join("".join(each.itertext()).split())
        for each in TREE.iter()
        if each.tag in (f"{SVG}text", f"{SVG}tspan") and (class_ is None or class_ in each.get("class", "").split())
    ]


def test_it_is_a_drawing_with_a_title_and_a_description():
    assert TREE.tag == f"{SVG}svg"
    labels = {each.get("id"): each.text for each in TREE if each.tag in (f"{SVG}title", f"{SVG}desc")}
    assert TREE.get("role") == "img"
    assert TREE.get("aria-labelledby").split() == list(labels) == ["title", "desc"]
    assert all(len(text) > 30 for text in labels.values())


def test_it_takes_nothing_from_anywhere_else_and_runs_nothing():
    named = {name.lower() for each in TREE.iter() for name in each.attrib}
    assert not {name for name in named if name.endswith("href") or name.startswith("on")}
    assert {each.tag.removeprefix(SVG) for each in TREE.iter()} <= {
        "svg", "title", "desc", "style", "defs", "marker", "rect", "path", "circle", "g", "text", "tspan",
    }  # fmt: skip
    assert set(re.findall(r"url\((.*?)\)", TEXT)) == {"#tip"}
    assert re.findall(r"\w+://[^\"' ]*", TEXT) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in TEXT
    assert "<!DOCTYPE" not in TEXT


def test_everything_lies_within_it():
    _, _, width, height = map(float, TREE.get("viewBox").split())
    for each in TREE.iter():
        for x, y in (("x", "y"), ("cx", "cy")):
            assert 0 <= float(each.get(x, 0)) < width
            assert 0 <= float(each.get(y, 0)) < height


def test_both_schemes_have_each_colour_and_none_is_outside_them():
    light, dark = schemes()
    assert light.keys() == dark.keys() == set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    assert not [each.attrib for each in TREE.iter() if {"fill", "stroke", "style"} & each.attrib.keys()]


@pytest.mark.parametrize(("text", "ground"), [(text, each) for text, grounds in GROUNDS.items() for each in grounds])
def test_text_can_be_read_in_both_schemes(text, ground):
    """WCAG 2 asks for a contrast of 4.5."""
    for scheme in schemes():
        bright, dim = sorted((luminance(scheme[text]), luminance(scheme[ground])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5


def schemes():
    """Return the colours of the light scheme and of the dark one."""
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    return [dict(re.findall(r"--([\w-]+): (#\w+);", part)) for part in (light, dark)]


def luminance(colour):
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [part / 255 for part in bytes.fromhex(digits)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(parts, (0.2126, 0.7152, 0.0722), strict=True))


def test_what_it_names_exists():
    """A command is one, a port is the sample's or a role's, a path is in the checkout or what the plays make."""
    commands = {" ".join(("fleetmint", *path)) for path, _ in quoted.commands()}
    makes = {"state/ca", "state/batches"}
    named = {text for text in said("code") if not text.isdigit()}
    assert len(named) >= 6
    assert {each for each in named if not (each in commands | makes or (ROOT / each).is_file())} == set()
    for each in makes & named:
        assert each in (ROOT / "docs/architecture.md").read_text()


def test_its_ports_are_those_of_the_sample():
    found = yaml.safe_load((ROOT / "inventory/sample/group_vars/all/site.yml").read_text())
    sample = {str(value) for name, value in found.items() if name.endswith("_port")}
    assert {text for text in said("code") if text.isdigit()} == {*sample, "80", "123"}


def test_each_step_is_drawn_and_explained_once():
    steps = [each.findtext(f"{SVG}text") for each in TREE.iter(f"{SVG}g") if each.get("class") == "step"]
    assert steps == 2 * [str(number) for number in range(1, len(steps) // 2 + 1)]


def test_the_readme_shows_it():
    assert "](docs/overview.svg)" in (ROOT / "README.md").read_text()
