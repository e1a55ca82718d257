"""The process that runs esptool for one port: python -m fleetmint.flash.worker. Nothing else here imports esptool.

Requests come as lines of JSON on stdin:

    {"do": "identify", "port", "baud", "connect_attempts", "hold"}    who is there; `hold` keeps the board for the next
    {"do": "burn", "job"}                                             burn it
    {"do": "read", "offset", "size"}                                  bytes of the flash of the held board
    {"do": "md5", "offset", "size"}                                   the MD5 of them, made by the board
    {"do": "read nvs"}                                                offset and content of the NVS of the held board
    {"do": "let go"}                                                  let a board that is held boot

On stdout go lines of JSON: {"event": "progress", "region", "done", "total"} any number of times, then for each request
one {"event": "result", "result": {...}} or {"event": "error", "code", "message", "mac"}. The end of stdin is the end of
the station, and of this process with it: nobody would record what it still did.
"""

import base64
import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from esptool import cmds
from esptool.loader import ESPLoader
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError, flash_size_bytes

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, ImageError
from fleetmint.flash.identity import Identity, find_identity, has_enrolled, identity_of, keeps_nvs
from fleetmint.flash.job import NVS_REGION, Board, Job, Region, Result, check_fit, check_job, job_from_json
from fleetmint.flash.table import TABLE_OFFSET, TABLE_SIZE

_ROM_BAUD = 115200
_SLOWEST_BAUD = 9600


class _Report(TemplateLogger):  # type: ignore[misc]
    """Takes esptool's messages, of which only the progress is of interest, and writes this process's events."""

    def __init__(self) -> None:
        # whatever else prints must not get between the events
        self._events = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self.region = ""

    def event(self, name: str, **fields: Any) -> None:
        """Write one line."""
        self._events.write(json.dumps({"event": name, **fields}) + "\n")
        self._events.flush()

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        """Pass esptool's progress on."""
        self.event("progress", region=self.region, done=cur_iter, total=total_iters)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Drop it."""

    def note(self, message: str) -> None:
        """Drop it."""

    def warning(self, message: str) -> None:
        """Drop it."""

    def error(self, message: str) -> None:
        """Drop it: an error of esptool also raises."""

    def stage(self, finish: bool = False) -> None:
        """Drop it."""

    def set_verbosity(self, verbosity: str) -> None:
        """Drop it."""


@dataclass(frozen=True)
class _Held:
    """A board whose stub runs at `baud`, with what is known of it."""

    esp: ESPLoader
    port: str
    baud: int
    board: Board
    identity: Identity | None


class _Bench:
    """What this process does on request, and the board that it holds between two requests."""

    def __init__(self, report: _Report) -> None:
        self._report = report
        self._held: _Held | None = None
        # of the board that the request is about, as soon as it is known
        self.mac: str | None = None

    def carry_out(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one request and return its result; whatever it raises, no board is held afterwards."""
        self.mac = None
        try:
            if request["do"] == "identify":
                return asdict(self._identify(request))
            if request["do"] == "burn":
                return asdict(self._burn(job_from_json(request["job"])))
            if request["do"] == "read nvs":
                return self._read_nvs()
            if request["do"] == "read":
                return self._read(request["offset"], request["size"])
            if request["do"] == "md5":
                return self._md5(request["offset"], request["size"])
            self._release()
        except BaseException:
            self._drop()
            raise
        return {}

    def _read(self, offset: int, size: int) -> dict[str, Any]:
        if self._held is None:
            raise BurnError("no board is held: identify it first", BurnCode.INTERNAL)
        self.mac = self._held.board.mac
        return {"data": base64.b64encode(self._held.esp.read_flash(offset, size)).decode("ascii")}

    def _md5(self, offset: int, size: int) -> dict[str, Any]:
        if self._held is None:
            raise BurnError("no board is held: identify it first", BurnCode.INTERNAL)
        self.mac = self._held.board.mac
        return {"md5": str(self._held.esp.flash_md5sum(offset, size))}

    def _read_nvs(self) -> dict[str, Any]:
        held = self._held
        if held is None or held.identity is None:
            raise BurnError("the board holds no identity: burn it first", BurnCode.IDENTITY)
        self.mac = held.board.mac
        data = held.esp.read_flash(held.identity.offset, held.identity.size)
        return {"offset": held.identity.offset, "data": base64.b64encode(data).decode("ascii")}

    def _identify(self, request: Mapping[str, Any]) -> Board:
        self._release()
        held = self._connect(request["port"], request["baud"], request["connect_attempts"])
        if not request["hold"]:
            self._release()
        return held.board

    def _burn(self, job: Job) -> Result:
        check_job(job)
        start = time.monotonic()
        if self._held is None or self._held.port != job.port:
            self._release()
            self._connect(job.port, job.baud, job.connect_attempts, [r for r in job.regions if r.name == NVS_REGION])
        held = self._held
        if held is None:
            raise AssertionError("a board was connected")
        board = held.board
        self.mac = board.mac
        if board.chip != job.chip:
            raise BurnError(
                f"the board ({board.mac}) has an {board.chip}, not an {job.chip}: nothing was written",
                BurnCode.WRONG_CHIP,
            )
        check_fit(job, board.flash_size)
        leave = _regions_to_leave(held, job)
        written, kept = [], []
        for region in job.regions:
            self._report.region = region.name
            if region.name in leave or _has(held.esp, region):
                kept.append(region.name)
            else:
                _write(held.esp, region, held.baud, force=job.encrypted)
                written.append(region.name)
        self._release()
        seconds = round(time.monotonic() - start, 3)
        return Result(job.port, board.mac, board.chip, board.flash_size, seconds, tuple(written), tuple(kept))

    def _connect(self, port: str, baud: int, attempts: int, places: Sequence[Region] = ()) -> _Held:
        rom = _open(port, attempts)
        try:
            if not rom.secure_download_mode:  # in which nothing can be read
                self.mac = _mac(rom)
            _refuse_secured(rom)
            chip = _chip(rom)
            esp, flash_size = _with_stub(rom)
            if baud != _ROM_BAUD:
                esp.change_baud(baud)
            table = bytes(esp.read_flash(TABLE_OFFSET, TABLE_SIZE))
            identity = find_identity(_reader(esp), table, _places(places), flash_size)
        except BaseException:
            _close(rom)
            raise
        board = Board(str(self.mac), chip, flash_size, identity.device_id if identity else None, table.hex())
        self._held = _Held(esp, port, baud, board, identity)
        return self._held

    def _release(self) -> None:
        """Let the board boot."""
        if self._held is not None:
            self._held.esp.hard_reset()
        self._drop()

    def _drop(self) -> None:
        if self._held is not None:
            _close(self._held.esp)
        self._held = None


