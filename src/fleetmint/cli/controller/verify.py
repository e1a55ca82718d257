"""`fleetmint verify`: would a listener let this certificate in, and if not, why."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from fleetmint import choices, files
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import examples, json_option, say
from fleetmint.cli.place import site_option
from fleetmint.site.state import Site

with for_work():
    from fleetmint.ca import listeners
    from fleetmint.x509 import revocation
    from fleetmint.x509.inspect import read_certificates
    from fleetmint.x509.verify import Verdict
    from fleetmint.x509.verify import verify as decide


@click.command(
    epilog=examples(
        "fleetmint verify alice@workshop.crt --as operator",
        "fleetmint verify device.crt --as device --crl device.crl",
        "fleetmint verify inventory/home/state/issued/gateway/nginx.crt --as server --host gateway.local",
    )
)
@click.argument("path", metavar="CERT", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as", "kind", type=click.Choice(choices.LISTENERS), required=True, help="What it is shown as.")
@click.option("--host", metavar="NAME", help="Name or address by which a device reaches the server.")
@click.option(
    "--crl",
    "crls",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A further CRL, PEM or DER: a device CA's is at http://GATEWAY/device.crl.",
)
@site_option
@json_option
def verify(path: Path, kind: str, host: str | None, crls: tuple[Path, ...], site: Site, as_json: bool) -> None:
    """Decide as the listeners do: chain, names, usages, dates and CRLs. Exits with 1 when CERT is refused.

    The first certificate in CERT is judged, the others count as sent along. What is decided behind the listener is not
    part of it: the signing service also wants to know a device's certificate from its ledger.
    """
    if host is not None and kind != choices.SERVER:
        raise click.UsageError("--host is for --as server")
    leaf, *sent = read_certificates(files.read_foreign(path, "certificate"), str(path))
    lists = [revocation.read_crl(files.read_foreign(crl, "CRL"), str(crl)) for crl in crls]
    verdict = decide(leaf, sent, listeners.open_listener(site.hierarchy(), kind, lists), datetime.now(UTC), host)
    values = {"accepted": verdict.accepted, "reasons": list(verdict.reasons), "chain": list(verdict.chain)}
    say(as_json, values, _text(path, kind, verdict))
    if not verdict.accepted:
        sys.exit(1)


def _text(path: Path, kind: str, verdict: Verdict) -> str:
    lines = [f"{path} is {'accepted' if verdict.accepted else 'refused'} as {kind}."]
    lines += [f"  {reason}" for reason in verdict.reasons]
    lines.append(f"  chain: {' ← '.join(verdict.chain)}")
    if kind == choices.SERVER and verdict.accepted:
        lines.append("  Devices look at no CRL, so a revoked one would be accepted too.")
    return "\n".join(lines)
