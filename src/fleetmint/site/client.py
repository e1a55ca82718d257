"""Asking a gateway at its operators' listener, and telling it something, as an operator or as the station."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from fleetmint import commands
from fleetmint.errors import FleetmintError, StateError
from fleetmint.ledger.head import HEADER
from fleetmint.site import heads
from fleetmint.site.state import Site
from fleetmint.site.unreachable import why
from fleetmint.trust import bundle
from fleetmint.x509.authority import pem
from fleetmint.x509.hosts import bracketed

# What the listener takes at once, with room for what a client adds.
LARGEST = 60_000
_SECONDS = 15
# What can be brought as a signed file, too; a check cannot.
_BY_FILE = ("/v1/registrations", "/v1/handovers")


class _Answer(NamedTuple):
    data: bytes
    head: str | None


@dataclass(frozen=True)
class Gateway:
    """A gateway of the site as the operator reaches it."""

    site: Site
    name: str
    operator: str
    host: str
    https_port: int
    mqtt_port: int

    def url(self, path: str) -> str:
        """Return where it answers over HTTPS."""
        return f"https://{bracketed(self.host)}:{self.https_port}{path}"

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts the site's server CAs and nothing else, and shows the operator's certificate.

        Raises StateError when the one or the other is not there.
        """
        issued, directory = self.site.operators, self.site.ca_directory
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # The server CAs are the anchors, as they are for devices: another CA under that root could not pass for one.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        anchors = bundle.anchors(directory)
        if not anchors:
            raise StateError(f"there is no server CA in {directory}: run {commands.playbook('ca.yml')}")
        try:
            context.load_verify_locations(cadata=pem(*anchors).decode())
            context.load_cert_chain(issued / f"{self.operator}.crt", issued / f"{self.operator}.key")
        except OSError as error:
            raise StateError(
                f"there is no usable certificate for {self.operator} in {issued} ({error.strerror or error}):"
                f" run {commands.playbook('ca.yml')}, or choose another name with --as"
            ) from error
        return context

    def get(self, path: str) -> Any:
        """Return the JSON that the gateway answers to a GET of `path`; raise FleetmintError with what went wrong."""
        try:
            return json.loads(self._answer(self.url(path)).data)
        except (OSError, ValueError, HTTPException) as error:
            raise FleetmintError(why(error, self, self.https_port)) from error

    def fetch(self, path: str) -> bytes:
        """Return what the gateway answers to a GET of `path`; raise FleetmintError with what went wrong."""
        try:
            return self._answer(self.url(path)).data
        except (OSError, HTTPException) as error:
            raise FleetmintError(why(error, self, self.https_port)) from error

    def post(self, path: str, document: bytes, *, seconds: float = _SECONDS) -> Any:
        """Return the JSON that the gateway answers to a POST; raise FleetmintError with its sentence if it refuses."""
        headers = {"Content-Type": "application/json"}
        request = Request(self.url(path), document, headers, method="POST")  # noqa: S310 - it is https
        try:
            answer = self._answer(request, seconds)
            said = json.loads(answer.data)
        except (OSError, ValueError, HTTPException) as error:
            hint = " Without a network, --to writes a file" if path in _BY_FILE else ""
            problem = why(error, self, self.https_port)
            raise FleetmintError(f"{problem}{hint if problem.endswith('?') else ''}") from error
        heads.remember(self.site, self.name, answer.head)
        return said

    def _answer(self, request: Request | str, seconds: float = _SECONDS) -> _Answer:
        with urlopen(request, timeout=seconds, context=self.tls()) as answer:  # noqa: S310
            return _Answer(answer.read(), answer.headers.get(HEADER))


def open_gateway(site: Site, operator: str | None, gateway: str | None) -> Gateway:
    """Return the gateway to talk to, as `operator` or else the station.

    Raises StateError when the site does not say which of several is meant.
    """
    known = site.gateways
    chosen = gateway or (known[0] if len(known) == 1 else "")
    if chosen not in known:
        raise StateError(f"choose one of the site's gateways with --gateway: {', '.join(known)}")
    listeners = site.listeners(chosen)
    return Gateway(site, chosen, operator or site.station, listeners.host, listeners.https_port, listeners.mqtt_port)