def main() -> None:
    """Carry out the requests on stdin."""
    report = _Report()
    log.set_logger(report)
    bench = _Bench(report)
    for request in _requests():
        try:
            result = bench.carry_out(request)
        except BurnError as error:
            report.event("error", code=error.code, message=str(error), mac=bench.mac)
        except ImageError as error:
            report.event("error", code=BurnCode.TOO_SMALL, message=str(error), mac=bench.mac)
        except (FatalError, OSError) as error:
            message = f"the connection was lost ({_first_line(error)}): check cable and power, and burn the board again"
            report.event("error", code=BurnCode.LOST, message=message, mac=bench.mac)
        except Exception as error:
            # the message of an unforeseen error can quote what it stumbled over, and that can be a secret
            message = f"the burn stopped on an unforeseen {type(error).__name__}"
            report.event("error", code=BurnCode.INTERNAL, message=message, mac=bench.mac)
        else:
            report.event("result", result=result)


def _requests() -> Iterator[Mapping[str, Any]]:
    """Yield the requests; end this process, whatever it is doing, when the station is gone."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def _open(port: str, attempts: int) -> ESPLoader:
    """Connect to the ROM of the board at `port`."""
    try:
        return cmds.detect_chip(port, connect_attempts=attempts)
    except (FatalError, OSError) as error:
        raise _refusal(error) from error


def _refusal(error: BaseException) -> BurnError:
    """Return in plain words why no connection came about, from what esptool and pyserial say about it."""
    said = str(error)
    if "exclusively lock" in said:
        return BurnError(
            "another program has the port open (a serial monitor, another burn): end it first", BurnCode.PORT_BUSY
        )
    if said.startswith("Could not open"):
        reason = said.splitlines()[1:2] or [""]
        return BurnError(f"the port cannot be opened {reason[0]}: connect the board again", BurnCode.PORT_MISSING)
    if "Wrong boot mode" in said:
        return BurnError(
            "the board runs its program instead of the download mode: hold BOOT (IO0), press EN, then let go of BOOT",
            BurnCode.BOOT_MODE,
        )
    if "TX path" in said:
        return BurnError(
            "the board is in download mode but hears nothing: the line to its RX pin is broken, or something else"
            " drives it",
            BurnCode.NO_ANSWER,
        )
    return BurnError(
        f"the board does not answer ({_first_line(error)}): check that the cable carries data, or hold BOOT (IO0) while"
        " you connect it or press EN",
        BurnCode.NO_ANSWER,
    )


def _close(esp: ESPLoader) -> None:
    # a port whose board was pulled cannot even be closed in order
    with suppress(OSError, FatalError):
        esp._port.close()


def _with_stub(rom: ESPLoader) -> tuple[ESPLoader, int]:
    """Start the flasher stub; return it, and the size of the flash in bytes."""
    esp = cmds.run_stub(rom)
    cmds.attach_flash(esp)
    size = cmds.detect_flash_size(esp)
    if size is None:
        raise BurnError(
            "the board's flash chip does not say how large it is: the flash may be broken", BurnCode.TOO_SMALL
        )
    esp.flash_set_parameters(flash_size_bytes(size))
    return esp, int(flash_size_bytes(size))


def _refuse_secured(rom: ESPLoader) -> None:
    """Refuse what would not boot, or not be readable, after a plain write."""
    if rom.secure_download_mode or rom.get_flash_encryption_enabled() or rom.get_secure_boot_enabled():
        raise BurnError(
            "the board's eFuses demand secure boot, flash encryption or secure download: it cannot take a plain image",
            BurnCode.SECURED,
        )


def _regions_to_leave(held: _Held, job: Job) -> set[str]:
    """Return the regions that stay as they are because of the board's identity; raise BurnError if it is another's."""
    nvs = [region for region in job.regions if region.name == NVS_REGION]
    if not nvs or job.reprovision:
        return set()
    mac, wanted = held.board.mac, identity_of(nvs[0].data, nvs[0].offset)
    # A board that is held was asked before anybody knew where the job puts the NVS.
    found = held.identity or _identity_at(held.esp, nvs, held.board.flash_size)
    if found is None:
        return set()
    if wanted is None or found.device_id != wanted.device_id:
        raise BurnError(
            f"the board ({mac}) is {found.device_id!r} already: use another board, or reprovision this one",
            BurnCode.IDENTITY,
        )
    if keeps_nvs(found, wanted):
        return {NVS_REGION}
    if has_enrolled(found, wanted):
        raise BurnError(
            f"the board ({mac}) is {found.device_id!r} already, and its keys are at {found.offset:#x}, where this "
            "layout has no NVS: use the layout it has, or reprovision it",
            BurnCode.IDENTITY,
        )
    return set()


def _identity_at(esp: ESPLoader, regions: Sequence[Region], flash_size: int) -> Identity | None:
    """Return the identity where one of `regions` puts the NVS, whatever the board's table says."""
    return find_identity(_reader(esp), b"", _places(regions), flash_size)


