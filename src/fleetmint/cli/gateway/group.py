"""The commands that run on a gateway: thin over the functions of the service and the ledger."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from fleetmint import commands, files, timekeeping
from fleetmint.choices import KEY_KINDS, P256, REASONS
from fleetmint.cli.findings import report
from fleetmint.cli.gateway.backup import backup, restore
from fleetmint.cli.gateway.watch import watch_broker
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, table
from fleetmint.errors import FleetmintError, PublishError

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway import device_ca
    from fleetmint.gateway.audit import findings as audit_findings
    from fleetmint.gateway.clock import kept, refuse_before, utc_now
    from fleetmint.gateway.config import Config, config_path, load_config
    from fleetmint.gateway.device_crl import plan_device_crl
    from fleetmint.gateway.host_request import make_request
    from fleetmint.gateway.in_force import follow, put_in_force, read_lists
    from fleetmint.gateway.intake import Report, open_signed, take
    from fleetmint.gateway.publish import publish as publish_lists
    from fleetmint.gateway.publish import take_lists
    from fleetmint.gateway.views import device_view, time_text
    from fleetmint.ledger import create_schema, early, open_ledger, reading, revocation, writing
    from fleetmint.ledger.audit import Finding
    from fleetmint.ledger.devices import list_devices, serial_text
    from fleetmint.ledger.schema import VERSION
    from fleetmint.ledger.upgrade import exists, look_for_version
    from fleetmint.x509 import keys, names


# Who did it, in the chain of events: SSH and sudo have their own logs of who that was.
_ACTOR = "command line"
_START = "`sudo systemctl start fleetmint-crl`"
# More than a station may send.
_LARGEST_REQUEST = 1 << 20

_T = TypeVar("_T")


@click.group(epilog=examples("fleetmint gateway devices", "fleetmint gateway audit", "fleetmint gateway publish"))
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The gateway's configuration [default: $FLEETMINT_CONFIG, else /etc/fleetmint/gateway.toml].",
)
@click.pass_context
def gateway(ctx: click.Context, path: Path | None) -> None:
    """Work on the gateway itself: its CA, its ledger, its revocation lists."""
    ctx.obj = path
    commands.act_on_gateway()


gateway.add_command(backup)
gateway.add_command(restore)
gateway.add_command(watch_broker)


@gateway.command("ca-status", epilog=examples("fleetmint gateway ca-status --json"))
@json_option
@click.pass_context
def ca_status(ctx: click.Context, as_json: bool) -> None:
    """Say which device CA is installed, and which ones are kept beside it during a rollover."""
    config = _config(ctx)
    found, beside = device_ca.status(config.device_ca), device_ca.beside(config.device_ca)
    lines = [f"installed: {found.spki_sha256}" if found.installed else "no device CA is installed"]
    lines += [f"beside it: {spki}" for spki in beside if spki != found.spki_sha256]
    values = {**asdict(found), "beside": [asdict(each) for each in beside.values()]}
    _say(as_json, values, "\n".join(lines))


@gateway.command("install-ca", epilog=examples("fleetmint gateway install-ca --check < ca.pem"))
@click.option("--replace", is_flag=True, help="Replace another CA; what that one issued can then no longer be revoked.")
@click.option("--beside", is_flag=True, help="Keep it beside the one that issues, for its revocation list alone.")
@check_option
@json_option
@click.pass_context
def install_ca(ctx: click.Context, replace: bool, beside: bool, check: bool, as_json: bool) -> None:
    """Install a device CA: its certificate and its unencrypted key, both PEM, on stdin."""
    config = _config(ctx)
    if beside:
        plan = device_ca.plan_install_beside(config.device_ca, _stdin(), site=config.site)
    else:
        plan = device_ca.plan_install(config.device_ca, _stdin(), site=config.site, replace=replace)
    spki_sha256 = plan.carry_out(check=check)
    text = "; ".join(plan.reasons) or "the device CA is installed already"
    _say(as_json, {"changed": plan.changed, "spki_sha256": spki_sha256}, text)


@gateway.command("retire-ca", epilog=examples("fleetmint gateway retire-ca 4f0c5c517c308e2e --check"))
@click.argument("spki_sha256", metavar="SPKI")
@click.option("--force", is_flag=True, help="Even when certificates of it are valid, which are then refused.")
@check_option
@json_option
@click.pass_context
def retire_ca(ctx: click.Context, spki_sha256: str, force: bool, check: bool, as_json: bool) -> None:
    """Remove the device CA with the key hash SPKI (see `ca-status`), which is kept beside the one that issues."""
    config = _config(ctx)

    def run(engine: Engine) -> Sequence[datetime]:
        kept = device_ca.authorities(config.device_ca)
        with reading(engine) as connection:
            return [
                end
                for authority in kept
                if keys.spki_sha256(authority.key.public_key()).hex() == spki_sha256
                for end in revocation.valid_until(connection, authority.certificate, utc_now())
            ]

    plan = device_ca.plan_retire(config.device_ca, spki_sha256, _with_ledger(config, run), force=force)
    if not check:
        plan.apply()
    text = "; ".join(plan.reasons) or "no such device CA is kept here"
    _say(as_json, {"changed": plan.changed, "reasons": list(plan.reasons)}, text)


@gateway.command("init", epilog=examples("fleetmint gateway init --check", "fleetmint gateway init"))
@check_option
@json_option
@click.pass_context
def init(ctx: click.Context, check: bool, as_json: bool) -> None:
    """Create the ledger, or bring an older one up to date after a copy of its file, which is kept beside it.

    A ledger on a PostgreSQL server is brought up to date in one transaction; make a copy with pg_dump before.
    """
    config = _config(ctx)
    before = _with_ledger(config, look_for_version) if exists(config.ledger) else ""
    changed = before != VERSION
    if not check:
        changed = _with_ledger(
            config, lambda engine: create_schema(engine, site=config.site, owner=config.gateway), create=True
        )
    values = {"changed": changed, "migrated": bool(before) and changed, "before": before, "version": VERSION}
    _say(as_json, values, _of_init(before, changed=changed, check=check))


def _of_init(before: str, *, changed: bool, check: bool) -> str:
    if not changed:
        return "the ledger exists already"
    would = "would be" if check else "was"
    return f"the ledger {would} " + (f"brought from version {before} to {VERSION}" if before else "created")


@gateway.command(
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
    config, now = _config(ctx), utc_now()
    document = _stdin() if file is None or file == Path("-") else files.read(file, "signed file")
    actor = _ACTOR
    if file is not None:
        document, actor = open_signed(config, document, now)

    def run(engine: Engine) -> tuple[Report, tuple[str, ...]]:
        done = take(engine, config, document, actor=actor, now=now, check=check)
        revoked = done.counts.get("revoked") and not check
        return done, put_in_force(engine, config, {}, now=now, actor=actor).problems if revoked else ()

    done, problems = _with_ledger(config, run)
    _say(as_json, {**done.values(), "actor": actor}, done.text())
    if problems:
        raise PublishError(f"what was revoked is not in force yet: {'; '.join(problems)}; {_START} puts it in force")


@gateway.command(
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

    rows = _with_ledger(_config(ctx), run)
    if as_json or not rows:
        _say(as_json, {"devices": rows}, "no device is registered yet")
    else:
        table(list(rows[0]), [[value or "" for value in row.values()] for row in rows])


@gateway.command("revoke", epilog=examples("fleetmint gateway revoke lamp-000002 --reason key_compromise"))
@click.argument("device")
@click.option("--reason", type=click.Choice(REASONS), default=REASONS[0], show_default=True, help="Why.")
@check_option
@json_option
@click.pass_context
def revoke(ctx: click.Context, device: str, reason: str, check: bool, as_json: bool) -> None:
    """Take DEVICE off the fleet for ever: its certificates and its token. `sign-crl` and `publish` put it in force."""
    wanted = names.device_id(device)

    def run(engine: Engine) -> revocation.Revocation:
        if check:
            with reading(engine) as connection:
                return revocation.look_up(connection, wanted)
        with writing(engine) as connection:
            return revocation.revoke(connection, wanted, reason=reason, actor=_ACTOR, now=utc_now())

    found = _with_ledger(_config(ctx), run)
    values = {
        "changed": found.changed,
        "device": found.device,
        "serials": [serial_text(serial) for serial, _ in found.certificates],
        "issuers": [issuer for _, issuer in found.certificates],
    }
    _say(as_json, values, f"{device} is revoked" if found.changed else f"{device} was revoked before")


@gateway.command("sign-crl", epilog=examples("fleetmint gateway sign-crl --force"))
@click.option("--force", is_flag=True, help="Sign even when nothing has changed.")
@check_option
@json_option
@click.pass_context
def sign_crl(ctx: click.Context, force: bool, check: bool, as_json: bool) -> None:
    """Sign the device CAs' revocation lists when their content has changed or they are two days old."""
    config = _config(ctx)
    authorities = device_ca.authorities(config.device_ca)

    def run(engine: Engine) -> tuple[bool, int, str]:
        now, factory = kept(config), config.crl("factory")
        if not check and factory.exists():
            try:
                follow(engine, config, files.read(factory, "CRL"), now, _ACTOR)
            except FleetmintError as error:  # `publish` refuses it, and the list of this gateway is another matter
                click.echo(f"fleetmint: {error}", err=True)
        plan = plan_device_crl(engine, authorities, config.device_crl, now=now, force=force)
        return plan.changed, plan.carry_out(check=check), "; ".join(plan.reasons)

    changed, number, reasons = _with_ledger(config, run)
    text = f"signed the CRL number {number}: {reasons}" if changed else f"the CRL number {number} is good"
    _say(as_json, {"changed": changed, "number": number}, text)


