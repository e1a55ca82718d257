"""`fleetmint site backup` and `restore`: the controller in one encrypted file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import commands
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, say
from fleetmint.cli.place import site_option
from fleetmint.errors import SecretError
from fleetmint.plan import plain
from fleetmint.site.state import Site

with for_work():
    from fleetmint.passphrases import chosen, open_source, typed
    from fleetmint.passphrases.source import Stored
    from fleetmint.site.backup import places, write_backup
    from fleetmint.site.restore import plan_restore

_file = click.Path(dir_okay=False, path_type=Path)
_passphrases = click.option(
    "--passphrases",
    metavar="SOURCE",
    default="prompt:",
    show_default=True,
    help="Source of the passphrase `backup`, which opens the file: file:DIR, vault:DIR, prompt: or fd:N.",
)
_INSTEAD = "run this at a terminal, or name --passphrases file:DIRECTORY with the passphrase in its file `backup`"


@click.command(
    epilog=examples(
        "fleetmint site backup /media/backup/home.age --new-passphrase",
        "fleetmint site backup /media/backup/home-2.age --passphrases file:/root/fleetmint-backup",
    )
)
@click.argument("path", metavar="FILE", type=_file)
@_passphrases
@click.option("--new-passphrase", is_flag=True, help="Make a passphrase and show it, this once: write it down.")
@site_option
@json_option
def backup(path: Path, passphrases: str, new_passphrase: bool, site: Site, as_json: bool) -> None:
    """Write all that the site is on this controller to FILE, a new one, which only the passphrase opens.

    That is its state (CAs, passphrases, certificates, batches, the factory's ledger, backups of gateways) and its
    inventory, while benches go on burning; the password of Ansible Vault is not in it, and is needed with it. FILE is
    in the age format, with a tar file in it: `age -d FILE | tar x` opens it without Fleetmint.
    """
    made = chosen.new_passphrase() if new_passphrase else ""
    done = write_backup(site, path, made or _chosen(passphrases, site), datetime.now(UTC), progress=_progress(as_json))
    if sys.stderr.isatty() and not as_json:
        click.echo(err=True)
    shown = {"passphrase": made} if made else {}
    text = f"{path}: {done.files} entries of the site {done.site}, {done.bytes} bytes; keep it off this machine"
    if made:
        text += f"\npassphrase: {made}\nIt is shown this once: write it down, and keep it where the file is not."
    say(as_json, {"changed": True, **plain(done), **shown}, text)


@click.command(
    epilog=examples(
        "fleetmint site restore /media/backup/home.age --check",
        "fleetmint site restore /media/backup/home.age inventory/home",
    )
)
@click.argument("path", metavar="FILE", type=_file)
@click.argument("directory", metavar="[DIRECTORY]", required=False, type=click.Path(file_okay=False, path_type=Path))
@_passphrases
@check_option
@json_option
def restore(path: Path, directory: Path | None, passphrases: str, check: bool, as_json: bool) -> None:
    """Restore the site in FILE with its inventory in DIRECTORY, which must not be there yet or has to be empty.

    All of FILE is read and compared with its manifest before anything is written; with --check that is all, and
    DIRECTORY may be left out. Either everything is restored, or nothing. What the site has done since FILE was made is
    missing: the lines that follow say how to find that.
    """
    if directory is None and not check:
        raise click.UsageError("name the DIRECTORY of the inventory, such as inventory/home, or give --check")
    passphrase = (
        typed("passphrase of the backup", _INSTEAD)
        if passphrases == "prompt:"
        else open_source(passphrases).read(chosen.BACKUP).decode(errors="surrogateescape")
    )
    plan = plan_restore(path, passphrase, directory)
    done = plan.carry_out(check=check)
    text = f"{path} is whole: the site {done.site} as it was at {done.made}, {done.files} files, {done.bytes} bytes"
    if done.state is not None and not check:
        commands.act_on(state=Path(done.state), inventory=directory)
        text = (
            f"the site {done.site} is restored as it was at {done.made}. What was revoked since is missing in its lists"
            ' (docs/recovery.md, "Lost controller"), and what was burnt since in its ledger:'
            f" {commands.fleetmint('audit', '--ask-gateway')} says what the gateways know of. Then"
            f" {commands.playbook('deploy.yml')}"
        )
    say(as_json, {"changed": plan.changed, "reasons": list(plan.reasons), **plain(done)}, text)


def _chosen(source: str, site: Site) -> str:
    """Return the passphrase for a new backup, which is not to be lost with it."""
    if source == "prompt:":
        found = typed("passphrase of the backup", _INSTEAD)
        chosen.refuse_weak(found)
        if typed("same passphrase again", _INSTEAD) != found:
            raise SecretError("these were two passphrases: nothing was written; type the same one twice")
        return found
    opened = open_source(source)
    if isinstance(opened, Stored) and any(
        opened.directory.resolve().is_relative_to(place) for place in places(site).values()
    ):
        raise SecretError(
            f"{opened.directory} is part of the site and would be in the backup that it opens: keep the passphrase"
            " somewhere else"
        )
    text = opened.read(chosen.BACKUP).decode(errors="surrogateescape")
    chosen.refuse_weak(text)
    return text


def _progress(as_json: bool) -> Callable[[int, int], None]:
    def show(number: int, size: int) -> None:
        click.echo(f"\rcopied {number} entries, {size >> 20} MiB", nl=False, err=True)

    def keep_quiet(_number: int, _size: int) -> None:
        pass

    return keep_quiet if as_json or not sys.stderr.isatty() else show
