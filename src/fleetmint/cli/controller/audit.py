"""`fleetmint audit`: whether the factory's ledger and the controller's state keep their promises."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from fleetmint.cli import completion
from fleetmint.cli.findings import report
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import as_option, gateway_option, ledger_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch.handover import read_registration
    from fleetmint.batch.overview import is_of_machines
    from fleetmint.ledger import factory_audit, looking
    from fleetmint.ledger.factory import Unit, list_units
    from fleetmint.ledger.findings import Finding
    from fleetmint.ledger.schema import batches
    from fleetmint.site import audit as of_state
    from fleetmint.site import chain, early
    from fleetmint.site.client import open_gateway


@click.command(
    epilog=examples(
        "fleetmint audit",
        "fleetmint audit --ask-gateway --json",
        "fleetmint audit --acknowledge gateway --reason 'restored: the card died'",
    )
)
@site_option
@ledger_option
@click.option("--ask-gateway", is_flag=True, help="Compare with what the gateways know, too.")
@click.option(
    "--acknowledge",
    metavar="GATEWAY",
    shell_complete=completion.gateways,
    help="Go on from the ledger that a gateway has now: a person has restored it, or begun another.",
)
@click.option("--reason", metavar="TEXT", help="Why, for --acknowledge: it is kept.")
@as_option
@gateway_option
@json_option
def audit(
    site: Site,
    ask_gateway: bool,
    acknowledge: str | None,
    reason: str | None,
    name: str | None,
    gateway: str | None,
    as_json: bool,
) -> None:
    """Check that nothing has been lost, doubled or left lying about.

    One board for each identity and one identity for each board; every burn recorded once and with its result; the
    chain of events unbroken; batch files as the ledger has them; no private key outside its place; nothing signed
    by a clock that ran ahead. Asked, each gateway has to show that the events of its ledger go on from those that were
    seen before: in answers, in its CRLs, in its backups. Each finding says
    what to do. Exits with 1 when there is a finding. `fleetmint gateway audit` is the same for
    a gateway.
    """
    if acknowledge is not None or reason is not None:
        _acknowledge(site, name, acknowledge, reason, as_json)
        return
    found: list[Finding] = []
    units: list[Unit] = []
    if site.has_ledger:
        ledger_findings, units = _of_ledger(site.ledger)
        found += ledger_findings
        found += of_state.batch_findings(site, units)
    elif any(site.batches.glob("*")):
        found.append(
            Finding(f"there are batches in {site.directory} and no ledger", "restore the latest backup of the ledger")
        )
    found += of_state.key_findings(site)
    found += of_state.authority_findings(site)
    found += early.findings(site, datetime.now(UTC))
    if ask_gateway:
        found += _of_gateways(site, units, name, gateway)
    elif site.is_described and site.gateways and not as_json:
        click.echo(f"not asked: {', '.join(site.gateways)} (--ask-gateway)")
    report(as_json, found, f"{len(units)} identities checked")


def _acknowledge(site: Site, name: str | None, gateway: str | None, reason: str | None, as_json: bool) -> None:
    if gateway is None or not (reason or "").strip():
        raise click.UsageError("--acknowledge GATEWAY and --reason TEXT belong together")
    happened = chain.acknowledge(site, open_gateway(site, name, gateway), str(reason), datetime.now(UTC))
    say(as_json, {"changed": True, "gateway": gateway, "happened": happened}, f"acknowledged of {gateway}: {happened}")


def _of_ledger(url: str) -> tuple[list[Finding], list[Unit]]:
    with looking(url) as connection:
        named = connection.execute(batches.select().order_by(batches.c.batch)).all()
        units = [unit for row in named for unit in list_units(connection, row.batch)]
        return list(factory_audit.findings(connection)), units


def _of_gateways(site: Site, units: list[Unit], name: str | None, gateway: str | None) -> list[Finding]:
    mine: dict[str, list[Unit]] = {}
    where_of: dict[str, str] = {}
    here = {path.parent.name: path.parent for path in site.registrations()}
    for unit in units:
        if unit.batch not in here:
            continue  # of another station, which knows its gateway; they share the ledger
        if unit.batch not in where_of:
            where_of[unit.batch] = str(read_registration(here[unit.batch])["gateway"])
        where = where_of[unit.batch]
        if gateway in (None, where):
            mine.setdefault(where, []).append(unit)
    machines = {batch for batch in where_of if is_of_machines(here[batch])}
    found = []
    for where in [gateway] if gateway else site.gateways:
        asked = open_gateway(site, name, where)
        try:
            if where in mine:
                known = asked.get("/v1/devices")["devices"]
                found += of_state.gateway_findings(mine[where], known, machines)
            found += chain.look(site, asked, datetime.now(UTC))
        except FleetmintError as error:
            what = f"{where} was not asked, and what its ledger holds is not known: {error}"
            found.append(Finding(what, "run this again when it answers"))
    return found