@gateway.command("publish", epilog=examples("fleetmint gateway publish --check"))
@click.option("--answer", is_flag=True, help="Take CRLs that the signing service passes on; systemd starts it so.")
@check_option
@json_option
@click.pass_context
def publish(ctx: click.Context, answer: bool, check: bool, as_json: bool) -> None:
    """Put the revocation lists in front of nginx and Mosquitto, and end the sessions of the revoked. Needs root."""
    if answer:
        click.echo(json.dumps(_answer(_config(ctx))))
        return
    done = publish_lists(_config(ctx), now=utc_now(), check=check)
    values = {"changed": done.changed, "reloaded": list(done.reloaded)}
    values |= {"restarted": list(done.restarted), "kicked": list(done.kicked)}
    text = "published" if done.changed else "everything is published already"
    if done.reloaded:
        text += f"; reloaded {', '.join(done.reloaded)}"
    if done.restarted:
        text += f"; restarted {', '.join(done.restarted)} to end the sessions of revoked operators"
    if done.kicked:
        text += f"; ended the sessions of {', '.join(done.kicked)}"
    if as_json or done.changed or not done.problems:
        _say(as_json, values, text)
    if done.problems:
        raise PublishError("; ".join(done.problems))


def _answer(config: Config) -> dict[str, object]:
    """Do what the signing service asks for on stdin (gateway/in_force.py); every failure is part of the answer."""
    problems: list[str] = []
    try:
        wanted = json.loads(sys.stdin.buffer.read(_LARGEST_REQUEST))
        take_lists(config, read_lists(wanted["lists"]), now=utc_now())
    except FleetmintError as error:
        problems.append(str(error))  # what is here already may be new nevertheless
    except (ValueError, KeyError, TypeError):
        problems.append("this is no request of the signing service")
    try:
        done = publish_lists(config, now=utc_now())
    except FleetmintError as error:
        return {"kicked": [], "restarted": [], "problems": [*problems, str(error)]}
    return {"kicked": done.kicked, "restarted": done.restarted, "problems": [*problems, *done.problems]}


