"""`fleetmint gateway waiting`, `approve` and `deny`: devices whose first certificate waits for a person."""

from __future__ import annotations

from typing import Any

import click

from fleetmint.cli.approvals import decided_text, key_option, show_waiting
from fleetmint.cli.gateway.common import ACTOR, read_config, say, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.views import approval_view
    from fleetmint.ledger import approvals, reading, writing


@click.command("waiting", epilog=examples("fleetmint gateway waiting", "fleetmint gateway waiting --json"))
@json_option
@click.pass_context
def waiting(ctx: click.Context, as_json: bool) -> None:
    """List the devices that wait for approval, each with the SHA-256 of its key, its board and where it asked from."""

    def run(engine: Engine) -> list[dict[str, Any]]:
        with reading(engine) as connection:
            return [approval_view(each) for each in approvals.list_waiting(connection, utc_now())]

    show_waiting(as_json, with_ledger(read_config(ctx), run))


@click.command("approve", epilog=examples("fleetmint gateway approve lamp-000002 --fingerprint 3f2a9c0d11e47b58"))
@click.argument("device")
@key_option
@json_option
@click.pass_context
def approve(ctx: click.Context, device: str, key: str | None, as_json: bool) -> None:
    """Give DEVICE the certificate that it asks for, and deny every other key that asks to be it.

    Where several keys ask, --fingerprint says which one is its own: the device says it on its console.
    """
    _decide(ctx, "approve", device, key, as_json)


@click.command("deny", epilog=examples("fleetmint gateway deny lamp-000002"))
@click.argument("device")
@key_option
@json_option
@click.pass_context
def deny(ctx: click.Context, device: str, key: str | None, as_json: bool) -> None:
    """Refuse what DEVICE asks for: one key of it, or all that have asked.

    Its token stays: another key may ask with it.
    """
    _decide(ctx, "deny", device, key, as_json)


def _decide(ctx: click.Context, decision: str, device: str, key: str | None, as_json: bool) -> None:
    def run(engine: Engine) -> approvals.Decided:
        decide = approvals.approve if decision == "approve" else approvals.deny
        with writing(engine) as connection:
            return decide(connection, device, key, actor=ACTOR, now=utc_now())

    done = with_ledger(read_config(ctx), run)
    values = {"changed": done.changed, "device": done.device, "keys": list(done.keys)}
    say(as_json, values, decided_text(decision, values))
