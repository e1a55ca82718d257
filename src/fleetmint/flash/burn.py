"""Burning boards, from a program that must not hold esptool: each burn runs in a process of its own.

esptool keeps global state, prints, and is under another licence; a process of its own also lets several boards be
burned side by side, and can be killed. The job reaches it over a pipe: an NVS image holds secrets, which have no place
in a command line, an environment or a temporary file.
"""

import base64
import contextlib
import hashlib
import importlib.util
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError
from fleetmint.flash.job import DEFAULT_BAUD, NVS_REGION, Board, Job, Region, Result, check_job, job_to_json

__all__ = ["Board", "Job", "Progress", "Region", "Result", "Worker", "burn", "identify"]

# -P: nothing in the current directory can pass for a module
_WORKER = (sys.executable, "-P", "-m", "fleetmint.flash.worker")
_CONNECT_ATTEMPTS = 7


@dataclass(frozen=True)
class Progress:
    """How far the region called `region` is: `done` of `total` bytes on the wire, compressed as they may be."""

    region: str
    done: int
    total: int


def _ignore(_progress: Progress) -> None:
    """Show nothing."""


class _ToldError(BurnError):
    """An error that the worker itself reported: it lives on."""


class Worker:
    """The process that runs esptool for one port: started when it is needed, and anew when it has died.

    One thread may use it; `abandon` may come from any. As a context manager it ends the process.
    """

    def __init__(self, port: str) -> None:
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def identify(
        self, *, connect_attempts: int = _CONNECT_ATTEMPTS, baud: int = DEFAULT_BAUD, hold: bool = False
    ) -> Board:
        """Return what the board is and whose identity it holds. Raises BurnError.

        It boots afterwards, unless it is to be held for a `burn`, which then need not connect again.
        """
        request = {"do": "identify", "port": self.port, "connect_attempts": connect_attempts, "baud": baud}
        return Board(**self._ask({**request, "hold": hold}, _ignore))

    def burn(self, job: Job, on_progress: Callable[[Progress], None] = _ignore) -> Result:
        """Burn the board as the function `burn` does."""
        check_job(job)
        return Result(**_tuples(self._ask({"do": "burn", "job": job_to_json(job)}, on_progress)))

    def read_nvs(self) -> Region:
        """Return the NVS that holds the identity of the board which `identify` has held. Raises BurnError."""
        found = self._ask({"do": "read nvs"}, _ignore)
        return Region(found["offset"], base64.b64decode(found["data"]), NVS_REGION)

    def read(self, offset: int, size: int) -> bytes:
        """Return what the flash of the board which `identify` has held has there. Raises BurnError."""
        found = self._ask({"do": "read", "offset": offset, "size": size}, _ignore)
        return base64.b64decode(found["data"])

    def has(self, region: Region) -> bool:
        """Whether the board which `identify` has held has this region as it is. Raises BurnError."""
        found = self._ask({"do": "md5", "offset": region.offset, "size": len(region.data)}, _ignore)
        return bool(found["md5"] == hashlib.md5(region.data, usedforsecurity=False).hexdigest())

    def release(self) -> None:
        """Let a board that is held boot."""
        self._ask({"do": "let go"}, _ignore)

    def abandon(self) -> None:
        """Stop whatever is going on; a board that was being written is half-written, and the burn raises BurnError."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            # what was never read of a request is still to be flushed
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()

    def _ask(self, request: dict[str, Any], on_progress: Callable[[Progress], None]) -> dict[str, Any]:
        """Have the process carry out `request` and return the fields of its result."""
        check_port(self.port)
        process = self._start()
        try:
            return self._converse(process, request, on_progress)
        except _ToldError as error:
            raise BurnError(f"{self.port}: {error}", error.code, error.mac) from None
        except BaseException:
            self.close()
            raise

    def _start(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        if importlib.util.find_spec("esptool") is None:
            raise BurnError("esptool is missing: pip install 'fleetmint[station]'", BurnCode.NO_ESPTOOL)
        # A session of its own: Ctrl-C in the terminal is for the station, which lets a board be finished first.
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of this package
            _WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return self._process

    def _converse(
        self, process: "subprocess.Popen[str]", request: dict[str, Any], on_progress: Callable[[Progress], None]
    ) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the worker was started with pipes")
        # a worker that ended already is noticed below, by its missing result
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "result":
                return dict(event["result"])
            if event["event"] == "error":
                raise _ToldError(event["message"], BurnCode(event["code"]), event["mac"])
            on_progress(Progress(event["region"], event["done"], event["total"]))
        raise BurnError(
            f"{self.port}: the process that runs esptool ended without a result (exit code {process.wait()}); "
            "the board may be half-written, burn it again",
            BurnCode.LOST,
        )


def burn(job: Job, on_progress: Callable[[Progress], None] = _ignore) -> Result:
    """Burn one board and verify it; it boots afterwards.

    Before anything is written: the chip, its security eFuses, the size of its flash, and whose identity its NVS holds.
    Refused is a board with the identity of another device. A board with this identity keeps its NVS if the device has
    enrolled since or has everything that the job wants to tell it. Both are overwritten with `job.reprovision`.
    Regions whose MD5 is right already are not written. A region whose MD5 is wrong after writing gets two more tries,
    at half and at a quarter of the speed.

    Raises ImageError for a job that makes no sense and BurnError for everything that happens at the board. After a
    BurnError the same job can be burned again.
    """
    check_job(job)
    with Worker(job.port) as worker:
        return worker.burn(job, on_progress)


def identify(port: str, *, connect_attempts: int = _CONNECT_ATTEMPTS) -> Board:
    """Return what the board at `port` is and whose identity it holds; it boots afterwards. Raises BurnError."""
    with Worker(port) as worker:
        return worker.identify(connect_attempts=connect_attempts)


def check_port(port: str) -> None:
    """Raise BurnError for a port that is missing, no serial port, or not this user's."""
    path = Path(port)
    if not path.exists():
        raise BurnError(
            f"there is no port {port}: connect the board, and look for its name in /dev/serial/by-id",
            BurnCode.PORT_MISSING,
        )
    if not stat.S_ISCHR(path.stat().st_mode):
        raise BurnError(f"{port} is no serial port", BurnCode.PORT_MISSING)
    if not os.access(path, os.R_OK | os.W_OK):
        raise BurnError(
            f"{port} may not be opened by this user: join the group that owns it "
            f"(sudo usermod -aG {path.group()} $USER) and log in again",
            BurnCode.PORT_PERMISSION,
        )


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