@gateway.command("attest-clock", epilog=examples("fleetmint gateway attest-clock 2031-05-17T16:30Z"))
@click.argument("time")
@json_option
@click.pass_context
def attest_clock(ctx: click.Context, time: str, as_json: bool) -> None:
    """Say that it is TIME by a watch, in UTC, so that a gateway without NTP may sign. Needs root.

    Refused when the gateway's clock says another time. Holds until the gateway restarts or its clock is set.
    """
    path, who = _config(ctx).attested_clock, timekeeping.somebody()
    text = timekeeping.attest(path, timekeeping.read_time(time), utc_now(), who)
    _say(as_json, {"changed": True, "who": who, "file": str(path)}, text)


@gateway.command(
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
    config = _config(ctx)

    def run(engine: Engine) -> tuple[tuple[early.Early, ...], tuple[str, ...]]:
        now = kept(config)
        for authority in device_ca.authorities(config.device_ca):
            refuse_before(authority, now)
        if check:
            with reading(engine) as connection:
                return early.find(connection, now), ()
        with writing(engine) as connection:
            now = kept(config)
            done = early.repair(connection, subject=config.gateway, actor=_ACTOR, now=now)
        # also what a run that was killed here has left to do
        return done, put_in_force(engine, config, {}, now=now, actor=_ACTOR).problems

    found, problems = _with_ledger(config, run)
    changed = any(each.does for each in found)
    text = "\n".join(
        f"{each.what} is dated {each.at:%Y-%m-%d %H:%M}Z: {each.does or each.finding().remedy}" for each in found
    )
    listed = [
        {"subject": each.subject, "what": each.what, "at": time_text(each.at), "does": each.does} for each in found
    ]
    _say(as_json, {"changed": changed, "found": listed}, text or "nothing in the ledger is dated in the future")
    if problems:
        raise PublishError(f"what was revoked is not in force yet: {'; '.join(problems)}; {_START} puts it in force")


@gateway.command(
    "audit", epilog=examples("fleetmint gateway audit", "fleetmint gateway audit --json | jq '.findings[].remedy'")
)
@json_option
@click.pass_context
def audit(ctx: click.Context, as_json: bool) -> None:
    """Check that nothing has been lost, doubled or left lying about; exits with 1 when there is a finding."""
    config = _config(ctx)

    def run(engine: Engine) -> tuple[tuple[Finding, ...], int]:
        with reading(engine) as connection:
            return audit_findings(config, connection, utc_now()), len(list_devices(connection))

    found, number = _with_ledger(config, run)
    report(as_json, found, f"{number} devices checked")


@gateway.command(
    "request", epilog=examples("fleetmint gateway request gateway.local --san 192.0.2.7 --key /etc/fleetmint/nginx.key")
)
@click.argument("name")
@click.option("--san", "sans", multiple=True, help="Another host name or address; may be given several times.")
@click.option(
    "--key",
    "key_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The private key: made when it is missing, never replaced.",
)
@click.option(
    "--kind",
    type=click.Choice(KEY_KINDS),
    default=P256,
    show_default=True,
    help="What key to make when it is missing; RSA is for servers of legacy clients.",
)
@json_option
def request(name: str, sans: tuple[str, ...], key_path: Path, kind: str, as_json: bool) -> None:
    """Print a certificate request for NAME, this host's name or address, with its own key, which stays here."""
    csr, changed = make_request(key_path, name, sans, kind)
    _say(as_json, {"changed": changed, "csr": csr.decode()}, csr.decode().rstrip("\n"))


def _config(ctx: click.Context) -> Config:
    return load_config(ctx.obj or config_path())


def _with_ledger(config: Config, run: Callable[[Engine], _T], *, create: bool = False) -> _T:
    engine = open_ledger(config.ledger, create=create)
    try:
        return run(engine)
    finally:
        engine.dispose()


def _stdin() -> bytes:
    data: bytes = sys.stdin.buffer.read()
    return data


def _say(as_json: bool, values: Mapping[str, Any], text: str) -> None:
    click.echo(json.dumps(values) if as_json else text)
