"""What documents, help texts, messages and roles tell people to type can be typed."""

import functools
import re

import click
import pytest
import yaml
from ansible.cli.playbook import PlaybookCLI

from fleetmint.cli import root
from tests.contracts import quoted
from tests.contracts.quoted import MARKDOWN, ROOT, Quoted

# A word that stands for a value, which a number or a choice would not take.
_PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9:_-]*|.*….*|.*VALUE.*")
_PROGRAMS = {"mosquitto_sub", "mosquitto_pub"}


@pytest.fixture(autouse=True)
def _a_site(monkeypatch):
    """Name a site, as people do before they type; and ask no command what it thinks of a value's content."""
    monkeypatch.setenv("FLEETMINT_STATE", "state")
    for _, command in quoted.commands():
        for parameter in command.params:
            if not parameter.is_eager:
                monkeypatch.setattr(parameter, "callback", None)


@pytest.mark.parametrize("each", quoted.of("fleetmint"), ids=str)
def test_a_quoted_command_is_one(each: Quoted):
    assert _wrong(each) == []


@pytest.mark.parametrize(
    "text",
    [
        "fleetmint brun spring --port auto",
        "fleetmint batch nwe spring.yml",
        "fleetmint batch new spring.yml --chekc",
        "fleetmint batch register",
        "fleetmint burn spring",
        "fleetmint batch show spring summer",
        "fleetmint revoke alice@workshop --reason boredom",
        "fleetmint token new lamp-000002 --days many --to file",
        "$ cd elsewhere && fleetmint batch nwe spring.yml",
        "pi$ sudo runuser -u fleetmint -- /opt/fleetmint/bin/fleetmint gateway improt FILE",
        "fleetmint batch register|hadnover spring",
        "fleetmint batch register spring [--into FILE]",
    ],
)
def test_a_wrong_line_is_found(text):
    found = list(quoted._lines(text))
    assert [each for line in found for each in _wrong(Quoted("here", line, typed=True))]


def test_every_kind_of_place_has_lines():
    of = {each.where.partition("/")[0].partition(" ")[0] for each in quoted.everything() if each.typed}
    assert {"README.md", "docs", "help", "src", "roles"} <= of


def _wrong(each: Quoted) -> list[str]:
    """Return why the command line is none, for each way in which it can be read."""
    return [f"{each}: {reason}" for words in each.readings() if (reason := _refused(each, words))]


def _refused(each: Quoted, words: list[str]) -> str | None:
    """Take a command line apart as click does; return why click would refuse it."""
    command: click.Command = root
    path = "fleetmint"
    ctx: click.Context | None = None
    while isinstance(command, click.Group):
        if not words or words[0] in ("…", "..."):
            return None  # a group is named
        try:
            ctx = command.make_context(path, list(words), parent=ctx)
        except click.exceptions.Exit:  # --help, --version
            return None
        except click.UsageError as error:
            return error.format_message()
        words = [*ctx._protected_args, *ctx.args]
        if not words:
            return None
        found = command.get_command(ctx, words[0])
        if found is None:
            return f"there is no `{path} {words[0]}`"
        command, path, words = found, f"{path} {words[0]}", words[1:]
    # `…` may stand for the value of an option or for whatever follows; of `command --option` only the name is meant
    tries = [words, [word for word in words if word not in ("…", "...")], *([] if each.typed else [[*words, "VALUE"]])]
    refusals = [_refusal(command, path, given, ctx, whole=each.typed and given == words) for given in tries]
    return None if None in refusals else refusals[0]


def _refusal(command: click.Command, path: str, given: list[str], ctx: click.Context, *, whole: bool) -> str | None:
    try:
        command.make_context(path, list(given), parent=ctx)
    except click.exceptions.Exit:  # --help
        return None
    except click.MissingParameter as error:
        return error.format_message() if whole else None
    except click.BadParameter as error:
        return None if any(_PLACEHOLDER.fullmatch(word) for word in given) else error.format_message()
    except click.UsageError as error:
        return error.format_message()
    return None


