"""Power cuts and lost answers: the same story again for each place where it can be interrupted, then a whole boot."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.firmware_agent import run, stored
from tests.support.firmware_boards import Board
from tests.support.firmware_gateway import gateway_of
from tests.support.firmware_site import Site


@dataclass(frozen=True)
class Interrupted:
    """A story that was interrupted at one place, and the boot after it."""

    where: str
    gateway: Any
    # What came of the run that was interrupted, of the next boot, and of a third one.
    first: dict[str, Any]
    after: dict[str, Any]
    last: dict[str, Any]


# Serves a gateway that knows nothing yet, with its files in a directory.
Serve = Callable[[Path], AbstractContextManager[Any]]
# Sets the gateway up for the story and returns what the device's NVS holds in the beginning, beside what it always has.
Prepare = Callable[[Any], dict[str, Any]]


def power_cuts(
    board: Board,
    site: Site,
    directory: Path,
    prepare: Prepare,
    *,
    setup: str = "",
    serve: Serve | None = None,
    **options: Any,
) -> Iterator[Interrupted]:
    """Cut the power at each write to the NVS, before and after that write, until a run meets no cut.

    `setup` and `options` are those of `run`: the code that makes the device live through its story, and end. `serve`
    gives another gateway than the double.
    """
    serve = serve or partial(gateway_of, site)
    for survives in (False, True):
        for write in count(1):
            with serve(directory / f"{survives}{write}") as gateway:
                given = prepare(gateway)
                first = run(board, gateway, setup=setup, dies_at=write, write_survives=survives, **options, **given)
                if not first["cut"]:
                    break
                where = f"write {write} ({'behind' if survives else 'before'} it, after {first['log']})"
                yield _boots(board, gateway, where, first, setup, options)


def lost_answers(
    board: Board,
    site: Site,
    directory: Path,
    prepare: Prepare,
    *,
    setup: str = "",
    serve: Serve | None = None,
    **options: Any,
) -> Iterator[Interrupted]:
    """Lose the gateway's answer to each request of the story, until a run has no more of them."""
    serve = serve or partial(gateway_of, site)
    for number in count(1):
        with serve(directory / str(number)) as gateway:
            given = prepare(gateway)
            gateway.loses = number
            first = run(board, gateway, setup=setup, **options, **given)
            if len(gateway.requests) < number:
                break
            yield _boots(board, gateway, f"the answer to {gateway.requests[number - 1].line}", first, setup, options)


def _boots(
    board: Board, gateway: Any, where: str, first: dict[str, Any], setup: str, options: dict[str, Any]
) -> Interrupted:
    after = run(board, gateway, setup=setup, **options, **_nvs(first))
    last = run(board, gateway, **_nvs(after))
    return Interrupted(where, gateway, first, after, last)


def _nvs(outcome: dict[str, Any]) -> dict[str, Any]:
    # A value that is gone must not come back from those that every device has.
    return {"token": None, **stored(outcome)}
