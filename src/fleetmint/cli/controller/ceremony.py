"""`fleetmint ceremony`: what happens on the machine of the root, for people who have no Ansible there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import commands
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples
from fleetmint.errors import SecretError
from fleetmint.plan import Plan

with for_work():
    from fleetmint.ca.ceremony.root import Custody, check_shares, plan_answers, plan_root
    from fleetmint.ca.hierarchy import Hierarchy
    from fleetmint.passphrases import open_source, shares
    from fleetmint.x509 import revocation


_directory = click.Path(file_okay=False, path_type=Path)
directory_option = click.option(
    "--directory", type=_directory, required=True, help="Directory of the root's machine; the root is in root/ there."
)
site_option = click.option("--site-name", "site", required=True, help="Name of the site, the O of every certificate.")
people_option = click.option(
    "--present", "people", multiple=True, required=True, metavar="NAME", help="Who is present; once for each."
)


@click.group(
    epilog=examples(
        "fleetmint ceremony root --directory /media/me/ca --site-name home --shares-into /dev/shm/s --present Alice",
        "fleetmint ceremony check --directory /media/me/ca",
    )
)
def ceremony() -> None:
    """Make the root on a machine without a network, and answer requests with it (docs/ceremony.md)."""


@ceremony.command(
    epilog=examples(
        "fleetmint ceremony root --directory /media/me/ca --site-name home --shares-into /dev/shm/s --present Alice"
    )
)
@directory_option
@site_option
@click.option("--shares-into", type=_directory, required=True, help="Directory for the shares, best one in memory.")
@click.option("--shares", "count", default=5, show_default=True, help="How many shares there are.")
@click.option("--needed", default=3, show_default=True, help="How many of them open the root.")
@people_option
def root(directory: Path, site: str, shares_into: Path, count: int, needed: int, people: Sequence[str]) -> None:
    """Make the root, the shares of its passphrase, and the transcript."""
    plan = plan_root(directory, site, Custody(shares_into, count, needed), people, datetime.now(UTC))
    _show(plan)
    made = plan.apply()
    if plan.changed:
        click.echo(
            f"The shares are in {made.shares}: write them down, try them with"
            f" {commands.fleetmint('ceremony', 'check', '--directory', str(directory))}"
        )
        click.echo(f"and remove that directory. Sign {directory / 'root' / 'transcript.txt'} on paper.")
    click.echo(f"root SHA-256 {made.root_fingerprint}")


@ceremony.command(
    epilog=examples(
        "fleetmint ceremony answer --directory /media/ca --site-name home --requests in --answers out --present Alice"
    )
)
@directory_option
@site_option
@click.option("--requests", type=_directory, required=True, help="Directory with the requests of the controller.")
@click.option("--answers", type=_directory, required=True, help="Directory for the answers.")
@click.option("--passphrases", metavar="SOURCE", help="shares:DIRECTORY or fd:N; typed shares otherwise.")
@click.option("--revoke", multiple=True, metavar="SERIAL", help="Issuing CA to revoke, hexadecimal; repeatable.")
@click.option("--yes", is_flag=True, help="Sign without asking whether the keys were compared.")
@people_option
def answer(
    directory: Path,
    site: str,
    requests: Path,
    answers: Path,
    passphrases: str | None,
    revoke: Sequence[str],
    yes: bool,
    people: Sequence[str],
) -> None:
    """Sign what the controller asks for, and the root's CRL."""
    source = open_source(passphrases) if passphrases else shares.source(_typed_shares)
    serials = [revocation.serial_number(text) for text in revoke]
    hierarchy = Hierarchy(directory, site, source)
    plan = plan_answers(hierarchy, requests, answers, people, datetime.now(UTC), revoke=serials)
    _show(plan)
    if plan.changed and not yes:
        click.confirm("Are these the keys that the controller noted?", abort=True)
    plan.apply()
    click.echo(f"The answers are in {answers}: bring them to the controller, and sign the transcript on paper.")


@ceremony.command(
    epilog=examples(
        "fleetmint ceremony check --directory /media/me/ca",
        "fleetmint ceremony check --directory /media/me/ca share-1.txt share-3.txt share-4.txt",
    )
)
@directory_option
@click.argument("papers", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
def check(directory: Path, papers: Sequence[Path]) -> None:
    """Check that shares open the root: those in the files PAPERS, or typed ones. Nothing is written anywhere."""
    click.echo(check_shares(directory, shares.read_files(papers) if papers else _typed_shares()))


def _typed_shares() -> list[shares.Share]:
    found: list[shares.Share] = []
    needed = 1
    while len({share.number for share in found}) < needed:
        left = f", {needed - len(found)} more needed" if found else ""
        text = click.prompt(f"Code of a share (it is not shown{left})", hide_input=True, err=True)
        try:
            share = shares.read_share(text)
        except SecretError as error:
            click.echo(f"{error}", err=True)
            continue
        if any(share.number == other.number for other in found):
            click.echo(f"That was share {share.number} again.", err=True)
            continue
        found.append(share)
        needed = share.needed
        click.echo(f"Share {share.number} of {share.count}.", err=True)
    return found


def _show(plan: Plan[object]) -> None:
    for reason in plan.reasons or ("nothing to do: everything is there",):
        click.echo(reason)
