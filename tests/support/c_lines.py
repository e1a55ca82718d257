"""Questions to a program of firmware/c/test/: a word and values on a line, answered by a line of words."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass
class Talk:
    """One program that is asked while others do their part."""

    process: subprocess.Popen[str]

    def __call__(self, what: str, *values: Value) -> list[str]:
        """Ask it one thing and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(_line(what, *values))
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"{what} ended it: {self.process.communicate(timeout=10)[1]}"
        return answer.split()


@contextmanager
def talk(program: Path) -> Iterator[Talk]:
    """Start a program to ask; in the end it has to end well."""
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Talk(process)
            _, errors = process.communicate(timeout=20)
            assert process.returncode == 0, errors
        finally:
            process.kill()


def _line(what: Value, *values: Value) -> str:
    return " ".join([str(what), *(_word(value) for value in values)]) + "\n"


def _word(value: Value) -> str:
    return (value if isinstance(value, bytes) else str(value).encode()).hex() or "-"