def _places(regions: Sequence[Region]) -> list[tuple[int, int]]:
    return [(region.offset, len(region.data)) for region in regions]


def _reader(esp: ESPLoader) -> Callable[[int, int], bytes]:
    return lambda offset, size: bytes(esp.read_flash(offset, size))


def _has(esp: ESPLoader, region: Region) -> bool:
    wanted = hashlib.md5(region.data, usedforsecurity=False).hexdigest()
    return bool(esp.flash_md5sum(region.offset, len(region.data)) == wanted)


def _write(esp: ESPLoader, region: Region, baud: int, *, force: bool) -> None:
    """Write one region and compare its MD5, three times at most."""
    for slower in (1, 2, 4):
        if slower > 1:
            esp.change_baud(max(baud // slower, _SLOWEST_BAUD))
        # esptool compares too, and raises. If it was more than that, the next command fails as well.
        with suppress(FatalError):
            cmds.write_flash(esp, [(region.offset, region.data)], force=force)
        if _has(esp, region):
            return
    raise BurnError(
        f"region {region.name!r} does not read back as it was written, at no speed: the flash or the cable is bad",
        BurnCode.MD5,
    )


def _chip(esp: ESPLoader) -> str:
    return str(esp.CHIP_NAME).lower().replace("-", "")


def _mac(esp: ESPLoader) -> str:
    return bytes(esp.read_mac("BASE_MAC")).hex(":")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    main()