def test_every_option_that_a_document_names_exists():
    known = {name for _, command in quoted.commands() for each in command.params for name in each.opts}
    known |= {"--help", "--version", *_ansible()._option_string_actions}
    named = {
        (str(path.relative_to(ROOT)), span.split()[0].partition("=")[0])
        for path in MARKDOWN
        for span in quoted.spans(path.read_text())
        if span.startswith("--")
    }
    assert {(where, name) for where, name in named if name not in known} == set()


@pytest.mark.parametrize("each", quoted.of("ansible-playbook"), ids=str)
def test_a_quoted_play_is_one(each: Quoted, capsys):
    for words in filter(None, each.readings()):  # the program's bare name is none
        try:
            found = _ansible().parse_args([word for word in words if word not in ("…", "...")])
        except SystemExit:
            pytest.fail(f"{each}: {capsys.readouterr().err}")
        for book in found.args:
            path = book if book.startswith("contrib/") else f"playbooks/{book.rpartition('/')[2]}"
            assert (ROOT / path).is_file(), f"{each}: there is no {book}"
        assert {tag for tags in found.tags for tag in tags.split(",")} <= _tags(), each
        for name in [name for extra in found.extra_vars for name in re.findall(r"(\w+)=", extra)]:
            assert name in _variables(), f"{each}: nothing reads {name}"


def test_every_play_that_is_named_exists():
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in [*MARKDOWN, *_yaml(), *_python()]}
    named = {(where, name) for where, text in texts.items() for name in re.findall(r"\bplaybooks/(\w+\.yml)", text)}
    assert named
    assert {(where, name) for where, name in named if not (ROOT / "playbooks" / name).is_file()} == set()


@pytest.mark.parametrize("each", quoted.of("make"), ids=str)
def test_a_quoted_target_is_in_the_makefile(each: Quoted):
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in each.readings():
        assert set(words) <= set(targets), each


def test_every_variable_that_a_document_names_exists():
    prefixes = "|".join(sorted({"fleet", *(path.name for path in (ROOT / "roles").iterdir())}))
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in MARKDOWN
        if path.name != "CHANGELOG.md"  # which tells of what is gone, too
        for span in quoted.spans(path.read_text())
        for name in re.findall(rf"(?<![\w/.])((?:{prefixes})_\w+)(?![\w(./])", span)
    }
    assert named
    assert {(where, name) for where, name in named if name not in _variables() | _PROGRAMS} == set()


def test_every_page_that_is_named_exists():
    texts = {path: path.read_text() for path in [*MARKDOWN, *_yaml(), *_python()]}
    named = {
        (str(path.relative_to(ROOT)), name)
        for path, text in texts.items()
        for name in re.findall(r"(?<![\w/])docs/[\w-]+\.md", text)
    }
    assert named
    assert {(where, name) for where, name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        page = path.parent / name if name else path
        assert page.exists(), target
        assert not heading or heading in _headings(page), target


def _headings(page) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@functools.cache
def _ansible():
    cli = PlaybookCLI(["ansible-playbook"])
    cli.init_parser()
    return cli.parser


@functools.cache
def _tags() -> set[str]:
    """Return the tags that plays and tasks have."""
    found = set()
    for text in (path.read_text() for path in _yaml()):
        found |= {
            tag.strip()
            for tags in re.findall(r"^\s*(?:- )?tags: \[(.+)\]$", text, re.MULTILINE)
            for tag in tags.split(",")
        }
    return found


@functools.cache
def _variables() -> set[str]:
    """Return the variables that roles document, and those that a playbook's first lines offer."""
    found = set()
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for point in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= set(point.get("options", {}))
    for path in (ROOT / "playbooks").glob("*.yml"):
        found |= set(re.findall(r"-e (\w+)=", path.read_text()))
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):  # of the site, and with a default where they are read
        found |= set(re.findall(r"\bfleet_\w+", path.read_text()))
    return found


def _yaml():
    return [path for room in ("roles", "playbooks") for path in (ROOT / room).rglob("*.yml")]


def _python():
    return list((ROOT / "src").rglob("*.py"))
