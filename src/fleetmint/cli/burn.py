"""`fleetmint burn`: identities of a batch into the boards on the ports."""

import json
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import click

from fleetmint.cli.site import bench_source, passphrases_option, state_option
from fleetmint.errors import FleetmintError
from fleetmint.factory.bench import Bench, Outcome, burn_ports, left

# The program of the devices, beside this package in a checkout.
APP = Path(__file__).resolve().parents[3] / "firmware"


@click.command()
@state_option
@click.option("--batch", required=True, help="Name of the batch, as playbooks/factory.yml made it.")
@click.option(
    "--port",
    "ports",
    multiple=True,
    required=True,
    help="Serial port of a board, such as /dev/ttyUSB0; may be repeated.",
)
@click.option("--firmware", type=click.Path(dir_okay=False, path_type=Path), help="MicroPython .bin to flash first.")
@click.option("--sha256", help="SHA-256 that the firmware has to have.")
@click.option("--app", type=click.Path(file_okay=False, path_type=Path), default=APP, help="The devices' program.")
@passphrases_option
@click.option("--unregistered", is_flag=True, help="Burn devices that the gateway does not know yet, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a board.")
def burn(
    state: Path,
    batch: str,
    ports: tuple[str, ...],
    firmware: Path | None,
    sha256: str | None,
    app: Path,
    passphrases: str | None,
    unregistered: bool,
    as_json: bool,
) -> None:
    """Burn the board on each port, all at the same time.

    The batch has to be registered with its gateway: `fleetmint batch register` or playbooks/factory.yml does it.
    Running the command again goes on where it was; a board that is done stays as it is. Exits with 1 when a board could
    not be burned.
    """
    directory = state / "batches" / batch
    if not directory.is_dir():
        raise FleetmintError(f"there is no batch {batch} in {state}: make it with playbooks/factory.yml")
    ledger = f"sqlite:///{(state / 'ledger.sqlite').absolute()}"
    bench = Bench(directory, ledger, app, bench_source(state, passphrases), firmware, sha256, unregistered)
    outcomes = burn_ports(bench, ports, _Lines() if not as_json else lambda _outcome: None)
    for outcome in outcomes:
        if as_json:
            click.echo(json.dumps({name: value for name, value in asdict(outcome).items() if value not in ("", 0)}))
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    click.echo(
        f"{len(ports) - len(failed)} of {len(ports)} boards done, {left(bench)} devices of {batch} left", err=True
    )
    if failed:
        sys.exit(1)


class _Lines:
    """One line for each step of each board: port, state, and what it is about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._region: dict[str, str] = {}

    def __call__(self, outcome: Outcome) -> None:
        with self._lock:
            if outcome.state == "burning" and self._region.get(outcome.port) == outcome.region:
                return
            self._region[outcome.port] = outcome.region
            about = " ".join(
                part
                for part in (
                    outcome.device,
                    outcome.mac,
                    outcome.region,
                    outcome.reason,
                    f"in {outcome.seconds:.1f} s" if outcome.seconds else None,
                )
                if part
            )
            click.echo(f"{outcome.port}  {outcome.state:8}  {about}")
