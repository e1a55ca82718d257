"""`fleetmint gateway attest-clock` and `repair-clock`: for a gateway whose clock nothing keeps, or that ran ahead."""

from __future__ import annotations

import click

from fleetmint import timekeeping
from fleetmint.cli.gateway.common import ACTOR, read_config, refuse_unpublished, say, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway import device_ca
    from fleetmint.gateway.clock import kept, refuse_before, utc_now
    from fleetmint.gateway.in_force import put_in_force
    from fleetmint.gateway.views import time_text
    from fleetmint.ledger import early, reading, writing


@click.command("attest-clock", epilog=examples("fleetmint gateway attest-clock 2031-05-17T16:30Z"))
@click.argument("time")
@json_option
@click.pass_context
def attest_clock(ctx: click.Context, time: str, as_json: bool) -> None:
    """Say that it is TIME by a watch, in UTC, so that a gateway without NTP may sign. Needs root.

    Refused when the gateway's clock says another time. Holds until the gateway restarts or its clock is set.
    """
    path, who = read_config(ctx).attested_clock, timekeeping.somebody()
    text = timekeeping.attest(path, timekeeping.read_time(time), utc_now(), who)
    say(as_json, {"changed": True, "who": who, "file": str(path)}, text)


@click.command(
    "repair-clock", epilog=examples("fleetmint gateway repair-clock --check", "fleetmint gateway repair-clock --json")
)
@check_option
@json_option
@click.pass_context
def repair_clock(ctx: click.Context, check: bool, as_json: bool) -> None:
    """Put right what was written while this gateway's clock ran ahead, as `audit` finds it.

    Certificates that begin in the future are revoked as superseded. Their devices get others for the same token and
    key. Refused while nothing keeps the clock, see `attest-clock`.
    """
    config = read_config(ctx)

    def run(engine: Engine) -> tuple[tuple[early.Early, ...], tuple[str, ...]]:
        now = kept(config)
        for authority in device_ca.authorities(config):
            refuse_before(authority, now)
        if check:
            with reading(engine) as connection:
                return early.find(connection, now), ()
        with writing(engine) as connection:
            now = kept(config)
            done = early.repair(connection, subject=config.gateway, actor=ACTOR, now=now)
        # also what a run that was killed here has left to do
        return done, put_in_force(engine, config, {}, now=now, actor=ACTOR).problems

    found, problems = with_ledger(config, run)
    changed = any(each.does for each in found)
    text = "\n".join(
        f"{each.what} is dated {each.at:%Y-%m-%d %H:%M}Z: {each.does or each.finding().remedy}" for each in found
    )
    listed = [
        {"subject": each.subject, "what": each.what, "at": time_text(each.at), "does": each.does} for each in found
    ]
    say(as_json, {"changed": changed, "found": listed}, text or "nothing in the ledger is dated in the future")
    refuse_unpublished(problems)
