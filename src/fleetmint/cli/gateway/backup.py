"""`fleetmint gateway backup` and `restore`: for a Pi that is replaced, and a card that has died."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fleetmint import files
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option
from fleetmint.plan import plain

with for_work():
    from fleetmint.gateway import device_ca
    from fleetmint.gateway.backup import make_backup
    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.config import config_path, load_config
    from fleetmint.gateway.restore import plan_restore


_file = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog=examples("fleetmint gateway backup /var/lib/fleetmint/backup.tar"))
@click.argument("path", metavar="FILE", type=_file)
@json_option
@click.pass_context
def backup(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Write ledger and CRL of this gateway to FILE, while the service goes on. It holds no key and no token."""
    data = make_backup(load_config(ctx.obj or config_path()))
    files.write_atomically(path, data)
    values = {"path": str(path), "bytes": len(data)}
    click.echo(json.dumps(values) if as_json else f"{path}: {len(data)} bytes; keep it off this machine")


@click.command(
    epilog=examples(
        "fleetmint gateway restore --check backup.tar",
        "fleetmint gateway restore --replace --crl device.crl backup.tar",
    )
)
@click.argument("path", metavar="FILE", type=_file)
@click.option("--crl", "crls", multiple=True, type=_file, help="A newer CRL of the device CA, if somebody has one.")
@click.option("--keep-tokens", is_flag=True, help="The old gateway had ended its work before: unused tokens stay good.")
@click.option("--replace", is_flag=True, help="Put it in the place of a ledger that is here, which is kept beside it.")
@check_option
@json_option
@click.pass_context
def restore(
    ctx: click.Context,
    path: Path,
    crls: tuple[Path, ...],
    keep_tokens: bool,
    replace: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Go on with the ledger in FILE, an older one: the device CA has to be installed, and the service stopped.

    What the newest CRL revokes is revoked again, tokens that were unused then are void, and the next CRL has a higher
    number than any before. `publish` puts that in force.
    """
    config = load_config(ctx.obj or config_path())
    plan = plan_restore(
        config,
        device_ca.authorities(config),
        files.read(path, "backup"),
        utc_now(),
        crls={str(crl): files.read(crl, "CRL") for crl in crls},
        keep_tokens=keep_tokens,
        replace=replace,
    )
    restored = plan.carry_out(check=check)
    click.echo(json.dumps({"changed": plan.changed, **plain(restored)}) if as_json else "\n".join(plan.reasons))
