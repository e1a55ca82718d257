"""`fleetmint operator`: the people, stations and dashboards of a site. Runs on the controller."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fleetmint import commands, files
from fleetmint.choices import ENCRYPTIONS, LEGACY, MODERN, OPERATOR_PROFILES, REASONS
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, days, examples, json_option, say, table
from fleetmint.cli.place import gateway_option, site_option
from fleetmint.errors import SecretError, StateError
from fleetmint.plan import Plan
from fleetmint.site.state import Site

with for_work():
    from cryptography.hazmat.primitives.serialization import Encoding

    from fleetmint.ca.hierarchy import Hierarchy
    from fleetmint.ca.identifier import OPERATOR
    from fleetmint.ca.leaves import OPERATOR_PROFILE, plan_client
    from fleetmint.ca.operators import find_client, list_clients, plan_replacement, plan_revoked_client
    from fleetmint.documents import client
    from fleetmint.documents.reach import Reach
    from fleetmint.site import in_force
    from fleetmint.site.client import open_gateway
    from fleetmint.trust import bundle
    from fleetmint.x509 import compat, hosts, keys, names, pkcs12
    from fleetmint.x509.authority import load_certificate
    from fleetmint.x509.inspect import days_left, time_text


_MAX_PASSWORD = 4096

_profile = click.option(
    "--profile", type=click.Choice(OPERATOR_PROFILES), default="operator", show_default=True, help="What it is."
)
_p12 = click.option("--p12", is_flag=True, help="Also write a PKCS #12 file, for a browser or a phone.")
_encryption = click.option(
    "--p12-encryption",
    "encryption",
    type=click.Choice(ENCRYPTIONS),
    default=MODERN,
    show_default=True,
    help="legacy: for older systems that call the right password wrong, as macOS 13 and Android 12 are said to.",
)
_out = click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the PKCS #12 file.")
_password_file = click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File whose first line is its password; else a random one is shown on the terminal, once.",
)
_password_fd = click.option("--password-fd", type=int, help="The same, from an open file descriptor.")
_reason = click.option("--reason", type=click.Choice(REASONS), default=REASONS[0], show_default=True, help="Why.")


@click.group(
    epilog=examples(
        "fleetmint operator add alice@workshop --p12",
        "fleetmint operator list",
        "fleetmint operator export wall@workshop --to wall",
        "fleetmint operator replace alice@workshop --reason key_compromise --p12",
        "fleetmint operator revoke alice@workshop",
    )
)
def operator() -> None:
    """Give people, stations and dashboards their certificates, and take them away."""


@operator.command(
    "add",
    epilog=examples(
        "fleetmint operator add alice@workshop --p12",
        "fleetmint operator add wall@workshop --profile dashboard",
        "fleetmint operator add oldphone@workshop --p12 --profile operator-rsa",
    ),
)
@click.argument("name")
@site_option
@_profile
@_p12
@_encryption
@_out
@_password_file
@_password_fd
@check_option
@json_option
def add(name: str, site: Site, profile: str, check: bool, as_json: bool, **p12: Any) -> None:
    """Make key and certificate of NAME, such as alice@workshop, or renew a certificate that nears its end."""
    hierarchy, directory, now = _open(site, name)
    password = None if check else _password(**p12)
    plan = plan_client(hierarchy, profile, name, directory, now)
    if plan.expected is not None:
        raise StateError(
            f"{name} is revoked: {commands.fleetmint('operator', 'replace', name)} makes a new key and certificate"
        )
    if check:
        _predict(as_json, name, plan)
        return
    plan.apply()
    written = _write_p12(hierarchy, directory, name, password, **p12)
    _report(as_json, directory, name, plan.reasons, written, now)
    _show(password, written)


@operator.command("replace", epilog=examples("fleetmint operator replace alice@workshop --reason key_compromise --p12"))
@click.argument("name", shell_complete=completion.operators)
@site_option
@_profile
@_reason
@_p12
@_encryption
@_out
@_password_file
@_password_fd
@check_option
@json_option
def replace(name: str, site: Site, profile: str, reason: str, check: bool, as_json: bool, **p12: Any) -> None:
    """Revoke what NAME has and make a new key and certificate: for a lost laptop or phone."""
    hierarchy, directory, now = _open(site, name)
    password = None if check else _password(**p12)
    if profile == OPERATOR_PROFILE:
        profile = _profile_of(site, directory, name)
    plan = plan_replacement(hierarchy, profile, name, directory, reason, now)
    if check:
        _predict(as_json, name, plan)
        return
    plan.apply()
    written = _write_p12(hierarchy, directory, name, password, **p12)
    told = in_force.tell(site, None, authorities=[OPERATOR.name])
    _report(as_json, directory, name, plan.reasons, written, now)
    if not as_json:
        click.echo(f"Of the old one: {_in_words(told)}")
    _show(password, written)
    if any(each.problem for each in told):
        click.echo("fleetmint: the old certificate is not refused everywhere yet", err=True)
        sys.exit(1)


@operator.command("export", epilog=examples("fleetmint operator export wall@workshop --to wall"))
@click.argument("name", shell_complete=completion.operators)
@site_option
@gateway_option
@click.option(
    "--to",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for ca.pem, cert.pem, key.pem and client.json; made if it is missing.",
)
@click.option("--host", metavar="HOST", help="What the program calls the gateway, where that is not as the site does.")
@json_option
def export(name: str, site: Site, gateway: str | None, directory: Path, host: str | None, as_json: bool) -> None:
    """Write what a program needs to appear as NAME: ca.pem, cert.pem and key.pem, as `tls_set` of paho takes them.

    client.json says which gateway, and its ports for operators. Carry the directory to the program as you would a key,
    and again after `ca.yml` has renewed the certificate: once a year is often enough.
    """
    hierarchy, issued, now = _open(site, name)
    found = find_client(hierarchy, issued, name, now)
    if found.status != "valid":
        made = commands.fleetmint("operator", "replace", name)
        raise StateError(f"the certificate of {name} is {found.status}: {made} makes a new key and certificate")
    reached = open_gateway(site, name, gateway)
    reach = Reach(hosts.host(host) if host else reached.host, reached.https_port, reached.mqtt_port)
    anchors = [anchor.public_bytes(Encoding.DER) for anchor in bundle.anchors(site.ca_directory)]
    key = files.read_private(issued / f"{name}.key", "key")
    client.write(directory, client.About(name, reach), anchors, files.read(found.path, "certificate"), key)
    end = compat.not_after(found.certificate)
    values = {"name": name, "directory": str(directory), "not_after": time_text(end)}
    say(as_json, values, f"{directory} is for a program that appears as {name}, until {end:%Y-%m-%d}.")


@operator.command("revoke", epilog=examples("fleetmint operator revoke alice@workshop"))
@click.argument("name", shell_complete=completion.operators)
@site_option
@_reason
@check_option
@json_option
def revoke(name: str, site: Site, reason: str, check: bool, as_json: bool) -> None:
    """Revoke the certificate of NAME and delete its key here."""
    hierarchy, directory, now = _open(site, name)
    client = find_client(hierarchy, directory, name, now)
    plan = plan_revoked_client(hierarchy, client, reason, now)
    if check:
        _predict(as_json, name, plan)
        return
    plan.apply()
    told = in_force.tell(site, None, authorities=[OPERATOR.name])
    values = {
        "gateways": in_force.values(told),
        "changed": plan.changed,
        "site": hierarchy.site,
        "name": name,
        "serial": f"{client.certificate.serial_number:x}",
        "ship": commands.to_gateways().line,
    }
    done = "is revoked" if plan.changed else "was revoked before"
    text = (
        f"{name} {done} at the site {hierarchy.site}. {_in_words(told)} Take the name out of operators_names in the"
        " inventory too."
    )
    say(as_json, values, text)
    if any(each.problem for each in told):
        sys.exit(1)


@operator.command(
    "list",
    epilog=examples(
        "fleetmint operator list",
        "fleetmint operator list --json | jq '.operators[] | select(.days_left < 60) | .name'",
    ),
)
@site_option
@json_option
def list_(site: Site, as_json: bool) -> None:
    """List who has a certificate of the operator CA, revoked ones included."""
    hierarchy, now = site.hierarchy(), datetime.now(UTC)
    station = site.station
    rows: list[dict[str, Any]] = [
        {
            "name": client.name,
            "status": client.status,
            "in_use": client.in_use,
            "serial": f"{client.certificate.serial_number:x}",
            "not_after": time_text(compat.not_after(client.certificate)),
            "days_left": days_left(compat.not_after(client.certificate), now),
            "key_here": client.has_key,
            "station": client.name == station,
        }
        for client in list_clients(hierarchy, site.operators, now)
    ]
    if as_json:
        say(True, {"operators": rows}, "")
        return
    table(
        ["name", "status", "serial", "ends", "left"],
        [[row["name"], _status(row), row["serial"], row["not_after"][:10], days(row["days_left"])] for row in rows],
    )


def _in_words(told: Sequence[in_force.Told]) -> str:
    if told:
        return in_force.in_words(told, commands.to_gateways())
    return f"The gateways refuse it after {commands.to_gateways()}, which restarts the broker to end its sessions."


def _predict(as_json: bool, name: str, plan: Plan[object]) -> None:
    values = {"changed": plan.changed, "reasons": list(plan.reasons), "name": name}
    say(as_json, values, "; ".join(plan.reasons) or f"nothing to do for {name}")


def _profile_of(site: Site, directory: Path, name: str) -> str:
    """Return what an operator is made again as, unless it is said: what it was."""
    if name == site.station:
        return "station"
    found = directory / f"{name}.crt"
    rsa = found.exists() and keys.kind_of(load_certificate(found).public_key()) == keys.RSA  # type: ignore[arg-type]
    return "operator-rsa" if rsa else OPERATOR_PROFILE


def _status(row: dict[str, Any]) -> str:
    return row["status"] if row["in_use"] else f"{row['status']}, superseded"


def _open(site: Site, name: str) -> tuple[Hierarchy, Path, datetime]:
    names.operator_name(name)
    return site.hierarchy(), site.operators, datetime.now(UTC)


def _password(
    p12: bool, encryption: str, password_file: Path | None, password_fd: int | None, **_: object
) -> tuple[bytes, bool] | None:
    """Return the password of the PKCS #12 file and whether it has to be shown, None when there is no such file.

    Decided before anything is made: a random one that nobody can see would be of no use.
    """
    if not p12:
        if password_file is not None or password_fd is not None:
            raise click.UsageError("a password is for the PKCS #12 file: add --p12")
        return None
    if encryption == LEGACY and (password_file is not None or password_fd is not None):
        raise click.UsageError("legacy encryption is as good as its password: leave that to this command")
    if password_file is not None and password_fd is not None:
        raise click.UsageError("give --password-file or --password-fd, not both")
    if password_file is not None:
        return pkcs12.checked_password(files.read_private(password_file, "password"), str(password_file)), False
    if password_fd is not None:
        try:
            text = os.read(password_fd, _MAX_PASSWORD)
        except OSError as error:
            raise SecretError(f"cannot read file descriptor {password_fd}: {error.strerror}") from error
        return pkcs12.checked_password(text, f"file descriptor {password_fd}"), False
    if not sys.stderr.isatty():
        raise SecretError("there is no terminal to show a password on: give one with --password-file or --password-fd")
    return pkcs12.random_password().encode(), True


def _write_p12(
    hierarchy: Hierarchy,
    directory: Path,
    name: str,
    password: tuple[bytes, bool] | None,
    encryption: str,
    out: Path | None,
    **_: object,
) -> Path | None:
    if password is None:
        return None
    path = directory / f"{name}.key"
    key = keys.load_leaf_key(files.read_private(path, "key"), None, str(path))
    issuer = hierarchy.store.certificate(OPERATOR)
    made = pkcs12.make_pkcs12(key, load_certificate(directory / f"{name}.crt"), issuer, name, password[0], encryption)
    target = out or directory / f"{name}.p12"
    files.write_atomically(target, made)
    return target


def _report(
    as_json: bool, directory: Path, name: str, reasons: tuple[str, ...], written: Path | None, now: datetime
) -> None:
    certificate = load_certificate(directory / f"{name}.crt")
    end = compat.not_after(certificate)
    values = {
        "changed": bool(reasons),
        "reasons": list(reasons),
        "name": name,
        "serial": f"{certificate.serial_number:x}",
        "not_after": time_text(end),
        "key": str(directory / f"{name}.key"),
        "certificate": str(directory / f"{name}.crt"),
        "p12": None if written is None else str(written),
    }
    lines = [f"{reason}." for reason in reasons] or [f"{name} has a good certificate already."]
    lines.append(f"It lasts {days(days_left(end, now))}, until {end:%Y-%m-%d}: {values['certificate']}")
    if written is not None:
        lines.append(f"For a browser or a phone: {written}")
    say(as_json, values, "\n".join(lines))


def _show(password: tuple[bytes, bool] | None, written: Path | None) -> None:
    if password is not None and password[1]:
        click.echo(f"Its password, shown this once: {password[0].decode()}", err=True)
        click.echo(f"Delete {written} when it has been imported.", err=True)
