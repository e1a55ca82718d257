"""`fleetmint gateway init`, `import`, `devices` and `revoke`: what this gateway knows of its devices."""

from __future__ import annotations

from pathlib import Path

import click

from fleetmint import commands, files
from fleetmint.choices import REASONS
from fleetmint.cli.gateway.common import ACTOR, read_config, read_stdin, refuse_unpublished, say, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, table

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.in_force import Revoked, put_in_force, revoke_devices
    from fleetmint.gateway.intake import Report, open_signed, take
    from fleetmint.gateway.views import device_view
    from fleetmint.ledger import create_schema, reading, revocation
    from fleetmint.ledger.devices import list_devices, serial_text
    from fleetmint.ledger.schema import VERSION
    from fleetmint.ledger.upgrade import exists, look_for_version
    from fleetmint.x509 import names


@click.command("init", epilog=examples("fleetmint gateway init --check", "fleetmint gateway init"))
@check_option
@json_option
@click.pass_context
def init(ctx: click.Context, check: bool, as_json: bool) -> None:
    """Create the ledger, or bring an older one up to date after a copy of its file, which is kept beside it.

    A ledger on a PostgreSQL server is brought up to date in one transaction; make a copy with pg_dump before.
    """
    config = read_config(ctx)
    before = with_ledger(config, look_for_version) if exists(config.ledger) else ""
    changed = before != VERSION
    if not check:
        changed = with_ledger(
            config, lambda engine: create_schema(engine, site=config.site, owner=config.gateway), create=True
        )
    values = {"changed": changed, "migrated": bool(before) and changed, "before": before, "version": VERSION}
    say(as_json, values, _of_init(before, changed=changed, check=check))


def _of_init(before: str, *, changed: bool, check: bool) -> str:
    if not changed:
        return "the ledger exists already"
    would = "would be" if check else "was"
    return f"the ledger {would} " + (f"brought from version {before} to {VERSION}" if before else "created")


@click.command(
    "import",
    epilog=examples(
        "fleetmint gateway import spring.registration --check", "fleetmint gateway import spring.registration"
    ),
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@check_option
@json_option
@click.pass_context
def import_(ctx: click.Context, file: Path | None, check: bool, as_json: bool) -> None:
    """Bring a registration or a handover of the factory into the ledger, wholly or not at all.

    FILE has to be signed by a station (`fleetmint batch register --to`, `handover --to`); `-` takes it on stdin, from
    a directory where the account of the service may not read. Without FILE the document comes on stdin and needs no
    signature: who may run this command may do anything here.
    """
    config, now = read_config(ctx), utc_now()
    document = read_stdin() if file is None or file == Path("-") else files.read(file, "signed file")
    actor = ACTOR
    if file is not None:
        document, actor = open_signed(config, document, now)

    def run(engine: Engine) -> tuple[Report, tuple[str, ...]]:
        done = take(engine, config, document, actor=actor, now=now, check=check)
        revoked = done.counts.get("revoked") and not check
        return done, put_in_force(engine, config, {}, now=now, actor=actor).problems if revoked else ()

    done, problems = with_ledger(config, run)
    say(as_json, {**done.values(), "actor": actor}, done.text())
    refuse_unpublished(problems)


@click.command(
    "devices",
    epilog=examples(
        "fleetmint gateway devices",
        "fleetmint gateway devices --json | jq '.devices[] | select(.status == \"active\") | .device'",
    ),
)
@json_option
@click.pass_context
def devices(ctx: click.Context, as_json: bool) -> None:
    """List the devices of this gateway."""

    def run(engine: Engine) -> list[dict[str, str | None]]:
        with reading(engine) as connection:
            return [device_view(device) for device in list_devices(connection)]

    rows = with_ledger(read_config(ctx), run)
    if as_json or not rows:
        say(as_json, {"devices": rows}, "no device is registered yet")
    else:
        table(list(rows[0]), [[value or "" for value in row.values()] for row in rows])


@click.command("revoke", epilog=examples("fleetmint gateway revoke lamp-000002 --reason key_compromise"))
@click.argument("device")
@click.option("--reason", type=click.Choice(REASONS), default=REASONS[0], show_default=True, help="Why.")
@check_option
@json_option
@click.pass_context
def revoke(ctx: click.Context, device: str, reason: str, check: bool, as_json: bool) -> None:
    """Take DEVICE off the fleet for ever, at once: its certificates, its token, its live session.

    What the factory CA issued to it is shut out on this gateway, and said with the command that puts it on that CA's
    list, which is signed on the controller. With --json `in_force` says whether nginx and the broker know of it, and
    the exit code whether the ledger does.
    """
    wanted, config = names.device_id(device), read_config(ctx)

    def run(engine: Engine) -> tuple[revocation.Revocation, Revoked | None]:
        with reading(engine) as connection:
            found = revocation.look_up(connection, wanted)
        if check:
            return found, None
        return found, revoke_devices(engine, config, [wanted], {}, reason=reason, now=utc_now(), actor=ACTOR)

    found, done = with_ledger(config, run)
    values = {
        **({"changed": found.changed} if done is None else done.values()),
        "device": found.device,
        "serials": [serial_text(serial) for serial, _ in found.certificates],
        "issuers": [issuer for _, issuer in found.certificates],
    }
    text = f"{device} is revoked" if found.changed else f"{device} was revoked before"
    if done is not None and done.unlisted:
        text += (
            ". This gateway refuses what the factory CA issued to it, and ends its session; others do when it is on the"
            f" list of that CA, whose key is not here: run {commands.fleetmint('revoke', device)}"
        )
    say(as_json, values, text)
    if done is not None and not as_json:
        refuse_unpublished(done.in_force.problems)
