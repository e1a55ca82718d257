"""`fleetmint gateway sign-crl`, `superseded` and `publish`: the lists of the revoked, signed here or brought here."""

from __future__ import annotations

import json

import click

from fleetmint import files
from fleetmint.cli.gateway.common import ACTOR, read_config, read_stdin, say, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option
from fleetmint.errors import FleetmintError, PublishError

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway import device_ca
    from fleetmint.gateway.clock import kept, utc_now
    from fleetmint.gateway.config import Config
    from fleetmint.gateway.crl_files import read_lists as read_certificate_lists
    from fleetmint.gateway.device_crl import plan_device_crl
    from fleetmint.gateway.in_force import follow, read_lists
    from fleetmint.gateway.publish import Published
    from fleetmint.gateway.publish import publish as publish_lists
    from fleetmint.ledger import reading
    from fleetmint.ledger.revocation import factory_certificates_of_revoked, superseded_certificates

# More than a station may send.
_LARGEST_REQUEST = 1 << 20


@click.command("sign-crl", epilog=examples("fleetmint gateway sign-crl --force"))
@click.option("--force", is_flag=True, help="Sign even when nothing has changed.")
@check_option
@json_option
@click.pass_context
def sign_crl(ctx: click.Context, force: bool, check: bool, as_json: bool) -> None:
    """Sign the device CAs' revocation lists when their content has changed or they are two days old."""
    config = read_config(ctx)
    authorities = device_ca.authorities(config)

    def run(engine: Engine) -> tuple[bool, int, str]:
        now, factory = kept(config), config.crl("factory")
        if not check and factory.exists():
            try:
                follow(engine, config, files.read(factory, "CRL"), now, ACTOR)
            except FleetmintError as error:  # `publish` refuses it, and the list of this gateway is another matter
                click.echo(f"fleetmint: {error}", err=True)
        plan = plan_device_crl(engine, authorities, config.device_crl, now=now, force=force)
        return plan.changed, plan.carry_out(check=check), "; ".join(plan.reasons)

    changed, number, reasons = with_ledger(config, run)
    text = f"signed the CRL number {number}: {reasons}" if changed else f"the CRL number {number} is good"
    say(as_json, {"changed": changed, "number": number}, text)


@click.command("superseded", epilog=examples("fleetmint gateway superseded --json"))
@json_option
@click.pass_context
def superseded(ctx: click.Context, as_json: bool) -> None:
    """Show the certificates of the factory CA that were replaced by a renewal or revoked, and are not on its list yet.

    That list is signed on the controller: gateway.yml asks, has it signed there, and brings it.
    """
    config = read_config(ctx)
    listed = {entry.serial_number for crl in read_certificate_lists(config.crl("factory"), "CRL") for entry in crl}

    def run(engine: Engine) -> tuple[set[int], set[int]]:
        now = utc_now()
        with reading(engine) as connection:
            revoked = set(factory_certificates_of_revoked(connection, now))
            return set(superseded_certificates(connection, "factory", now)) - revoked, revoked

    replaced, revoked = ([f"{serial:x}" for serial in sorted(found - listed)] for found in with_ledger(config, run))
    text = "\n".join([*replaced, *revoked]) or "the list of the factory CA holds all of them"
    say(as_json, {"factory": replaced, "factory_revoked": revoked}, text)


@click.command(
    "publish", epilog=examples("fleetmint gateway publish --check", "fleetmint gateway publish --lists < lists.json")
)
@click.option(
    "--lists", "bring", is_flag=True, help='Take the controller\'s lists on stdin: {"lists": {"factory": PEM}}.'
)
@click.option("--answer", is_flag=True, help="Take CRLs that the signing service passes on; systemd starts it so.")
@check_option
@json_option
@click.pass_context
def publish(ctx: click.Context, bring: bool, answer: bool, check: bool, as_json: bool) -> None:
    """Put the revocation lists in front of nginx and Mosquitto, and end the sessions of the revoked. Needs root."""
    config = read_config(ctx)
    if answer:
        click.echo(json.dumps(_answer(config)))
        return
    done = publish_lists(config, _brought() if bring else {}, now=utc_now(), check=check)
    text = "published" if done.changed else "everything is published already"
    if done.reloaded:
        text += f"; reloaded {', '.join(done.reloaded)}"
    if done.restarted:
        text += f"; restarted {', '.join(done.restarted)} to end the sessions of revoked operators"
    if done.disconnected:
        text += f"; ended the sessions of {', '.join(done.disconnected)}"
    if as_json or done.changed or not done.problems:
        say(as_json, {"changed": done.changed, "reloaded": list(done.reloaded), **_sessions(done)}, text)
    if done.problems:
        raise PublishError("; ".join(done.problems))


def _answer(config: Config) -> dict[str, object]:
    """Do what the signing service asks for on stdin (gateway/in_force.py); every failure is part of the answer."""
    problems: list[str] = []
    lists: dict[str, bytes] = {}
    try:
        lists = _brought()
    except FleetmintError as error:
        problems.append(str(error))  # what is here already may be new nevertheless
    try:
        done = publish_lists(config, lists, now=utc_now())
    except FleetmintError as error:
        done = Published(problems=(str(error),))
    return {**_sessions(done), "problems": [*problems, *done.problems]}


def _brought() -> dict[str, bytes]:
    """Return the lists that come on stdin; raise FleetmintError when they are none."""
    try:
        return read_lists(json.loads(read_stdin(_LARGEST_REQUEST))["lists"])
    except (ValueError, KeyError, TypeError) as error:
        raise PublishError('what came on stdin is no JSON with the lists: {"lists": {"factory": PEM}}') from error


def _sessions(done: Published) -> dict[str, list[str]]:
    """Return whose sessions were ended; `kicked` is the name of one version before."""
    disconnected = list(done.disconnected)
    return {"restarted": list(done.restarted), "disconnected": disconnected, "kicked": disconnected}
