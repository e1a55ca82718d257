"""What the shell offers at Tab: names of batches, devices, operators and gateways of the site, and ports with boards.

They are read from the site's state, as it is on this machine, without asking anybody; where no site is named there are
none. Whatever is wrong with the state is said by the command, not here.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

_PORTS = ("ttyUSB*", "ttyACM*", "serial/by-id/*")
_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _of_the_state(find: Callable[[Site], Iterable[str]], *, files: bool = False) -> _Complete:
    """Return what completes to names that `find` gets from a site, and with `files` to files, too."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = []
        try:
            site = ctx.params.get("site")
            names = set() if site is None else set(find(site))
            found = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
        except (OSError, ValueError, KeyError, TypeError, FleetmintError):
            pass  # a prompt is no place for a message
        if files and not found:
            found = [CompletionItem(incomplete, type="file")]
        return found

    return complete


def _devices(site: Site) -> Iterator[str]:
    for path in site.registrations():
        yield from (str(each["device"]) for each in json.loads(path.read_bytes())["devices"])


def _operators(site: Site) -> Iterator[str]:
    return (path.stem for path in site.operators.glob("*@*.crt"))


batches = _of_the_state(Site.batch_names)
devices = _of_the_state(_devices)
operators = _of_the_state(_operators)
gateways = _of_the_state(lambda site: site.gateways)
# What a CA can revoke: a name, or else a file.
revocable = _of_the_state(lambda site: (*_devices(site), *_operators(site)), files=True)


def ports(_ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the serial ports that boards are at, and `auto` where a command takes several."""
    found = [str(path) for pattern in _PORTS for path in sorted(Path("/dev").glob(pattern))]
    words = [*(["auto"] if parameter.multiple else []), *found]
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
