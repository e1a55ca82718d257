"""`fleetmint gateway audit`: whether anything was lost, doubled or left lying about."""

from __future__ import annotations

import click

from fleetmint.cli.findings import report
from fleetmint.cli.gateway.common import read_config, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway.audit import findings as audit_findings
    from fleetmint.gateway.clock import utc_now
    from fleetmint.ledger import reading
    from fleetmint.ledger.devices import list_devices
    from fleetmint.ledger.findings import Finding


@click.command(
    "audit", epilog=examples("fleetmint gateway audit", "fleetmint gateway audit --json | jq '.findings[].remedy'")
)
@json_option
@click.pass_context
def audit(ctx: click.Context, as_json: bool) -> None:
    """Check that nothing has been lost, doubled or left lying about; exits with 1 when there is a finding."""
    config = read_config(ctx)

    def run(engine: Engine) -> tuple[tuple[Finding, ...], int]:
        with reading(engine) as connection:
            return audit_findings(config, connection, utc_now()), len(list_devices(connection))

    found, number = with_ledger(config, run)
    report(as_json, found, f"{number} devices checked")
