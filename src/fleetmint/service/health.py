"""GET /healthz, at every listener and without a certificate: for load balancers and watchdogs.

`ok` with 200 when a device could enrol now, else `not ok` with 503, and not a word more: why, stands in the journal,
once, and in the metrics. However often it is asked, a process looks once a second.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Flask, Response

from fleetmint.gateway.health import CHECKS, problems
from fleetmint.gateway.service_socket import HEALTH
from fleetmint.service.journal import event
from fleetmint.service.resources import Resources

_log = logging.getLogger(__name__)

SECONDS = 1.0


class Health:
    """What the latest look has found; another one is made when it is older than a second."""

    def __init__(self, resources: Resources, clock: Callable[[], datetime]) -> None:
        self._resources, self._clock = resources, clock
        self._lock = threading.Lock()
        self._found: Mapping[str, str] = {}
        self._until = 0.0

    def problems(self) -> Mapping[str, str]:
        """Return why nothing could be enrolled, by check, and tell the journal what is news of it."""
        with self._lock:
            if time.monotonic() >= self._until:
                held = self._resources
                found = problems(held.config, lambda: held.engine, lambda: held.authority, self._clock)
                self._tell(found)
                self._found, self._until = found, time.monotonic() + SECONDS
            return self._found

    def _tell(self, found: Mapping[str, str]) -> None:
        for check in CHECKS:
            if check in found and check not in self._found:
                said = event("unhealthy", check=check, reason=found[check])
                _log.error("no device could enrol (%s): %s", check, found[check], extra=said)
            elif check in self._found and check not in found:
                _log.info("devices can enrol again (%s)", check, extra=event("healthy", check=check))


def add_health(app: Flask, health: Health) -> None:
    """Add the route to `app`."""

    @app.get(HEALTH)
    def healthz() -> Response:
        well = not health.problems()
        return Response("ok\n" if well else "not ok\n", 200 if well else 503, mimetype="text/plain")
