"""`fleetmint batch`: a batch of devices, from its file to what the gateway knows of it."""

import click

from fleetmint.cli.handover import handover, register


@click.group()
def batch() -> None:
    """Work on a batch of devices."""


batch.add_command(register)
batch.add_command(handover)
