"""The process that runs esptool: python -m fleetmint.flash.worker. Nothing else in this package imports esptool.

A request comes as one JSON object on stdin; on stdout go lines of JSON: {"event": "progress", "region", "done",
"total"} any number of times, then one {"event": "result", "result": {...}} or {"event": "error", "code", "message"}.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from esptool import cmds
from esptool.loader import ESPLoader
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError, flash_size_bytes

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


def main() -> None:
    """Carry out the request on stdin."""
    report = _Report()
    log.set_logger(report)
    try:
        request = json.load(sys.stdin)
        if request["do"] == "identify":
            result = asdict(_identify(request["port"], request["connect_attempts"]))
        else:
            result = asdict(_burn(job_from_json(request["job"]), report))
    except BurnError as error:
        report.event("error", code=error.code, message=str(error))
    except ImageError as error:
        report.event("error", code="too-small", message=str(error))
    except (FatalError, OSError) as error:
        message = f"the connection was lost ({_first_line(error)}): check cable and power, and burn the board again"
        report.event("error", code="lost", message=message)
    except Exception as error:
        # the message of an unforeseen error can quote what it stumbled over, and that can be a secret
        report.event("error", code="internal", message=f"the burn stopped on an unforeseen {type(error).__name__}")
    else:
        report.event("result", result=result)


def _identify(port: str, attempts: int) -> Board:
    with _connected(port, attempts) as rom:
        mac, chip = _mac(rom), _chip(rom)
        _refuse_secured(rom)
        esp, flash_size = _with_stub(rom)
        found = _identity(esp, flash_size, ())
        esp.hard_reset()
    return Board(mac, chip, flash_size, found.device_id if found else None)


def _burn(job: Job, report: _Report) -> Result:
    check_job(job)
    start = time.monotonic()
    with _connected(job.port, job.connect_attempts) as rom:
        mac, chip = _mac(rom), _chip(rom)
        if chip != job.chip:
            raise BurnError(f"the board ({mac}) has an {chip}, not an {job.chip}: nothing was written", "wrong-chip")
        _refuse_secured(rom)
        esp, flash_size = _with_stub(rom)
        check_fit(job, flash_size)
        if job.baud != _ROM_BAUD:
            esp.change_baud(job.baud)
        leave = _regions_to_leave(esp, job, mac, flash_size)
        written, kept = [], []
        for region in job.regions:
            report.region = region.name
            if region.name in leave or _has(esp, region):
                kept.append(region.name)
            else:
                _write(esp, region, job.baud)
                written.append(region.name)
        esp.hard_reset()
    return Result(job.port, mac, chip, flash_size, round(time.monotonic() - start, 3), tuple(written), tuple(kept))


@contextmanager
def _connected(port: str, attempts: int) -> Iterator[ESPLoader]:
    """Connect to the ROM of the board at `port`, and let go of the port at the end whatever happens."""
    try:
        esp = cmds.detect_chip(port, connect_attempts=attempts)
    except (FatalError, OSError) as error:
        if "exclusively lock" in str(error):
            raise BurnError(
                "another program has the port open (a serial monitor, another burn): end it first", "port-busy"
            ) from error
        if str(error).startswith("Could not open"):
            reason = str(error).splitlines()[1:2] or [""]
            raise BurnError(
                f"the port cannot be opened {reason[0]}: connect the board again", "port-missing"
            ) from error
        raise BurnError(
            f"the board does not answer ({_first_line(error)}): check the cable, or hold BOOT while you connect it",
            "no-answer",
        ) from error
    try:
        yield esp
    finally:
        esp._port.close()


def _with_stub(rom: ESPLoader) -> tuple[ESPLoader, int]:
    """Start the flasher stub; return it, and the size of the flash in bytes."""
    esp = cmds.run_stub(rom)
    cmds.attach_flash(esp)
    size = cmds.detect_flash_size(esp)
    if size is None:
        raise BurnError("the board's flash chip does not say how large it is: the flash may be broken", "too-small")
    esp.flash_set_parameters(flash_size_bytes(size))
    return esp, int(flash_size_bytes(size))


def _refuse_secured(rom: ESPLoader) -> None:
    """Refuse what would not boot, or not be readable, after a plain write."""
    if rom.secure_download_mode or rom.get_flash_encryption_enabled() or rom.get_secure_boot_enabled():
        raise BurnError(
            "the board's eFuses demand secure boot, flash encryption or secure download: it cannot take a plain image",
            "secured",
        )


def _regions_to_leave(esp: ESPLoader, job: Job, mac: str, flash_size: int) -> set[str]:
    """Return the regions that stay as they are because of the board's identity; raise BurnError if it is another's."""
    nvs = [region for region in job.regions if region.name == NVS_REGION]
    if not nvs or job.reprovision:
        return set()
    wanted, found = identity_of(nvs[0].data, nvs[0].offset), _identity(esp, flash_size, nvs)
    if found is None:
        return set()
    if wanted is None or found.device_id != wanted.device_id:
        raise BurnError(
            f"the board ({mac}) is {found.device_id!r} already: use another board, or reprovision this one", "identity"
        )
    if keeps_nvs(found, wanted):
        return {NVS_REGION}
    if has_enrolled(found, wanted):
        raise BurnError(
            f"the board ({mac}) is {found.device_id!r} already, and its keys are at {found.offset:#x}, where this "
            "layout has no NVS: use the layout it has, or reprovision it",
            "identity",
        )
    return set()


def _identity(esp: ESPLoader, flash_size: int, regions: Sequence[Region]) -> Identity | None:
    """Return the identity that the board's flash holds, where its own table or one of `regions` puts the NVS."""

    def read(offset: int, size: int) -> bytes:
        return bytes(esp.read_flash(offset, size))

    places = [(region.offset, len(region.data)) for region in regions]
    return find_identity(read, read(TABLE_OFFSET, TABLE_SIZE), places, flash_size)


def _has(esp: ESPLoader, region: Region) -> bool:
    wanted = hashlib.md5(region.data, usedforsecurity=False).hexdigest()
    return bool(esp.flash_md5sum(region.offset, len(region.data)) == wanted)


def _write(esp: ESPLoader, region: Region, baud: int) -> None:
    """Write one region and compare its MD5, three times at most."""
    for slower in (1, 2, 4):
        if slower > 1:
            esp.change_baud(max(baud // slower, _SLOWEST_BAUD))
        # esptool compares too, and raises. If it was more than that, the next command fails as well.
        with suppress(FatalError):
            cmds.write_flash(esp, [(region.offset, region.data)])
        if _has(esp, region):
            return
    raise BurnError(
        f"region {region.name!r} does not read back as it was written, at no speed: the flash or the cable is bad",
        "md5",
    )


def _chip(esp: ESPLoader) -> str:
    return str(esp.CHIP_NAME).lower().replace("-", "")


def _mac(esp: ESPLoader) -> str:
    return bytes(esp.read_mac("BASE_MAC")).hex(":")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    main()
