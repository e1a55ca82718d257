"""GET /metrics for Prometheus: at the operators' listener with a certificate, and at the local one without.

What is counted is counted by all processes together (counters.py). What is read is kept for some seconds, and what
takes a walk through the ledger for a minute: a fleet of 100,000 may be asked about every few seconds. No device has a
label of its own but the hundred that end first. docs/monitoring.md lists it all.
"""

import os
import platform
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from flask import Flask, Response, g, request

import fleetmint
from fleetmint.errors import StateError
from fleetmint.gateway import disk, expiries
from fleetmint.gateway.health import CHECKS
from fleetmint.ledger import approvals, overview, reading, schema
from fleetmint.ledger.issuance import KINDS
from fleetmint.service import identity
from fleetmint.service.answers import operator
from fleetmint.service.counters import (
    ISSUED,
    PASSED_ON,
    PID,
    READING,
    REFUSED,
    STARTED,
    WORKING,
    Counters,
    issued,
    refused,
)
from fleetmint.service.exposition import CONTENT_TYPE, COUNTER, Family, exposition, family, histogram
from fleetmint.service.exposition import GAUGE as AS_GAUGE
from fleetmint.service.health import Health
from fleetmint.service.resources import Resources

PATH = "/metrics"
# What nginx calls its listener on the loopback address, which shows no certificate and gets nothing but this.
LOCAL = "local"
SHORT_SECONDS, LONG_SECONDS = 5.0, 60.0
DEVICES = 100

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LE = (*(f"{bound:g}" for bound in _BOUNDS), "+Inf")
_BUCKET, _MICROSECONDS = "bucket|", "microseconds|"

_T = TypeVar("_T")


def count_requests(app: Flask, counters: Counters) -> None:
    """Count every request of `app` with the time it takes, and every refusal."""
    # each is there before its first time, so that a rate can be told from it
    for kind in KINDS.values():
        counters.add(issued(kind), 0)

    @app.before_request
    def begin() -> None:
        g.begun = time.perf_counter()
        if request.content_length:
            g.working = True
            counters.add(WORKING)

    @app.after_request
    def end(response: Response) -> Response:
        took = time.perf_counter() - g.begun
        route = "none" if request.url_rule is None else request.url_rule.rule
        bound = next((name for bound, name in zip(_BOUNDS, _LE, strict=False) if took <= bound), _LE[-1])
        counters.add(f"{_BUCKET}{route}|{bound}")
        counters.add(f"{_MICROSECONDS}{route}", round(took * 1e6))
        if response.status_code >= 400:
            counters.add(refused(g.get("refused") or f"http_{response.status_code}"))
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        if g.pop("working", False):
            counters.add(WORKING, -1)


def add_metrics(app: Flask, resources: Resources, health: Health, clock: Callable[[], datetime]) -> None:
    """Add the route to `app`."""
    metrics = _Metrics(resources, health, clock)

    @app.get(PATH)
    def show() -> Response:
        if request.environ.get(identity.LISTENER) != LOCAL:
            operator(resources)
        return Response(exposition(metrics.families()), content_type=CONTENT_TYPE)


class _Kept(Generic[_T]):
    """What was read, for so many seconds."""

    def __init__(self, seconds: float, read: Callable[[], _T]) -> None:
        self._seconds, self._read = seconds, read
        self._lock = threading.Lock()
        self._held: tuple[float, _T] | None = None

    def get(self) -> _T:
        with self._lock:
            if self._held is None or time.monotonic() >= self._held[0]:
                found = self._read()
                self._held = time.monotonic() + self._seconds, found
            return self._held[1]


