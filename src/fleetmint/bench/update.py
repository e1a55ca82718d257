"""A board that was burned gets the program or the Wi-Fi of today: its identity, and all else in its NVS, stay."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetmint import commands
from fleetmint.batch.image import wifi_entries
from fleetmint.batch.networks import Wifi
from fleetmint.bench.tokens import with_values, write_nvs
from fleetmint.errors import FleetmintError, ImageError
from fleetmint.flash.app import BLOCK_SIZE, build_app_image
from fleetmint.flash.burn import Worker
from fleetmint.flash.identity import Identity, identity_of
from fleetmint.flash.job import Board, Job, Region
from fleetmint.flash.table import ESP_SECURE_CERT, OWN_IDENTITY, PartitionTable
from fleetmint.nvs import keys

PROGRAM = "program"


@dataclass(frozen=True)
class Update:
    """What a board is to have: `app` is the directory of the program, None leaves that as it is, and so for `wifi`.

    The networks stand in the order of their priority.
    """

    app: Path | None = None
    wifi: tuple[Wifi, ...] | None = None


def program_region(app: Path, board: Board) -> Region:
    """Return the program in `app` where the table of the board has its file system; raise ImageError for a bad one."""
    table = PartitionTable.from_bytes(bytes.fromhex(board.table))
    if any(row.type == OWN_IDENTITY for row in table.partitions):
        raise ImageError(
            f"the board ({board.mac}) has its identity in {ESP_SECURE_CERT}, for firmware that is not MicroPython: it"
            " has no use for the program, and nothing was written"
        )
    place = table.with_vfs(board.flash_size).writable("vfs")
    return Region(place.offset, build_app_image(app, place.size - place.size % BLOCK_SIZE), PROGRAM)


def differences(worker: Worker, board: Board, update: Update) -> tuple[str, ...]:
    """Return in which of `program` and `Wi-Fi` a board that is held differs from `update`."""
    found = []
    if update.app is not None and not worker.has(program_region(update.app, board)):
        found.append("program")
    if update.wifi is not None:
        nvs = worker.read_nvs()
        known = identity_of(nvs.data, nvs.offset)
        if known is None or not _joins(known, update.wifi):
            found.append("Wi-Fi")
    return tuple(found)


def carry_out(worker: Worker, board: Board, update: Update, again: Callable[[FleetmintError], bool]) -> tuple[str, ...]:
    """Bring a board that is held up to `update`, let it boot, and return what was changed.

    The program goes first, and the NVS only where the Wi-Fi differs: it holds the device's key, of which there is no
    copy, so that `again` is asked when the connection is lost meanwhile, as in tokens.write_nvs. Raises BurnError.
    """
    try:
        changed = differences(worker, board, update)
        nvs = worker.read_nvs()
        program = [program_region(update.app, board)] if update.app is not None and "program" in changed else []
        region = None
        if update.wifi is not None and "Wi-Fi" in changed:
            known = identity_of(nvs.data, nvs.offset)
            values = _networks(known.values if known else {}, update.wifi)
            region = Region(nvs.offset, with_values(nvs.data, str(board.device_id), values), nvs.name)
    except FleetmintError:
        worker.release()
        raise
    if program and region is None:
        worker.burn(Job(worker.port, board.chip, tuple(program)))
    elif region is not None:
        write_nvs(worker, board, (*program, region), again)
    else:
        worker.release()
    return changed


def hint(port: str, changed: tuple[str, ...], app: Path) -> str:
    """Return what to say of a board that lacks what `changed` names; `app` is the program."""
    if not changed:
        return ""
    words = [word for word, name in (("--app", "program"), ("--wifi", "Wi-Fi")) if name in changed]
    top = commands.checkout()
    if "--app" in words and (top is None or app.resolve() != top / "firmware"):
        words += ["--app-dir", str(app)]
    command = commands.fleetmint("device", "update", "--port", port, *words)
    return f"; what the batch has as {' and '.join(changed)} by now is not on it: {command}"


def _joins(known: Identity, wifi: Sequence[Wifi]) -> bool:
    return all(known.values.get(name) == value for name, value in _networks(known.values, wifi).items())


def _networks(held: Mapping[str, int | bytes], wifi: Sequence[Wifi]) -> dict[str, bytes | None]:
    """Return key → value for these networks, and what makes a device forget those that it was told over its session."""
    told = held.get(keys.SETTINGS)
    return {keys.WIFI_LIST: None, keys.CANDIDATE: None, keys.SETTINGS: _without_networks(told), **wifi_entries(wifi)}


def _without_networks(told: int | bytes | None) -> bytes | None:
    """Return what a device was told, as firmware/agent/settings.py keeps it, without networks."""
    try:
        settings = json.loads(told) if isinstance(told, bytes) else {}
        if "wifi" not in settings:
            return told if isinstance(told, bytes) else None
        del settings["wifi"]
    except (ValueError, TypeError):
        return None  # the device could not read it either
    return json.dumps(settings).encode()
