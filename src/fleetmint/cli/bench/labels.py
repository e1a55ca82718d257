"""`fleetmint batch labels`: labels to print."""

from __future__ import annotations

from pathlib import Path

import click

from fleetmint import commands, files
from fleetmint.choices import LABEL_FORMATS, UNIT_STATES
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.cli.place import ledger_option, site_option
from fleetmint.errors import StateError
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch import labels as sheets
    from fleetmint.batch import overview


@click.command(
    epilog=examples(
        "fleetmint batch labels spring --out spring.pdf",
        "fleetmint batch labels spring --only burned --size 40x20 --out spring.svg",
    )
)
@click.argument("name", metavar="BATCH", shell_complete=completion.batches)
@site_option
@ledger_option
@click.option(
    "--format", "form", type=click.Choice(LABEL_FORMATS), help="Of the file; as its name ends by default, or else pdf."
)
@click.option("--size", default="50x25", show_default=True, metavar="WxH", help="Of a label, in millimetres.")
@click.option("--only", type=click.Choice(UNIT_STATES), help="Labels of devices in this state only.")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File, or - for stdout.",
)
def labels(name: str, site: Site, form: str | None, size: str, only: str | None, out: Path) -> None:
    """Make a sheet with a label for each device of BATCH: A4, for scissors or a printer of labels.

    On a label are the id, product and hardware, the serial and, once the device is burned, the MAC; its QR code says
    id and serial. No secret. Print it at 100 %.
    """
    wanted, form = sheets.Size.parse(size), _form(form, out)
    rows = [row for row in overview.devices(site.batch(name), site.ledger) if only in (None, row["state"])]
    if not rows:
        that = f" that is {only}" if only else ""
        raise StateError(f"there is no device of {name}{that}: {commands.fleetmint('batch', 'show', name)} lists them")
    made = sheets.table(rows) if form == "csv" else _sheet(form, [sheets.label(row) for row in rows], wanted)
    if str(out) == "-":
        click.echo(made, nl=False)
        return
    files.write_atomically(out, made)
    click.echo(f"{out}: {len(rows)} labels", err=True)


def _form(form: str | None, out: Path) -> str:
    """Return the format of the file `out`: none that its name denies."""
    said = out.suffix.lower().removeprefix(".")
    if form is not None and said in LABEL_FORMATS and said != form:
        raise click.UsageError(f"--format {form} and a file that is called {out.name} are not the same: leave one out")
    return form or (said if said in LABEL_FORMATS else "pdf")


def _sheet(form: str, found: list[sheets.Label], size: sheets.Size) -> bytes:
    return sheets.pdf(found, size) if form == "pdf" else sheets.svg(found, size)
