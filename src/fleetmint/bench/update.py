"""A board that was burned gets the program or the Wi-Fi of today: its identity, and all else in its NVS, stay."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetmint import commands
from fleetmint.batch.networks import Wifi
from fleetmint.bench.tokens import with_values, write_nvs
from fleetmint.errors import FleetmintError
from fleetmint.flash.app import BLOCK_SIZE, build_app_image
from fleetmint.flash.burn import Worker
from fleetmint.flash.identity import Identity, identity_of
from fleetmint.flash.job import Board, Job, Region
from fleetmint.flash.table import PartitionTable
from fleetmint.nvs import keys

PROGRAM = "program"


@dataclass(frozen=True)
class Update:
    """What a board is to have: `app` is the directory of the program, None leaves that as it is, and so for `wifi`."""

    app: Path | None = None
    wifi: Wifi | None = None


def program_region(app: Path, board: Board) -> Region:
    """Return the program in `app` where the table of the board has its file system; raise ImageError for a bad one."""
    place = PartitionTable.from_bytes(bytes.fromhex(board.table)).with_vfs(board.flash_size).writable("vfs")
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
            values = {keys.WIFI_SSID: update.wifi.ssid.encode(), keys.WIFI_PSK: update.wifi.psk.encode()}
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


def _joins(known: Identity, wifi: Wifi) -> bool:
    wanted = {keys.WIFI_SSID: wifi.ssid.encode(), keys.WIFI_PSK: wifi.psk.encode()}
    return all(known.values.get(name) == value for name, value in wanted.items())
