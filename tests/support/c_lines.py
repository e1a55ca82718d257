"""Questions to a program of firmware/c/test/: a word and values on a line, answered by a line of words."""

from collections.abc import Iterable
from pathlib import Path
from random import Random

from tests.support.c_build import run

Value = bytes | str | int


def ask(program: Path, questions: Iterable[tuple[Value, ...]]) -> list[list[str]]:
    """Return the answers to questions such as ("base64-decode", b"QQ==", 3), all asked of one process, in order."""
    asked = list(questions)
    answers = [answer.split() for answer in run(program, given="".join(map(line, asked)).encode()).splitlines()]
    assert len(answers) == len(asked)
    return [[word.decode() for word in answer] for answer in answers]


def line(question: tuple[Value, ...]) -> str:
    """Return a question as the program reads it."""
    what, *values = question
    return " ".join([str(what), *(_word(value) for value in values)]) + "\n"


def data(word: str) -> bytes:
    """Return the bytes that a word of an answer stands for."""
    return b"" if word == "-" else bytes.fromhex(word)


def chance_of(seed: int) -> Random:
    """Return what decides which cases are tried, the same ones each time."""
    return Random(seed)  # noqa: S311 - no secrets


def _word(value: Value) -> str:
    return (value if isinstance(value, bytes) else str(value).encode()).hex() or "-"
