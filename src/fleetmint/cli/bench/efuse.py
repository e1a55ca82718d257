"""`fleetmint efuse`: the key of an encrypted NVS into an eFuse of its board, for ever."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from fleetmint.burn_codes import BurnCode
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, say
from fleetmint.cli.place import ledger_option, passphrases_option, site_option
from fleetmint.cli.signals import undisturbed
from fleetmint.errors import BurnError, FleetmintError, StateError
from fleetmint.flash.efuse import KEY_BLOCKS, read_efuses
from fleetmint.plan import Plan, plain
from fleetmint.site.state import Site

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.batch import secrets
    from fleetmint.batch.encryption import HMAC
    from fleetmint.batch.secrets import BatchSecrets
    from fleetmint.bench.efuse import SealedKey, Target, bound_device, device_of, plan_hmac_key
    from fleetmint.ledger import open_factory_ledger, open_ledger


@click.command(
    epilog=examples(
        "fleetmint efuse spring --port /dev/ttyACM0 --check",
        "fleetmint efuse spring --port /dev/ttyACM0 --block 1",
    )
)
@click.argument("batch", shell_complete=completion.batches)
@site_option
@click.option(
    "--port", required=True, metavar="PORT", shell_complete=completion.ports, help="Serial port of the board."
)
@click.option(
    "--block",
    type=click.IntRange(KEY_BLOCKS.start, KEY_BLOCKS.stop - 1),
    default=0,
    show_default=True,
    help="Key block that the firmware uses: its CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID.",
)
@check_option
@ledger_option
@passphrases_option
@json_option
def efuse(
    site: Site,
    batch: str,
    port: str,
    block: int,
    check: bool,
    passphrases: str | None,
    as_json: bool,
) -> None:
    """Burn the HMAC key of a device into an eFuse of the board on the port. This cannot be undone.

    BATCH has to have nvs_encryption: hmac. Do it before `fleetmint burn`: firmware that starts without the key burns
    one of its own. The board becomes the next free device of the batch, unless it is one already, and `fleetmint burn`
    goes on with that. The command asks for the id of the device before it burns. What was meant and what was done is
    recorded in the ledger; running it again changes nothing.
    """
    known = secrets.load(site.batches / batch, site.source(passphrases))
    if known.nvs_encryption != HMAC:
        raise StateError(
            f"the batch {batch} has nvs_encryption {known.nvs_encryption}, so its boards need no key in an eFuse"
        )
    engine = open_ledger(site.ledger, bench=True) if check else open_factory_ledger(site.ledger)
    try:
        target = Target(port, read_efuses(port), block)
        if target.efuses.chip != known.chip:
            raise BurnError(
                f"{port}: the board is an {target.efuses.chip}, the batch is for {known.chip}", BurnCode.WRONG_CHIP
            )
        if check:
            device = device_of(engine, target.efuses.mac, batch)
            if device is None:
                _say_free(as_json, target, batch)
            else:
                _say(as_json, _plan(engine, target, device, known), burned=False)
            return
        with bound_device(engine, target, batch, _now) as device:
            plan = _plan(engine, target, device, known)
            if plan.changed:
                _confirm(plan.reasons[0], device)
                with undisturbed():  # an eFuse that is half-burned is so for ever
                    plan.apply()
        _say(as_json, plan, burned=plan.changed)
    finally:
        engine.dispose()


def _plan(engine: Engine, target: Target, device: str, known: BatchSecrets) -> Plan[SealedKey]:
    key = known.of(device).nvs_key
    if key is None:
        raise StateError(f"{device} has no key for its NVS: the secrets of its batch are damaged")
    return plan_hmac_key(engine, target, device, key, _now)


def _say(as_json: bool, plan: Plan[SealedKey], *, burned: bool) -> None:
    key, reason = plan.expected, "".join(plan.reasons)
    there = f"{key.device} has its key in block {key.block} of {key.mac} already"
    told = f"done: {reason}" if burned else f"would {reason}" if plan.changed else there
    say(as_json, {**plain(key), "changed": plan.changed}, told)


def _say_free(as_json: bool, target: Target, batch: str) -> None:
    empty = target.efuses.blocks[target.block].empty
    told = (
        f"{target.efuses.mac} is no device yet: would make it the next free one of {batch}"
        + (f", and burn its key into block {target.block}, which is empty" if empty else "")
        + ("" if empty else f", but block {target.block} is in use")
    )
    facts = {"device": None, "mac": target.efuses.mac, "block": target.block}
    say(as_json, {**facts, "changed": empty}, told)


def _now() -> datetime:
    return datetime.now(UTC)


def _confirm(reason: str, device: str) -> None:
    click.echo(f"This will {reason}.", err=True)
    try:
        typed = click.prompt(f"Type {device} to burn it", err=True, default="", show_default=False)
    except click.Abort:
        raise FleetmintError("nobody confirmed: nothing was burned") from None
    if typed.strip() != device:
        raise FleetmintError(f"that is not {device}: nothing was burned")
