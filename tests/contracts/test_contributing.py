"""Where CONTRIBUTING.md sends people there is something, and a public forge runs what it says."""

import re

import yaml

from tests.contracts import quoted
from tests.contracts.quoted import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
TOP = {path.name for path in ROOT.iterdir()}


def named() -> set[str]:
    """Return every path of the project that the text names, in its prose or in a command."""
    words = {word for span in quoted.spans(TEXT) for word in span.split()}
    words |= {word for line in re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE) for word in line.split()}
    words |= set(re.findall(r"\]\(([^)#:]+)\)", TEXT))
    return {word for word in words if word.partition("/")[0] in TOP and "NAME" not in word and word != ".venv"}


def test_every_path_that_is_named_is_there():
    assert {"src/fleetmint/cli/__init__.py", "scripts/setup", "docs/architecture.md"} <= named()
    made = (".venv/", "dist/")
    assert {name for name in named() if not name.startswith(made) and not (ROOT / name).exists()} == set()


def test_every_room_of_the_library_is_in_the_table():
    rooms = {f"src/fleetmint/{path.parent.name}/" for path in (ROOT / "src/fleetmint").glob("*/__init__.py")}
    table = {span for line in TEXT.splitlines() if line.startswith("| `") for span in quoted.spans(line)}
    assert {name for name in table if name.startswith("src/")} == rooms


def test_a_forge_runs_what_everybody_runs_with_no_more_rights_than_reading():
    (path,) = (ROOT / ".github/workflows").iterdir()
    text = path.read_text()
    workflow = yaml.safe_load(text)
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in job
    assert [step["run"].split()[-2:] for step in job["steps"] if "run" in step] == [["make", "test"]]
    # a tag can be moved, a commit cannot
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line)] == []
    assert all(
        step["with"]["persist-credentials"] is False for step in job["steps"] if "checkout" in step.get("uses", "")
    )
    assert not re.search(r"secrets\.|cache", text)
