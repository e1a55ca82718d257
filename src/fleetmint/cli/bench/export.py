"""`fleetmint batch export`: the devices of a batch as a table, or what one of them gets when it is no board."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import commands, files
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import ledger_option, passphrases_option, site_option
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch import overview
    from fleetmint.batch.export import plan_pem, plan_token
    from fleetmint.passphrases import open_source
    from fleetmint.x509.names import device_id


@click.command(
    epilog=examples(
        "fleetmint batch export spring > spring.csv",
        "fleetmint batch export sensors --token sensor-000001 --out sensor-000001.token",
        "fleetmint batch export sensors --pem sensor-000002 --out sensor-000002",
    )
)
@click.argument("name", metavar="BATCH", shell_complete=completion.batches)
@site_option
@ledger_option
@passphrases_option
@click.option(
    "--pem",
    metavar="DEVICE",
    shell_complete=completion.devices,
    help="Write ca.pem, cert.pem and key.pem of this device, whose key the factory made.",
)
@click.option(
    "--token",
    metavar="DEVICE",
    shell_complete=completion.devices,
    help="Write the token of this device, for `fleetmint enrol` on its machine.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write, or directory for --pem.")
@click.option("--again", is_flag=True, help="Although it was written before.")
@json_option
def export(
    name: str,
    site: Site,
    passphrases: str | None,
    pem: str | None,
    token: str | None,
    out: Path | None,
    again: bool,
    as_json: bool,
) -> None:
    """Write the devices of BATCH as CSV: ids, states, boards, serials of certificates. No secret.

    With --pem or --token write what one device of a batch for Linux machines (`chip: linux`) needs, to be carried there
    as a key is: readable by its owner only, and once.
    """
    if pem is None and token is None:
        if again:
            raise click.UsageError("--again is for --pem and --token")
        _table(name, site, out, as_json)
        return
    if pem is not None and token is not None:
        raise click.UsageError("give --pem or --token, not both")
    if out is None:
        raise click.UsageError("say where it goes with --out")
    source = site.source() if passphrases is None else open_source(passphrases)
    make, device = (plan_token, token) if pem is None else (plan_pem, pem)
    plan = make(site.batch(name), site.ledger, source, device_id(str(device)), out, datetime.now(UTC), again=again)
    plan.apply()
    if pem is None:
        command = commands.fleetmint("enrol", "--token-file", out.name, "--to", "DIRECTORY")
        hint = f"On its machine: {command}"
    else:
        hint = f"Copy {out} to its machine, delete it here, and keep it there with {commands.fleetmint('renew', 'DIR')}"
    say(as_json, {"device": device, "out": str(out)}, f"Written: {out}. {hint}.")


def _table(name: str, site: Site, out: Path | None, as_json: bool) -> None:
    rows = list(overview.devices(site.batches / device_id(name), site.ledger))
    made = io.StringIO()
    if as_json:
        made.write(json.dumps({"devices": rows}) + "\n")
    else:
        writer = csv.DictWriter(made, overview.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    if out is None:
        click.echo(made.getvalue(), nl=False)
    else:
        files.write_atomically(out, made.getvalue().encode())