class _Metrics:
    def __init__(self, resources: Resources, health: Health, clock: Callable[[], datetime]) -> None:
        self._resources, self._health, self._clock = resources, health, clock
        self._short = _Kept(SHORT_SECONDS, lambda: tuple(self._ledger()))
        self._long = _Kept(LONG_SECONDS, lambda: (*self._fleet(), *self._files()))

    def families(self) -> Iterator[Family]:
        counters = self._resources.counters
        yield from _counted(counters.total())
        yield from _processes(counters.by_process())
        bad = self._health.problems()
        yield family(
            "fleetmint_healthy",
            AS_GAUGE,
            "Whether this part is as it has to be for a device to enrol.",
            [({"check": check}, check not in bad) for check in CHECKS],
        )
        yield from self._short.get()
        yield from self._long.get()
        labels = {"version": fleetmint.__version__, "ledger": schema.VERSION, "python": platform.python_version()}
        yield family("fleetmint_build_info", AS_GAUGE, "What runs here.", [(labels, 1)])

    def _ledger(self) -> Iterator[Family]:
        try:
            with reading(self._resources.engine) as connection:
                head, size = overview.head(connection), overview.size(connection)
                waiting = approvals.count_waiting(connection, self._clock())
            free = disk.free_bytes(self._resources.config)
        except StateError:
            return  # fleetmint_healthy says it
        yield family(
            "fleetmint_ledger_events_total",
            COUNTER,
            "Events that the ledger's chain has, which is the number of its last; it never falls.",
            [({}, head)],
        )
        yield family("fleetmint_approvals_waiting", AS_GAUGE, "Requests that wait for an operator.", [({}, waiting)])
        yield family("fleetmint_ledger_size_bytes", AS_GAUGE, "Size of the ledger with its journal.", [({}, size)])
        yield family("fleetmint_disk_free_bytes", AS_GAUGE, "Room that is left beside the ledger.", [({}, free)])

    def _fleet(self) -> Iterator[Family]:
        try:
            with reading(self._resources.engine) as connection:
                devices = overview.devices_by_status(connection)
                ends = overview.next_ends(connection, self._clock(), DEVICES)
        except StateError:
            return
        yield family(
            "fleetmint_devices",
            AS_GAUGE,
            "Devices of the ledger.",
            [({"status": status}, number) for status, number in devices.items()],
        )
        yield family(
            "fleetmint_device_expiry_timestamp_seconds",
            AS_GAUGE,
            f"When the certificate ends that a device uses, of the {DEVICES} that end next.",
            [({"device": device}, end.timestamp()) for device, end in ends],
        )

    def _files(self) -> Iterator[Family]:
        endings, damaged = expiries.of_files(self._resources.config)
        ends: dict[tuple[str, str], float] = defaultdict(float)
        for each in endings:
            # of two with one name the longer one has taken the place of the other
            ends[each.kind.lower(), each.name] = max(ends[each.kind.lower(), each.name], each.ends.timestamp())
        yield family(
            "fleetmint_expiry_timestamp_seconds",
            AS_GAUGE,
            "When a CA, an anchor of the devices, a list of revoked certificates or the server's certificate ends.",
            [({"kind": kind, "name": name}, end) for (kind, name), end in sorted(ends.items())],
        )
        yield family(
            "fleetmint_unreadable_files",
            AS_GAUGE,
            "Files whose ends are missing here, since they cannot be read.",
            [({}, len(damaged))],
        )


def _counted(found: Mapping[str, int]) -> Iterator[Family]:
    yield family(
        "fleetmint_certificates_issued_total",
        COUNTER,
        "Certificates that were signed and stored since the service started.",
        [({"kind": key.removeprefix(ISSUED)}, number) for key, number in found.items() if key.startswith(ISSUED)],
    )
    yield family(
        "fleetmint_refusals_total",
        COUNTER,
        "Requests that were refused since the service started, by the code in the answer.",
        [({"code": key.removeprefix(REFUSED)}, number) for key, number in found.items() if key.startswith(REFUSED)],
    )
    buckets: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_LE, 0))
    for key, number in found.items():
        if key.startswith(_BUCKET):
            _, route, bound = key.split("|")
            buckets[route][bound] = number
    yield histogram(
        "fleetmint_request_duration_seconds",
        "What requests took in the service, without what they waited for it.",
        {route: (each, found.get(f"{_MICROSECONDS}{route}", 0) / 1e6) for route, each in sorted(buckets.items())},
        "route",
    )
    working = found.get(WORKING, 0)
    yield family(
        "fleetmint_requests",
        AS_GAUGE,
        "Requests with a body: whose body comes, that wait for the service, that it works on.",
        [
            ({"state": "reading"}, found.get(READING, 0)),
            ({"state": "waiting"}, max(0, found.get(PASSED_ON, 0) - working)),
            ({"state": "working"}, working),
        ],
    )


def _processes(found: Mapping[str, Mapping[str, int]]) -> Iterator[Family]:
    memory, started, spent = [], [], []
    for name, numbers in found.items():
        labels, proc = {"process": name}, Path("/proc") / str(numbers.get(PID, 0))
        try:
            pages = int((proc / "statm").read_text().split()[1])
            # behind the name of the program, which may hold anything
            ticks = (proc / "stat").read_text(errors="replace").rpartition(")")[2].split()[11:13]
        except (OSError, IndexError):
            continue  # it has ended, or is not to be seen
        memory.append((labels, pages * os.sysconf("SC_PAGE_SIZE")))
        spent.append((labels, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")))
        started.append((labels, numbers.get(STARTED, 0)))
    yield family("process_resident_memory_bytes", AS_GAUGE, "Memory of each process of the service.", memory)
    yield family("process_start_time_seconds", AS_GAUGE, "When each process of the service started.", started)
    yield family("process_cpu_seconds_total", COUNTER, "Processor time that each process has taken.", spent)
