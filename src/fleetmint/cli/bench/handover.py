"""`fleetmint batch register` and `fleetmint batch handover`: telling the gateway, over HTTPS or with a signed file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fleetmint import commands, files
from fleetmint.cli import completion
from fleetmint.cli.lazily import for_work
from fleetmint.cli.output import check_option, examples, json_option, say
from fleetmint.cli.place import as_option, ledger_option, site_option
from fleetmint.errors import FleetmintError
from fleetmint.site.state import Site

with for_work():
    from fleetmint.batch import handover as papers
    from fleetmint.documents import signature
    from fleetmint.documents.document import encode, parts
    from fleetmint.ledger.schema import RETURNED
    from fleetmint.site import in_force, shared_keys
    from fleetmint.site.client import LARGEST, open_gateway
    from fleetmint.x509 import keys
    from fleetmint.x509.authority import load_certificate


to_option = click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file that the station has signed, for a bench without a network, instead of asking the gateway.",
)


@click.command(
    epilog=examples(
        "fleetmint batch register spring",
        "fleetmint batch register spring --to spring.registration",
        commands.gateway("import", "-", stdin="spring.registration").line,
    )
)
@click.argument("batch", shell_complete=completion.batches)
@site_option
@ledger_option
@as_option
@to_option
@check_option
@json_option
def register(batch: str, site: Site, name: str | None, file: Path | None, check: bool, as_json: bool) -> None:
    """Tell the gateway of BATCH which devices there will be: ids, hashes of tokens, certificates. No secret.

    Do it before burning; again after the batch has grown. A second time changes nothing. With --to the bench counts the
    batch as registered as soon as the file is written: bring it to the gateway before the boards are switched on.
    """
    directory, ledger = site.batch(batch), site.ledger
    document = papers.read_registration(directory)
    told = _tell(site, name, document, "/v1/registrations", file, check)
    if not check:
        skipped = {each["device"] for each in told["skipped"]}
        now = datetime.now(UTC)
        plan = papers.plan_registered(directory, ledger, skipped=skipped, actor=told["as"], now=now)
        plan.apply()
    _report(as_json, batch, told, file)


@click.command(
    epilog=examples(
        "fleetmint batch handover spring",
        "fleetmint batch handover spring --to spring.handover",
        commands.gateway("import", "-", stdin="spring.handover").line,
    )
)
@click.argument("batch", shell_complete=completion.batches)
@site_option
@ledger_option
@as_option
@to_option
@check_option
@json_option
def handover(batch: str, site: Site, name: str | None, file: Path | None, check: bool, as_json: bool) -> None:
    """Tell the gateway of BATCH what became of its devices: which board each is, which failed, which came back.

    What came back is revoked there, and the gateways of the site are told each other's public keys, as by
    `fleetmint share-keys`. Do it after burning, as often as you like: the gateway takes what is new.
    """
    document = papers.handover_document(site.batch(batch), site.ledger)
    _report(as_json, batch, _tell(site, name, document, "/v1/handovers", file, check), file)
    back = [] if file is not None or check else [e["device"] for e in document["devices"] if e["result"] == RETURNED]
    told = in_force.end(site, name, str(document["gateway"]), back) if back else []
    if any(each.problem for each in told):
        raise FleetmintError(in_force.in_words(told, commands.to_gateways()))
    if file is None and not check and len(site.gateways) > 1:
        conflicts = [sentence for each in shared_keys.share(site, name) for sentence in each.conflicts]
        if conflicts:
            raise FleetmintError("; ".join(conflicts))


def gateway_of(site: Site, batch: str) -> str:
    """Return the name of the gateway of a batch."""
    return str(papers.read_registration(site.batch(batch))["gateway"])


def tell_handover(site: Site, batch: str, name: str | None, file: Path | None) -> str:
    """Hand over a batch as the command does, and return what there is to say about it."""
    document = papers.handover_document(site.batch(batch), site.ledger)
    return _text(batch, _tell(site, name, document, "/v1/handovers", file, check=False), file)


def _tell(
    site: Site, name: str | None, document: Mapping[str, Any], path: str, file: Path | None, check: bool
) -> dict[str, Any]:
    """Tell it, and return what came of it: numbers, `kept`, and `as` whom."""
    if file is not None:
        if check:
            raise click.UsageError("a file says nothing about the gateway: leave out --check or --to")
        station = name or site.station
        files.write_atomically(file, _signed(site, station, encode(document)))
        return {"as": station, "devices": len(document["devices"]), "skipped": [], "kept": []}
    gateway = open_gateway(site, name, str(document["gateway"]))
    sums: dict[str, Any] = {"as": gateway.operator, "changed": False, "skipped": []}
    for part in parts(document, LARGEST):
        answer = gateway.post(f"{path}?check=1" if check else path, part)
        for key, value in answer.items():
            if key == "changed":
                sums[key] = sums[key] or value
            elif isinstance(value, list):  # a gateway of one version before says kept only
                sums["skipped"] += value if key == "skipped" or "skipped" not in answer else []
            else:
                sums[key] = sums.get(key, 0) + value
    return {**sums, "kept": sums["skipped"]}  # the name of one version before


def _signed(site: Site, station: str, payload: bytes) -> bytes:
    directory = site.operators
    path = directory / f"{station}.key"
    key = keys.load_key(files.read_private(path, "key of the station"), None, str(path))
    return signature.sign(payload, load_certificate(directory / f"{station}.crt"), key)


def _report(as_json: bool, batch: str, told: Mapping[str, Any], file: Path | None) -> None:
    say(as_json, told if file is None else {"file": str(file), **told}, _text(batch, told, file))


def _text(batch: str, told: Mapping[str, Any], file: Path | None) -> str:
    if file is not None:
        return (
            f"{file}: {told['devices']} devices of {batch}, signed by {told['as']}. Bring it to the gateway and run"
            f" {commands.gateway('import', '-', stdin=file.name)}, where the file is."
        )
    counts = {name: number for name, number in told.items() if name not in ("as", "changed", "skipped", "kept")}
    lines = [f"{batch}: " + ", ".join(f"{number} {name}" for name, number in counts.items())]
    return "\n".join([*lines, *(f"{each['device']} is kept as it is: {each['reason']}" for each in told["skipped"])])
