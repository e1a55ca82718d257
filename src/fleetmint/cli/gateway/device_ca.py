"""`fleetmint gateway ca-status`, `install-ca`, `install-pin` and `retire-ca`: the CA that signs on this gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click

from fleetmint import commands, notices
from fleetmint.cli.gateway.common import read_config, read_stdin, say, with_ledger
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option

with for_work():
    from sqlalchemy.engine import Engine

    from fleetmint.gateway import device_ca
    from fleetmint.gateway.ca_key import keeping
    from fleetmint.gateway.clock import utc_now
    from fleetmint.gateway.config import Config
    from fleetmint.ledger import reading, revocation
    from fleetmint.x509 import keys

# More than any token takes.
_LONGEST_PIN = 1024


@click.command("ca-status", epilog=examples("fleetmint gateway ca-status --json"))
@json_option
@click.pass_context
def ca_status(ctx: click.Context, as_json: bool) -> None:
    """Say which device CA is installed, which ones are kept for their CRLs during a rollover, and how their keys are.

    A key is plain, sealed for this machine, or in a PKCS #11 token (docs/issuing-key.md).
    """
    config = read_config(ctx)
    found, crl_only = device_ca.status(config), device_ca.crl_only(config)
    lines = [f"installed: {found.spki_sha256}" if found.installed else "no device CA is installed"]
    lines += [f"its key: {found.key}{_unwanted(found, config)}"] if found.installed else []
    lines += [
        f"for its CRL alone: {spki}, its key: {each.key}{_unwanted(each, config)}"
        for spki, each in crl_only.items()
        if spki != found.spki_sha256
    ]
    broken = {spki: device_ca.Installed(False, spki, as_wanted=False) for spki in device_ca.unusable_copies(config)}
    lines += [f"for its CRL alone: {spki}, and its key cannot be used" for spki in broken]
    listed = [asdict(each) for each in (*crl_only.values(), *broken.values())]
    wanted = {"wanted": config.device_ca_key}
    values = {**asdict(found), **wanted, "crl_only": listed, "beside": listed}  # beside: the name of one version before
    say(as_json, values, "\n".join(lines))


def _unwanted(found: device_ca.Installed, config: Config) -> str:
    mend = commands.playbook("gateway.yml")
    return "" if found.as_wanted else f", and is to be {config.device_ca_key}: {mend} changes that"


@click.command("install-ca", epilog=examples("fleetmint gateway install-ca --check < ca.pem"))
@click.option("--replace", is_flag=True, help="Replace another CA; what that one issued can then no longer be revoked.")
@click.option("--crl-only", is_flag=True, help="Keep it beside the one that issues, for its revocation list alone.")
@click.option("--beside", is_flag=True, hidden=True, help="What --crl-only was called one version before.")
@check_option
@json_option
@click.pass_context
def install_ca(ctx: click.Context, replace: bool, crl_only: bool, beside: bool, check: bool, as_json: bool) -> None:
    """Install a device CA: its certificate and its unencrypted key, both PEM, on stdin."""
    config = read_config(ctx)
    if beside:
        notices.add("--beside is called --crl-only now, and the old name ends with the next version")
    if crl_only or beside:
        plan = device_ca.plan_install_crl_only(config, read_stdin())
    else:
        plan = device_ca.plan_install(config, read_stdin(), replace=replace)
    spki_sha256 = plan.carry_out(check=check)
    text = "; ".join(plan.reasons) or "the device CA is installed already"
    say(as_json, {"changed": plan.changed, "spki_sha256": spki_sha256}, text)


@click.command("install-pin", epilog=examples("fleetmint gateway install-pin --check < pin"))
@check_option
@json_option
@click.pass_context
def install_pin(ctx: click.Context, check: bool, as_json: bool) -> None:
    """Keep the PIN of the token that holds the device CA's key: one line on stdin, sealed for this machine.

    It is tried once. One that the token refuses is not tried again, by nobody, since that would lock it.
    """
    plan = keeping.plan_pin(read_config(ctx), read_stdin(_LONGEST_PIN))
    plan.carry_out(check=check)
    text = "; ".join(plan.reasons) or "the PIN is kept already"
    say(as_json, {"changed": plan.changed}, text)


@click.command("retire-ca", epilog=examples("fleetmint gateway retire-ca 4f0c5c517c308e2e --check"))
@click.argument("spki_sha256", metavar="SPKI")
@click.option("--force", is_flag=True, help="Even when certificates of it are valid, which are then refused.")
@check_option
@json_option
@click.pass_context
def retire_ca(ctx: click.Context, spki_sha256: str, force: bool, check: bool, as_json: bool) -> None:
    """Remove the device CA with the key hash SPKI (see `ca-status`), which is kept for its CRL alone."""
    config = read_config(ctx)

    def run(engine: Engine) -> Sequence[datetime]:
        certificate = device_ca.unusable_copies(config).get(spki_sha256)
        # one that does not open keeps every list from being signed: it has to be possible to give it up
        kept = [certificate] if certificate is not None else [one.certificate for one in device_ca.authorities(config)]
        with reading(engine) as connection:
            return [
                end
                for each in kept
                if keys.spki_sha256(each.public_key()).hex() == spki_sha256  # type: ignore[arg-type]
                for end in revocation.valid_until(connection, each, utc_now())
            ]

    plan = device_ca.plan_retire(config, spki_sha256, with_ledger(config, run), force=force)
    if not check:
        plan.apply()
    text = "; ".join(plan.reasons) or "no such device CA is kept here"
    say(as_json, {"changed": plan.changed, "reasons": list(plan.reasons)}, text)
