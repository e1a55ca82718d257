"""`fleetmint bundle`: the trust bundle for devices, made, looked at and judged on the controller."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fleetmint import files
from fleetmint.choices import MAX_BUNDLE_VERSION
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option
from fleetmint.cli.place import site_option
from fleetmint.errors import FleetmintError
from fleetmint.plan import Plan
from fleetmint.site.state import Site

with for_work():
    from fleetmint import passphrases
    from fleetmint.trust import bundle as bundles
    from fleetmint.trust import release_key
    from fleetmint.x509.authority import CERTIFICATE, load_certificate, organization
    from fleetmint.x509.inspect import time_text


_passphrases = click.option(
    "--passphrases",
    "source",
    metavar="SOURCE",
    envvar="FLEETMINT_PASSPHRASES",
    help="Where the passphrases are, file:DIRECTORY or vault:DIRECTORY [default: the site's].",
)
_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group(
    epilog=examples(
        "fleetmint bundle sign --check",
        "fleetmint bundle show inventory/home/state/ca/bundle.bin",
        "fleetmint bundle verify new.bin --held old.bin",
    )
)
def bundle() -> None:
    """Whom devices trust: a small file that the release key signs and gateways deliver."""


@bundle.command("sign", epilog=examples("fleetmint bundle sign --check", "fleetmint bundle sign --above 7"))
@site_option
@_passphrases
@click.option("--force", is_flag=True, help="Sign a new version even when nothing has changed.")
@click.option("--above", type=click.IntRange(0, MAX_BUNDLE_VERSION - 1), default=0, help="Exceed this version.")
@check_option
@json_option
def sign(site: Site, source: str | None, force: bool, above: int, check: bool, as_json: bool) -> None:
    """Sign a new version of the site's bundle if its content has changed; playbooks/ca.yml does the same."""
    ca = site.ca_directory
    plan = bundles.plan_bundle(
        ca, _site(ca), _source(site, source), datetime.now(UTC), force=force or above > 0, above=above
    )
    _carry_out(plan, ca, check, as_json)


@bundle.command(
    "replace-release-key", epilog=examples("fleetmint bundle replace-release-key --spare /media/me/spare.key")
)
@site_option
@_passphrases
@click.option(
    "--spare",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The spare's key file, when it is kept elsewhere [default: STATE/ca/release/spare.key].",
)
@check_option
@json_option
def replace_release_key(site: Site, source: str | None, spare: Path | None, check: bool, as_json: bool) -> None:
    """Make a new release key that the spare vouches for, and sign a bundle that names it."""
    ca = site.ca_directory
    plan = bundles.plan_key_replacement(ca, _site(ca), _source(site, source), datetime.now(UTC), spare)
    _carry_out(plan, ca, check, as_json)


@bundle.command("show", epilog=examples("fleetmint bundle show inventory/home/state/ca/bundle.bin"))
@_file
@json_option
def show(file: Path, as_json: bool) -> None:
    """Say what is in the trust bundle FILE, in plain words."""
    data = files.read(file, "trust bundle")
    found = bundles.decode(data, str(file))
    values = {
        "site": found.site,
        "version": found.version,
        "generation": found.keys.generation,
        "created": time_text(found.created),
        "release_key": release_key.fingerprint(found.keys.release),
        "spare": release_key.fingerprint(found.keys.spare),
        "anchors": len(found.anchors),
        "bytes": len(data),
        "signed": found.is_signed(),
    }
    signed = "its signature is good" if found.is_signed() else "ITS SIGNATURE IS NOT GOOD"
    lines = [*bundles.describe(found), f"{len(data)} bytes of at most {bundles.MAX_BYTES}; {signed}"]
    click.echo(json.dumps(values) if as_json else "\n".join(lines))


@bundle.command("verify", epilog=examples("fleetmint bundle verify new.bin --held old.bin"))
@_file
@click.option(
    "--held",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The bundle that a device holds, such as the one it was burned with.",
)
@json_option
def verify(file: Path, held: Path, as_json: bool) -> None:
    """Say whether a device that holds one bundle would take FILE, by the device's own rules."""
    offered = bundles.decode(files.read(file, "trust bundle"), str(file))
    reason = bundles.refusal(bundles.load(held), offered)
    if as_json:
        click.echo(json.dumps({"accepted": reason is None, "reason": reason}))
    elif reason is None:
        click.echo(f"a device with {held} takes {file}, once its anchors have carried a connection")
    if reason is not None:
        raise FleetmintError(f"a device with {held} refuses {file}: {reason}")


def _site(ca: Path) -> str:
    return organization(load_certificate(ca / bundles.ANCHORS[0] / CERTIFICATE))


def _source(site: Site, text: str | None) -> passphrases.Source:
    if text is None and site.is_described:
        return site.hierarchy().source
    return passphrases.open_source(text or f"vault:{site.directory.absolute().parent / 'passphrases'}")


def _carry_out(plan: Plan[None], ca: Path, check: bool, as_json: bool) -> None:
    if not check:
        plan.apply()
    path = ca / bundles.FILE
    values: dict[str, Any] = {"changed": plan.changed, "reasons": list(plan.reasons), "path": str(path)}
    text = "; ".join(plan.reasons) or f"{path} says what it should already"
    click.echo(json.dumps(values) if as_json else text)
