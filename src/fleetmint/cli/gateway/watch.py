"""`fleetmint gateway watch-broker`: the service that looks after the broker, and what it found."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

import click

from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples

with for_work():
    from fleetmint.gateway.alerts import due_file
    from fleetmint.gateway.broker.handshakes import Patience
    from fleetmint.gateway.broker.retained import Bounds
    from fleetmint.gateway.broker.watch import Limits, Places, Watch
    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.config import config_path, load_config

_positive = click.IntRange(min=1)


@click.command(
    "watch-broker", epilog=examples("fleetmint gateway watch-broker …    systemctl cat fleetmint-broker-watch shows it")
)
@click.option(
    "--devices-port",
    "devices_ports",
    type=_positive,
    required=True,
    multiple=True,
    help="Port of a listener of the broker for devices; may be given several times.",
)
@click.option("--operators-port", type=_positive, required=True, help="Port of the broker's listener for operators.")
@click.option("--retained", type=_positive, required=True, help="Retained messages that a device may have.")
@click.option("--retained-bytes", type=_positive, required=True, help="Bytes that they may take in the broker.")
@click.option("--retained-total", type=_positive, required=True, help="Bytes that those of all devices may take.")
@click.option("--subscriptions", type=_positive, required=True, help="Subscriptions that a device may keep.")
@click.option("--handshake-seconds", type=_positive, required=True, help="How long a client may take to be let in.")
@click.option("--devices-handshakes", type=_positive, required=True, help="Devices that may be at it at once.")
@click.option("--operators-handshakes", type=_positive, required=True, help="Operators that may be at it at once.")
@click.option("--memory", type=_positive, required=True, help="Bytes of memory that the broker may take.")
@click.option("--database", type=_positive, required=True, help="Bytes on disk from which on there is an alarm.")
@click.pass_context
def watch_broker(
    ctx: click.Context,
    devices_ports: tuple[int, ...],
    operators_port: int,
    retained: int,
    retained_bytes: int,
    retained_total: int,
    subscriptions: int,
    handshake_seconds: int,
    devices_handshakes: int,
    operators_handshakes: int,
    memory: int,
    database: int,
) -> None:
    """Keep every client of the broker within its bounds: the service fleetmint-broker-watch, which never ends.

    What it finds is in the journal and in `fleetmint gateway audit`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = load_config(ctx.obj or config_path())

    def patience(total: int) -> Patience:
        # One source has less than all there are, or it would need no second one to keep everybody out.
        return Patience(handshake_seconds, max(1, total * 3 // 4), total)

    limits = Limits(
        retained=Bounds(retained, retained_bytes, retained_total),
        subscriptions=subscriptions,
        subscription_bytes=256 * subscriptions,
        handshakes={
            **dict.fromkeys(devices_ports, patience(devices_handshakes)),
            operators_port: patience(operators_handshakes),
        },
        memory=memory,
        database=database,
    )
    places = Places(
        socket=config.watch_socket,
        disconnect_socket=config.disconnect_socket,
        database=Path("/var/lib/mosquitto/mosquitto.db"),
        alarms=config.broker_alarms,
        due=due_file(config),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Watch(limits, places, utc_now).run()
