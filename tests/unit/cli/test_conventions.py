"""One name for one thing, on every command: what was learned on one holds on all others."""

import json
import re
from datetime import timedelta

import click
import pytest

from fleetmint.cli.output import check_option
from fleetmint.ledger import factory, open_ledger, writing
from tests.contracts import quoted

COMMANDS = [(" ".join(path), command) for path, command in quoted.commands() if path]
LEAVES = [(path, command) for path, command in COMMANDS if not isinstance(command, click.Group)]
every_command = pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
every_leaf = pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])

# What prints no JSON, and why.
WITHOUT_JSON = {
    "batch labels": "is a file to print",
    "ceremony answer": "people talk to it, on a machine without anything else",
    "ceremony check": "people talk to it, on a machine without anything else",
    "gateway alert": "prints nothing else",
    "site run": "is what Ansible prints",
    "gateway watch-broker": "never ends, and writes to the journal",
    "ceremony root": "people talk to it, on a machine without anything else",
}
# What others call --check and --json.
OTHER_WORDS = {"--dry-run", "--simulate", "--noop", "--pretend", "--no-act", "--format-json", "--output-json"}
# A thing that a command works on stands behind it without an option.
POSITIONAL = {"--batch", "--device", "--name", "--file", "--operator", "--id"}
# One word for two things: whom one appears as, and what a certificate is shown as; a reason in words for a person, and
# one of RFC 5280.
OF_TWO_KINDS = {"--as", "--reason"}
WORDS_FOR_LISTING = {"ls", "index", "all", "status", "info", "get", "display", "view", "describe"}
WORDS_FOR_REMOVING = {"delete", "rm", "destroy", "erase", "drop"}


def options(command: click.Command) -> dict[str, click.Parameter]:
    return {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}


@every_command
def test_a_command_has_examples_of_itself(path, command):
    lines = [line.strip() for line in (command.epilog or "").replace("\b", "").splitlines()]
    assert "Examples:" in lines
    first = f"fleetmint {path}"
    assert any(line.partition(" | ")[0].startswith(first) for line in lines[1:])


@every_command
def test_every_option_and_argument_is_explained(path, command):
    for each in command.params:
        if isinstance(each, click.Option):
            assert each.help, each.name
        else:
            words = re.findall(r"[A-Z]{2,}", each.make_metavar(click.Context(command)))
            assert any(re.search(rf"\b{word}\b", command.help or "") for word in words), words


@every_leaf
def test_a_command_prints_json_for_scripts(path, command):
    assert ("--json" in options(command)) != (path in WITHOUT_JSON)


@every_leaf
def test_to_ask_what_would_change_is_called_check_everywhere(path, command):
    known = options(command)
    assert not OTHER_WORDS & known.keys()
    if "--check" in known and path != "verify":
        assert known["--check"].help == _help_of(check_option)


@every_leaf
def test_what_a_command_works_on_is_no_option(path, command):
    known = options(command)
    # what works on devices by name can take all of a batch instead
    instead = {"--batch"} if "devices" in known and "--all" in known else set()
    assert not (POSITIONAL - instead) & known.keys()


@every_command
def test_one_word_for_listing_and_one_for_removing(path, command):
    last = path.split()[-1]
    assert last not in WORDS_FOR_LISTING | WORDS_FOR_REMOVING
    takes_something = any(isinstance(each, click.Argument) for each in command.params)
    assert last != "list" or not takes_something


@every_leaf
def test_what_is_called_the_same_means_the_same(path, command):
    """An option that many commands have is the same kind of value on each."""
    for name, each in options(command).items():
        if isinstance(each, click.Option) and name.startswith("--"):
            kinds = {
                (type(other.type).__name__, other.is_flag)
                for _, known in LEAVES
                if isinstance(other := options(known).get(name), click.Option)
            }
            assert len(kinds) == 1 or name in OF_TWO_KINDS, (name, kinds)


def _help_of(decorator) -> str:
    @click.command()
    @decorator
    def any_command(check):
        """Do nothing."""

    return any_command.params[0].help


TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z")


def test_times_in_json_are_iso_8601_in_utc(state, fleetmint, now):
    """Whatever looks like a date is a whole one with its zone, and no number is one in disguise."""
    moment = now + timedelta(microseconds=536612)
    with writing(open_ledger(f"sqlite:///{state / 'ledger.sqlite'}")) as connection:
        devices = factory.key_origins(connection, "first")
        factory.mark_registered(connection, "first", devices, actor="bench@test", now=moment)
        unit = factory.claim(connection, "first", "24:0a:c4:00:00:01", "here", port="/dev/ttyUSB0", now=moment)
        factory.record_burned(connection, unit.device, "here", now=moment)
    asked = [
        ("ca", "show"), ("operator", "list"), ("batch", "list"), ("batch", "show", "first"), ("audit",),
        ("operator", "add", "carol@test"), ("operator", "revoke", "bob@test"),
        ("inspect", state / "ca/root/ca.crt", state / "ca/operator/crl.pem", state / "ca/bundle.bin"),
        ("bundle", "show", state / "ca/bundle.bin"),
    ]  # fmt: skip
    seen = 0
    for words in asked:
        for text, number in values(json.loads(json.dumps(fleetmint(*words, "--json")))):
            if re.match(r"\d{4}-\d{2}-\d{2}", text or ""):
                assert TIME.fullmatch(text), (words, text)
                seen += 1
            assert not 1.5e9 < (number or 0) < 2.5e9, (words, number)
    assert seen > 10


def values(found):
    if isinstance(found, dict):
        for each in found.values():
            yield from values(each)
    elif isinstance(found, list):
        for each in found:
            yield from values(each)
    elif isinstance(found, str):
        yield found, None
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield None, found
