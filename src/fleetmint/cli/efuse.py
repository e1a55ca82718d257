"""`fleetmint efuse`: the key of an encrypted NVS into an eFuse of its board, for ever."""

from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.site import bench_source, passphrases_option, state_option
from fleetmint.errors import FleetmintError, StateError
from fleetmint.factory import secrets
from fleetmint.factory.efuse import Target, device_of, plan_hmac_key
from fleetmint.factory.encryption import HMAC
from fleetmint.flash.efuse import KEY_BLOCKS, read_efuses
from fleetmint.ledger import open_ledger


@click.command(
    epilog=examples(
        "fleetmint efuse --batch spring --port /dev/ttyACM0 --dry-run",
        "fleetmint efuse --batch spring --port /dev/ttyACM0 --block 1",
        "fleetmint efuse --batch spring --port virtual:esp32s3:efuses.bin     (a rehearsal, without a board)",
    )
)
@state_option
@click.option("--batch", required=True, help="Name of the batch, made with nvs_encryption: hmac.")
@click.option("--port", required=True, help="Serial port of the board.")
@click.option(
    "--block",
    type=click.IntRange(KEY_BLOCKS.start, KEY_BLOCKS.stop - 1),
    default=0,
    show_default=True,
    help="Key block that the firmware uses: its CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be burned, and burn nothing.")
@passphrases_option
@json_option
def efuse(
    state: Path, batch: str, port: str, block: int, dry_run: bool, passphrases: str | None, as_json: bool
) -> None:
    """Burn the HMAC key of the device on the port into an eFuse of its board. This cannot be undone.

    The last step for a device with an encrypted NVS, after `fleetmint burn`: its firmware makes the keys of the NVS of
    it, and no software can read it. The command asks for the id of the device before it burns. It is recorded in the
    ledger before and after; running it again changes nothing.
    """
    known = secrets.load(state / "batches" / batch, bench_source(state, passphrases))
    if known.nvs_encryption != HMAC:
        raise StateError(
            f"the batch {batch} has nvs_encryption {known.nvs_encryption}, so its boards need no key in an eFuse"
        )
    engine = open_ledger(f"sqlite:///{(state / 'ledger.sqlite').absolute()}")
    try:
        efuses = read_efuses(port)
        device = device_of(engine, efuses.mac, batch)
        key = known.of(device).nvs_key
        if key is None:
            raise StateError(f"{device} has no key for its NVS: the secrets of {batch} are damaged")
        plan = plan_hmac_key(engine, Target(port, efuses, block), device, key, lambda: datetime.now(UTC))
        if plan.changed and not dry_run:
            _confirm(plan.reasons[0], device)
            plan.apply()
    finally:
        engine.dispose()
    done = plan.reasons[0] if plan.changed else f"{device} has its key in block {block} of {efuses.mac} already"
    told = f"would {done}" if plan.changed and dry_run else f"done: {done}" if plan.changed else done
    say(as_json, {**plan.facts, "changed": plan.changed and not dry_run, "would_change": plan.changed}, told)


def _confirm(reason: str, device: str) -> None:
    click.echo(f"This will {reason}.", err=True)
    try:
        typed = click.prompt(f"Type {device} to burn it", err=True, default="", show_default=False)
    except click.Abort:
        raise FleetmintError("nobody confirmed: nothing was burned") from None
    if typed.strip() != device:
        raise FleetmintError(f"that is not {device}: nothing was burned")
