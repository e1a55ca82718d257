"""`fleetmint service-cert`: certificates for servers of the maker's own. Runs on the controller."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import files
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, days, examples, json_option, say
from fleetmint.cli.place import site_option
from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

with for_work():
    from cryptography.hazmat.primitives.serialization import Encoding

    from fleetmint.ca.services import Service, find_service, plan_service
    from fleetmint.documents import client
    from fleetmint.files import File
    from fleetmint.trust import anchors as anchor_files
    from fleetmint.trust import bundle
    from fleetmint.x509 import compat, names
    from fleetmint.x509.authority import load_certificate
    from fleetmint.x509.inspect import days_left, time_text


@click.command(
    "service-cert",
    epilog=examples(
        "fleetmint service-cert grafana --san grafana.home.example --san 192.168.1.40",
        "fleetmint service-cert grafana --to grafana-tls",
        "fleetmint service-cert web --san web.home.example --csr web.csr --days 90 --json",
    ),
)
@click.argument("name")
@site_option
@click.option(
    "--san", "sans", metavar="HOST", multiple=True, help="Name or address that clients call; give it for each of them."
)
@click.option(
    "--csr",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Certificate request of a key that stays where it is; without it a key is made here.",
)
@click.option("--days", "lifetime", type=click.IntRange(1, 365), help="How long it lasts; a year by default.")
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write ca.pem, cert.pem and key.pem there, as servers take them.",
)
@check_option
@json_option
def service_cert(
    name: str,
    site: Site,
    sans: tuple[str, ...],
    csr: Path | None,
    lifetime: int | None,
    directory: Path | None,
    check: bool,
    as_json: bool,
) -> None:
    """Give NAME, a broker, web server or container of your own, a certificate that devices and operators trust.

    What was asked for is kept: the same name again renews the certificate when it is 90 days old, as `ca.yml` does, and
    leaves one that is younger alone. Nobody is asked for anything. A name of a gateway is refused, since devices know a
    gateway by its name alone.
    """
    names.service_name(name)
    hierarchy, now = site.hierarchy(), datetime.now(UTC)
    known = find_service(site.issued, name)
    if known is None and not sans:
        raise FleetmintError(f"there is no service {name} yet: say with --san which names its clients call")
    if known is not None:
        sans, lifetime = sans or known.sans, lifetime or known.days
    wanted = Service(name, tuple(dict.fromkeys(sans)), lifetime)
    request = None if csr is None else files.read_foreign(csr, "certificate request")
    taken = {site.listeners(gateway).host for gateway in site.gateways}
    plan = plan_service(hierarchy, site.issued, wanted, now, taken=taken, request=request)
    certificate, key = site.services / f"{name}.crt", site.services / f"{name}.key"
    values = {"changed": plan.changed, "reasons": list(plan.reasons), "name": name, "sans": list(wanted.sans)}
    if check:
        say(as_json, values, "; ".join(plan.reasons) or f"nothing to do for {name}")
        return
    plan.apply()
    if directory is not None:
        anchors = [anchor.public_bytes(Encoding.DER) for anchor in bundle.anchors(site.ca_directory)]
        _write(directory, anchor_files.pem(anchors), certificate, key)
    end = compat.not_after(load_certificate(certificate))
    paths = {"certificate": str(certificate), "key": str(key) if key.exists() else None}
    told = {**values, **paths, "not_after": time_text(end), "to": None if directory is None else str(directory)}
    lines = [f"{reason}." for reason in plan.reasons] or [f"{name} has a good certificate already."]
    lines.append(f"It lasts {days(days_left(end, now))}, until {end:%Y-%m-%d}: {directory or certificate}")
    say(as_json, told, "\n".join(lines))


def _write(directory: Path, anchors: bytes, certificate: Path, key: Path) -> None:
    written = [
        File(directory / client.CERTIFICATE, files.read(certificate, "certificate"), files.PUBLIC_FILE),
        File(directory / client.CA, anchors, files.PUBLIC_FILE),
    ]
    if key.exists():
        written.insert(0, File(directory / client.KEY, files.read_private(key, "key")))
    files.write_together(written)
