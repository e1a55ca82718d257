"""Imports that somebody who only looks need not wait for: help and completion want a command's options, not its work.

    with for_work():
        from fleetmint.ledger import open_ledger

imports at once when a command is going to run. When somebody asks for help or presses Tab, a stand-in takes the place
of what would be imported, until it is used. (Python 3.15 has `lazy from … import …` for that.)
"""

import builtins
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

_HELP = ("-h", "--help")
_looking = False
# The modules in which something stands in.
_incomplete: list[dict[str, Any]] = []


@contextmanager
def for_work() -> Iterator[None]:
    """Import what the block imports, unless somebody is only looking."""
    if not _looking:
        yield
        return
    honest = builtins.__import__
    builtins.__import__ = cast(Any, _put_off)  # what it returns is no module, and passes for one
    try:
        yield
    finally:
        builtins.__import__ = honest


def prepare(arguments: Sequence[str], *, completing: bool) -> None:
    """Take note of whether a command will run with these arguments; if so, import what was put off before."""
    global _looking
    _looking = completing or any(word in _HELP for word in arguments)
    if not _looking:
        _catch_up()


class _StandIn:
    """What a name stands for until it is used."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._used()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._used(), name)

    def _used(self) -> Any:
        _catch_up()
        return self.real()

    def real(self) -> Any:
        """Import what this stands for."""
        found = importlib.import_module(self._module)
        return getattr(found, self._name, None) or importlib.import_module(f"{self._module}.{self._name}")


class _Room:
    """What an import statement takes its names from."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> _StandIn:
        return _StandIn(self._module, name)


def _put_off(
    name: str, module: dict[str, Any], _locals: object = None, wanted: Sequence[str] | None = None, _level: int = 0
) -> _Room:
    if not wanted:
        raise ImportError(f"`import {name}` cannot wait: write `from … import …`")
    _incomplete.append(module)
    return _Room(name)


def _catch_up() -> None:
    global _looking
    _looking = False
    while _incomplete:
        module = _incomplete.pop()
        for name, value in list(module.items()):
            if isinstance(value, _StandIn):
                module[name] = value.real()
