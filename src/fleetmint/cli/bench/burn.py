"""`fleetmint burn`: identities of a batch into the boards on the ports."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import commands
from fleetmint.cli import completion
from fleetmint.cli.bench.burn_view import Events, Lines, LiveTable, Tally, View, Watcher
from fleetmint.cli.bench.handover import gateway_of, tell_handover
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.cli.place import (
    DEVICE_PROGRAM,
    as_option,
    gateway_option,
    ledger_option,
    passphrases_option,
    site_option,
)
from fleetmint.errors import FleetmintError
from fleetmint.flash.job import DEFAULT_BAUD
from fleetmint.site.state import Site

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.bench.bench import Bench, burn_ports, left, open_station
    from fleetmint.bench.enrolment_check import EnrolmentCheck
    from fleetmint.bench.outcome import ENDS, WAITING, Outcome
    from fleetmint.bench.slots import Slots
    from fleetmint.flash.ports import boards, find_ports, without_driver
    from fleetmint.ledger import open_factory_ledger, writing
    from fleetmint.ledger.factory import take_back
    from fleetmint.site import in_force
    from fleetmint.site.client import open_gateway


AUTO = "auto"


@click.command(
    epilog=examples(
        "fleetmint burn spring --port auto --bell",
        "fleetmint burn spring --port /dev/ttyUSB0 --port /dev/ttyUSB1 --firmware ESP32_GENERIC.bin",
        "fleetmint burn spring --port /dev/ttyUSB0 --once --json",
    )
)
@click.argument("batch", shell_complete=completion.batches)
@site_option
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="PORT",
    shell_complete=completion.ports,
    required=True,
    help="Serial port of a board, such as /dev/ttyUSB0; may be repeated. auto: every port with a usual USB bridge.",
)
@click.option("--once", is_flag=True, help="Serve each port once and end, as a script wants it.")
@click.option("--jig", is_flag=True, help="The adapters stay: ask every 2 s for another board.")
@click.option(
    "--baud", type=click.IntRange(9600, 2_000_000), default=DEFAULT_BAUD, show_default=True, help="Speed of the line."
)
@click.option("--firmware", type=click.Path(dir_okay=False, path_type=Path), help="MicroPython .bin to flash first.")
@click.option("--other-firmware", is_flag=True, help="Burn boards whose firmware is not MicroPython, too.")
@click.option("--sha256", help="SHA-256 that the firmware has to have.")
@click.option(
    "--app-dir",
    "app",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEVICE_PROGRAM,
    help="The devices' program.",
)
@ledger_option
@passphrases_option
@click.option("--test", type=click.FloatRange(min=1), metavar="SECONDS", help="Hear of each device before it is done.")
@click.option("--reprovision", is_flag=True, help="Give boards of yours a new identity; the old one is revoked first.")
@as_option
@gateway_option
@click.option("--unregistered", is_flag=True, help="Burn devices that the gateway does not know yet, too.")
@click.option("--bell", is_flag=True, help="Ring the terminal's bell when a board fails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each step of each board.")
def burn(
    site: Site,
    batch: str,
    ports: tuple[str, ...],
    once: bool,
    jig: bool,
    baud: int,
    firmware: Path | None,
    other_firmware: bool,
    sha256: str | None,
    app: Path,
    passphrases: str | None,
    test: float | None,
    reprovision: bool,
    name: str | None,
    gateway: str | None,
    unregistered: bool,
    bell: bool,
    as_json: bool,
) -> None:
    """Burn the boards of BATCH, all ports at the same time and board after board: take one out, put the next one in.

    The batch has to be registered with its gateway: `fleetmint batch register` or playbooks/factory.yml does it. This
    ends when the batch is done. Ctrl-C ends it earlier, after the boards that are being written; a second one at once.
    Running the command again goes on where it was: a board
    that is done stays as it is, one that was cut gets the same identity. Exits with 1 when a board failed.
    """
    if AUTO in ports and set(ports) != {AUTO}:
        raise click.UsageError("--port auto finds every board by itself: name it alone, or name ports")
    directory, ledger = site.batch(batch), site.ledger

    def retire(device: str) -> None:
        with _open(ledger) as engine, writing(engine) as connection:
            unit = take_back(connection, device, "reprovisioned", actor="factory", now=datetime.now(UTC))
        tell_handover(site, unit.batch, name, None)
        told = in_force.end(site, name, gateway_of(site, unit.batch), [device], for_ever=True)
        if any(each.problem for each in told):
            raise FleetmintError(in_force.in_words(told, commands.playbook("revoke.yml", device=device)))

    check = EnrolmentCheck(open_gateway(site, name, gateway), test) if test else None
    if check is not None:
        check.start()
    bench = Bench(directory, ledger, app, site.source(passphrases), firmware, sha256, unregistered, baud, check)
    bench = replace(bench, other_firmware=other_firmware)
    if reprovision:
        bench = replace(bench, retire=retire)
    if not left(bench):
        click.echo(
            f"every device of {batch} is burned already: boards of it are looked at, and none is burned", err=True
        )
    slots = _auto(once) if AUTO in ports else _named(ports, once)
    tally = Tally(lambda: left(bench))
    view: View = Events(tally) if as_json else LiveTable(tally) if sys.stdout.isatty() else Lines(tally)
    watch = Watcher(view, tally, bell)
    try:
        if once:
            burn_ports(bench, slots(), watch)
        else:
            _go_on(bench, slots, jig, watch)
    finally:
        view.end()
        if tally.ended > tally.failed:
            _hand_over(site, batch, name, tally, watch.failures)
    if not tally.served and left(bench):
        raise FleetmintError(f"no board was burned: none was found on {', '.join(ports)}")
    if tally.failed:
        sys.exit(1)


def _go_on(bench: Bench, ports: Callable[[], Sequence[str]], jig: bool, watch: Watcher) -> None:
    """Serve board after board; Ctrl-C and SIGTERM let those be finished that are being written."""
    busy = _Busy(watch)
    with open_station(bench, busy) as station, _terminated_as_interrupted():
        slots = Slots(station, ports, jig)
        try:
            slots.run()
        except KeyboardInterrupt:
            click.echo("ending: the boards that are being written are finished; Ctrl-C again to leave them", err=True)
            slots.stop()
            try:
                slots.run()
            except KeyboardInterrupt:
                for port in busy.ports():
                    click.echo(f"{port} is not done: burn its board again, it gets the same identity", err=True)
                slots.abandon()
                slots.run()


class _Busy:
    """Knows which ports have a board under way."""

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}

    def __call__(self, outcome: Outcome) -> None:
        with self._lock:
            self._states[outcome.port] = outcome.state
        self._watch(outcome)

    def ports(self) -> list[str]:
        with self._lock:
            return sorted(port for port, state in self._states.items() if state not in (*ENDS, WAITING))


@contextmanager
def _open(url: str) -> Iterator[Engine]:
    engine = open_factory_ledger(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _hand_over(site: Site, batch: str, name: str | None, tally: Tally, failures: Sequence[str]) -> None:
    """Tell the gateway what came of the boards, and the person what to do next: on stderr, behind what went well."""
    again = commands.fleetmint("batch", "handover", batch)
    try:
        click.echo(f"handed over: {tell_handover(site, batch, name, None)}", err=True)
    except FleetmintError as error:
        click.echo(f"not handed over to the gateway ({error})", err=True)
        click.echo(f"next: {again} once the gateway can be reached from here, or with --to FILE", err=True)
    if failures:
        click.echo(f"next: mend what is said above of {', '.join(failures)}, and burn those boards again", err=True)
    if tally.done:
        listen = commands.fleetmint("devices")
        click.echo(f"next: switch the boards on where their Wi-Fi is; {listen} shows which have enrolled", err=True)
    if tally.remaining:
        click.echo(f"next: {tally.remaining} of {batch} are left: the same command goes on with them", err=True)


def _named(ports: Sequence[str], once: bool) -> Callable[[], Sequence[str]]:
    """Say which ports are not there; a port that is named twice is one."""
    several = {os.path.realpath(port): port for port in ports}
    for port in several.values():
        if not once and not Path(port).exists():
            others = ", ".join(boards(find_ports())) or "none"
            click.echo(f"there is no port {port}: waiting for a board there (connected: {others})", err=True)
    return lambda: tuple(several.values())


def _auto(once: bool) -> Callable[[], Sequence[str]]:
    """Say which ports there are and why some are left out; return a function that looks for them again.

    Raises FleetmintError when there is none and `once` forbids to wait.
    """
    found = find_ports()
    for port in found:
        click.echo(f"{port.device}: {port.left_out or port.title}", err=True)
    for sentence in without_driver(found):
        click.echo(sentence, err=True)
    if not boards(found) and once:
        raise FleetmintError(
            "no board is connected, and nothing was burned: connect one with a cable that carries data, or name its"
            " port with --port"
        )
    if not boards(found):
        click.echo("no board is connected yet: waiting for one", err=True)
    return lambda: boards(find_ports())
