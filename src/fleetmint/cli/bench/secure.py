"""`fleetmint secure`: encrypted NVS, secure boot and flash encryption into a board, as one transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetmint import commands
from fleetmint.burn_codes import BurnCode
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, say
from fleetmint.cli.place import ledger_option, passphrases_option, site_option
from fleetmint.cli.signals import undisturbed
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.flash.efuse import KEY_BLOCKS
from fleetmint.site.state import Site

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.batch import secrets
    from fleetmint.bench import secure as transaction
    from fleetmint.bench.secure_steps import IMAGES, risks
    from fleetmint.flash.signature import MOST_KEYS, read_public_key
    from fleetmint.ledger import open_factory_ledger, open_ledger

if TYPE_CHECKING:
    from fleetmint.bench.secure import State, Wanted
    from fleetmint.bench.secure_steps import Step
    from fleetmint.flash.burn import Progress


@click.command(
    epilog=examples(
        "fleetmint secure vaults --port /dev/ttyACM0 --firmware vault.bin --boot-key public.pem --check",
        "fleetmint secure vaults --port /dev/ttyACM0 --firmware vault.bin --boot-key public.pem --boot-key spare.pem",
        "fleetmint secure vaults --finished vault-000007",
    )
)
@click.argument("batch", shell_complete=completion.batches)
@site_option
@click.option("--port", metavar="PORT", shell_complete=completion.ports, help="Serial port of the board.")
@click.option(
    "--firmware",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Signed firmware from the bootloader to the end of the app, as esptool merge-bin makes it.",
)
@click.option(
    "--boot-key",
    "boot_keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Public key of secure boot, RSA-3072 in PEM; up to three times. The firmware has to be signed by one of them.",
)
@click.option(
    "--hmac-block",
    type=click.IntRange(KEY_BLOCKS.start, KEY_BLOCKS.stop - 1),
    default=0,
    show_default=True,
    help="Key block of nvs_encryption hmac: the firmware's CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID.",
)
@click.option(
    "--finished",
    metavar="DEVICE",
    shell_complete=completion.devices,
    help="Record the last step of a board that tells nothing any more.",
)
@check_option
@ledger_option
@passphrases_option
@json_option
def secure(
    site: Site,
    batch: str,
    port: str | None,
    firmware: Path | None,
    boot_keys: tuple[Path, ...],
    hmac_block: int,
    finished: str | None,
    check: bool,
    passphrases: str | None,
    as_json: bool,
) -> None:
    """Burn the board on the port with encrypted NVS, secure boot and flash encryption. This cannot be undone.

    BATCH has to have flash_encryption: aes128. The board becomes the next free device of the batch, unless it is one
    already. Its images are written encrypted, then its eFuses are burned step by step; each step is recorded in the
    ledger before and after it, and the same command goes on where a run was cut. It asks for the id of the device
    before it writes anything; --check shows the steps and the risks. Only the public key of secure boot is needed.
    """
    if finished is not None:
        _finish(site, batch, finished, as_json)
        return
    if port is None or firmware is None or not 1 <= len(boot_keys) <= MOST_KEYS:
        raise click.UsageError(f"name --port, --firmware and one to {MOST_KEYS} times --boot-key")
    digests = tuple(read_public_key(path) for path in boot_keys)
    known = secrets.load(site.batches / batch, site.source(passphrases))
    wanted = transaction.prepare(batch, known, firmware, digests, hmac_block)
    engine = open_ledger(site.ledger, bench=True) if check else open_factory_ledger(site.ledger)
    try:
        state = _look(engine, port, wanted)
        if check:
            _say(as_json, state, wanted, changed=bool(state.left))
            return
        with undisturbed():  # an eFuse that is half-burned is so for ever
            done = transaction.secure(engine, port, wanted, state, _confirm(wanted), _now, _watch)
        _say(as_json, done, wanted, changed=bool(done.left), burned=True)
    finally:
        engine.dispose()


def _look(engine: Engine, port: str, wanted: Wanted) -> State:
    try:
        return transaction.look(engine, port, wanted)
    except BurnError as error:
        if error.code is not BurnCode.SECURED or "secure download" not in str(error):
            raise
        begun = transaction.unfinished(engine, wanted.batch)
        told = "that is the last step, and nothing is left to do"
        if begun:
            told += (
                f", but for one record: the last step of {', '.join(begun)} was begun. If this is that board:"
                f" {commands.fleetmint('secure', wanted.batch, '--finished', begun[0])}"
            )
        raise BurnError(f"{error}: {told}", error.code) from error


def _finish(site: Site, batch: str, device: str, as_json: bool) -> None:
    engine = open_factory_ledger(site.ledger)
    try:
        transaction.finish(engine, batch, device, _now)
    finally:
        engine.dispose()
    say(as_json, {"device": device, "batch": batch}, f"{device} is recorded as secured and burned")


def _confirm(wanted: Wanted) -> transaction.Confirm:
    def confirm(state: State) -> None:
        device = str(state.device)
        click.echo(f"The board {state.efuses.mac} becomes {device}. This will:", err=True)
        for line in _lines(state):
            click.echo(line, err=True)
        click.echo("Know before:", err=True)
        for risk in risks(wanted.keys(state.device)):
            click.echo(f"  - {risk}", err=True)
        try:
            typed = click.prompt(f"Type {device} to go on", err=True, default="", show_default=False)
        except click.Abort:
            raise FleetmintError("nobody confirmed: nothing was written or burned") from None
        if typed.strip() != device:
            raise FleetmintError(f"that is not {device}: nothing was written or burned")

    return confirm


def _watch(step: Step, progress: Progress | None) -> None:
    if progress is None:
        click.echo(f"{step.name}: {step.text}", err=True)
    elif progress.done == progress.total:
        click.echo(f"  {progress.region}: written", err=True)


def _say(as_json: bool, state: State, wanted: Wanted, *, changed: bool, burned: bool = False) -> None:
    steps = [{"name": step.name, "text": step.text, "done": burned or step.name in state.done} for step in state.steps]
    facts = {"device": state.device, "mac": state.efuses.mac, "batch": wanted.batch, "firmware": wanted.sha256}
    if burned:
        told = f"{state.device} ({state.efuses.mac}) is secured" + ("" if changed else " already")
    else:
        whose = f"is {state.device}" if state.device else f"would become the next free device of {wanted.batch}"
        lines = [f"The board {state.efuses.mac} {whose}. This would:", *_lines(state), "Know before:"]
        lines += [f"  - {risk}" for risk in risks(wanted.keys(state.device))]
        told = "\n".join(lines) if changed else f"{state.device} ({state.efuses.mac}) has every step done"
    say(as_json, {**facts, "changed": changed, "steps": steps}, told)


def _lines(state: State) -> list[str]:
    return [
        f"  {number}. {step.text}" + (" (done)" if step.name in state.done else _again(step))
        for number, step in enumerate(state.steps, 1)
    ]


def _again(step: Step) -> str:
    return ", where they are not there yet" if step.name == IMAGES else ""


def _now() -> datetime:
    return datetime.now(UTC)
