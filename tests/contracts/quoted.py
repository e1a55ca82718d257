"""Commands as people find them: in documents, help texts, messages of the library, roles and units.

A quoted command is *typed* when somebody copies it as it stands (a line of a console block, an example, a unit, a
task), and otherwise named: `fleetmint burn` in a sentence need not say which batch. In both kinds a word in capitals
stands for a value, `…` for whatever comes there, `[…]` for what may be left out, and `a|b` for one or the other.
"""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import yaml

from fleetmint.cli import root

ROOT = Path(__file__).parents[2]
MARKDOWN = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PROGRAMS = ("fleetmint", "ansible-playbook", "make")
VALUE = "VALUE"
_MAKERS = {"fleetmint": "fleetmint", "gateway": "fleetmint gateway", "playbook": "ansible-playbook"}

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CONSOLE = ("console", "sh")
_SPAN = re.compile(r"``?((?:[^`\n]|\n(?!\s*\n))+?)``?(?!`)")
# what stands before the program of a command: a prompt, variables, sudo, another user
_BEFORE = re.compile(r"^(?:\w*[$#] )?(?:[A-Z_]+=\S+ )*(?:sudo )?(?:runuser (?:-u \w+|--user=\w+) -- )?(?:\S*/)?")
_OPTIONAL = re.compile(r"\s*\[([^\[\]]+)\]")
_ALTERNATIVES = re.compile(r"(?<!\S)(?P<first>[\w=.@-]+)(?P<rest>(?:\|[\w.@-]+)+)(?!\S)")
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@dataclass(frozen=True)
class Quoted:
    """A command, and where it is quoted."""

    where: str
    text: str
    typed: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"

    @property
    def program(self) -> str:
        return _without_what_is_before(self.text).split(" ", 1)[0]

    def readings(self) -> Iterator[list[str]]:
        """Return the arguments after the program, for each way in which the notation can be read."""
        for text in _spelled_out(self.text):
            yield _arguments(_without_what_is_before(text))


@functools.cache
def everything() -> tuple[Quoted, ...]:
    """Return all commands quoted anywhere in the project."""
    found = [*_of_documents(), *_of_help(), *_of_the_library(), *_of_roles(), *_of_units()]
    return tuple(dict.fromkeys(each for each in found if each.program in PROGRAMS))


def of(program: str) -> list[Quoted]:
    return [each for each in everything() if each.program == program]


