"""Burning boards, from a program that must not hold esptool: each burn runs in a process of its own.

esptool keeps global state, prints, and is under another licence; a process of its own also lets several boards be
burned side by side, and can be killed. The job reaches it over a pipe: an NVS image holds secrets, which have no place
in a command line, an environment or a temporary file.
"""

import contextlib
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

from fleetmint.errors import BurnError
from fleetmint.flash.job import Board, Job, Region, Result, check_job, job_to_json

__all__ = ["Board", "Job", "Progress", "Region", "Result", "burn", "identify"]

# -P: nothing in the current directory can pass for a module
_WORKER = (sys.executable, "-P", "-m", "fleetmint.flash.worker")


@dataclass(frozen=True)
class Progress:
    """How far the region called `region` is: `done` of `total` bytes on the wire, compressed as they may be."""

    region: str
    done: int
    total: int


def _ignore(_progress: Progress) -> None:
    """Show nothing."""


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
    return Result(**_tuples(_run({"do": "burn", "job": job_to_json(job)}, job.port, on_progress)))


def identify(port: str, *, connect_attempts: int = 7) -> Board:
    """Return what the board at `port` is and whose identity it holds; it boots afterwards. Raises BurnError."""
    request = {"do": "identify", "port": port, "connect_attempts": connect_attempts}
    return Board(**_run(request, port, _ignore))


def _run(request: dict[str, Any], port: str, on_progress: Callable[[Progress], None]) -> dict[str, Any]:
    """Have the worker carry out `request` and return the fields of its result."""
    _check_port(port)
    if importlib.util.find_spec("esptool") is None:
        raise BurnError("esptool is missing: pip install 'fleetmint[station]'", "no-esptool")
    process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of this package
        _WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            return _converse(process, request, port, on_progress)
        finally:
            process.kill()


def _converse(
    process: "subprocess.Popen[str]", request: dict[str, Any], port: str, on_progress: Callable[[Progress], None]
) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("the worker was started with pipes")
    # a worker that ended already is noticed below, by its missing result
    with contextlib.suppress(BrokenPipeError):
        try:
            json.dump(request, process.stdin)
        finally:
            process.stdin.close()
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "result":
            return dict(event["result"])
        if event["event"] == "error":
            raise BurnError(f"{port}: {event['message']}", event["code"])
        on_progress(Progress(event["region"], event["done"], event["total"]))
    raise BurnError(
        f"{port}: the process that runs esptool ended without a result (exit code {process.wait()}); "
        "the board may be half-written, burn it again",
        "lost",
    )


def _check_port(port: str) -> None:
    path = Path(port)
    if not path.exists():
        raise BurnError(
            f"there is no port {port}: connect the board, and look for its name in /dev/serial/by-id", "port-missing"
        )
    if not stat.S_ISCHR(path.stat().st_mode):
        raise BurnError(f"{port} is no serial port", "port-missing")
    if not os.access(path, os.R_OK | os.W_OK):
        raise BurnError(
            f"{port} may not be opened by this user: join the group that owns it "
            f"(sudo usermod -aG {path.group()} $USER) and log in again",
            "port-permission",
        )


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