def commands(
    group: click.Command = root, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Return every command of the command line with its path, groups too."""
    yield path, group
    if isinstance(group, click.Group):
        ctx = click.Context(group)
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None, name
            yield from commands(found, (*path, name))


def spans(text: str) -> Iterator[str]:
    """Return what stands between backticks in a text, each on one line."""
    for match in _SPAN.finditer(_FENCE.sub("", text)):
        yield " ".join(match.group(1).split())


# --- where they are ---


def _of_documents() -> Iterator[Quoted]:
    for path in MARKDOWN:
        where, text = str(path.relative_to(ROOT)), path.read_text()
        for span in spans(text):
            yield Quoted(where, span, typed=False)
        for block in (block for language, block in _FENCE.findall(text) if language in _CONSOLE):
            for line in _lines(block):
                yield Quoted(where, line, typed=True)


def _of_help() -> Iterator[Quoted]:
    for path, command in commands():
        where = " ".join(("help of fleetmint", *path))
        texts = [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]
        for span in (span for text in texts for span in spans(text)):
            yield Quoted(where, span, typed=False)
        for line in _lines((command.epilog or "").replace("\b", "")):
            yield Quoted(where, line, typed=True)


def _of_the_library() -> Iterator[Quoted]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for line, text in _made(tree):
            yield Quoted(f"{path.relative_to(ROOT)}:{line}", text, typed=True)
        for line, text in _strings(tree):
            where = f"{path.relative_to(ROOT)}:{line}"
            for span in spans(text):
                yield Quoted(where, span, typed=False)
            if text.startswith(("fleetmint ", "ansible-playbook ")) and not text.endswith(" "):
                yield from (Quoted(where, line, typed=True) for line in _lines(text))


def _of_roles() -> Iterator[Quoted]:
    places = [
        *(ROOT / "roles").rglob("*.yml"),
        *(ROOT / "playbooks").glob("*.yml"),
        *(ROOT / "molecule").rglob("*.yml"),
    ]
    for path in sorted(places):
        where, text = str(path.relative_to(ROOT)), path.read_text()
        for span in spans(text):
            yield Quoted(where, _filled_in(span), typed=False)
        for words, whole in _command_lines(yaml.load(text, _Loader), text):  # noqa: S506 - a SafeLoader
            yield Quoted(where, words, typed=whole)


def _of_units() -> Iterator[Quoted]:
    for path in sorted((ROOT / "roles").rglob("*.service.j2")):
        for line in re.findall(r"^Exec\w+=[+!-]*(.*)$", path.read_text(), re.MULTILINE):
            yield Quoted(str(path.relative_to(ROOT)), _filled_in(line), typed=True)


def _made(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the commands that a module has made by fleetmint.commands."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("commands"), attr=maker)) if maker in _MAKERS:
                words = [_MAKERS[maker]]
                for each in node.args:
                    words.append("…" if isinstance(each, ast.Starred) else _literal(each))
                if maker == "playbook":
                    words[1] = f"playbooks/{words[1]}"
                    words += [f"-e {each.arg}={VALUE}" for each in node.keywords if each.arg]
                yield node.lineno, " ".join(words)


def _literal(node: ast.AST) -> str:
    return shlex.quote(str(node.value)) if isinstance(node, ast.Constant) else VALUE


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """Takes the tags of Ansible for what they stand before."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def _command_lines(found: Any, text: str) -> Iterator[tuple[str, bool]]:
    """Return the command lines of tasks, and whether each is whole: an action may add to a list of arguments."""
    for each in _values(found):
        if isinstance(each, list):
            words = [str(word) for word in each if not isinstance(word, dict)]
            at = next((at for at, word in enumerate(words) if word.endswith("/bin/fleetmint")), None)
            if at is not None:
                yield " ".join(["fleetmint", *map(_filled_in, words[at + 1 :])]), False
        elif match := re.match(r"(?:runuser --user=fleetmint -- )?/opt/fleetmint/bin/(fleetmint .*)", each, re.DOTALL):
            yield _filled_in(match.group(1)), True
    for listed in re.findall(r"'/opt/fleetmint/bin/fleetmint'((?:, *'[^']*')+)", text):
        yield shlex.join(["fleetmint", *re.findall(r"'([^']*)'", listed)]), False


def _filled_in(text: str) -> str:
    """Return a template with the options that its expressions may add, and a value for every other expression."""

    def fill(match: re.Match[str]) -> str:
        options = re.findall(r"'(--[\w-]+)", match.group())
        if (options and " if " in match.group()) or "map(" in match.group():
            return " ".join(options)
        return VALUE

    return _JINJA.sub(fill, text)


def _values(found: Any) -> Iterator[Any]:
    if isinstance(found, dict):
        for value in found.values():
            yield from _values(value)
    elif isinstance(found, list):
        yield found
        for value in found:
            yield from _values(value)
    elif isinstance(found, str):
        yield found


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the texts of a module; what an f-string computes stands as a value in it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        else:
            yield from _strings(node)


# --- how they are read ---


def _lines(block: str) -> Iterator[str]:
    """Return the commands of a console block: after a prompt, or by themselves with a remark behind wide blanks."""
    text = re.sub(r"\\\n\s*>?\s*", "", block)
    for line in text.splitlines():
        if "# ->" in line:
            continue
        prompted = re.match(r"\s*\w*[$#] (.*)", line)
        plain = re.match(rf"\s*((?:{'|'.join(PROGRAMS)})(?: \S+)+)", line)
        if prompted:
            yield from (re.split(" {3,}", part.strip())[0] for part in prompted.group(1).split(" && "))
        elif plain:
            yield plain.group(1)


def _without_what_is_before(text: str) -> str:
    return _BEFORE.sub("", text, count=1)


def _spelled_out(text: str) -> Iterator[str]:
    parts: list[list[str]] = []
    at = 0
    for match in _OPTIONAL.finditer(text):
        parts += [[text[at : match.start()]], ["", " " + match.group(1)]]
        at = match.end()
    parts.append([text[at:]])
    for chosen in product(*parts):
        yield from _alternatives("".join(chosen))


def _alternatives(text: str) -> Iterator[str]:
    match = _ALTERNATIVES.search(text)
    if match is None:
        yield text
        return
    first = match.group("first")
    name, equals, _ = first.rpartition("=")
    for choice in (first, *(name + equals + other for other in match.group("rest")[1:].split("|"))):
        yield from _alternatives(text[: match.start()] + choice + text[match.end() :])


def _arguments(text: str) -> list[str]:
    """Return the words after the program, up to a pipe, without redirections."""
    reader = shlex.shlex(text, posix=True, punctuation_chars="|<>;")
    reader.whitespace_split = True
    words: list[str] = []
    tokens = iter(list(reader)[1:])
    for token in tokens:
        if token in ("|", ";", "||"):
            break
        if token in ("<", ">", ">>", "<<<"):
            if words and words[-1].isdigit():
                words.pop()
            next(tokens, None)
            continue
        words.append(token)
    return words
