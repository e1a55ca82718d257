"""A gateway as the world sees it: who is let in at its listeners and who is not, asked from the controller.

Each look is a line, with what to do when it is not as it has to be. The device that knocks is one of a moment: its key
never leaves this process but encrypted, its certificate is the factory CA's, ends within a day, and no ledger knows
it. So the broker lets it in, and the signing service does not; key and certificate of a real device can be given.
"""

import secrets
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from cryptography import x509

from fleetmint import commands
from fleetmint.batch import common
from fleetmint.ca.gateway_files import gateway_file
from fleetmint.errors import FleetmintError, StateError
from fleetmint.gateway.crl_files import parse_lists
from fleetmint.printable import printable
from fleetmint.site import certificates
from fleetmint.site.client import Gateway
from fleetmint.site.knock import Client, Mqtt, RefusedError, given, https, ntp_offset, of_a_moment
from fleetmint.site.state import Site
from fleetmint.site.unreachable import why
from fleetmint.trust import bundle
from fleetmint.x509 import compat, revocation
from fleetmint.x509.authority import pem
from fleetmint.x509.hosts import bracketed

_HEARD_SECONDS, _UNHEARD_SECONDS = 10, 2
_LEFT_DAYS = 30
_OFF_SECONDS = 60
_LARGEST_LIST = 32 << 20
_PLAIN_SECONDS = 10
_AGAIN = "look again when it answers"
# A list's name at the plain port, and what of a gateway's files its signer is in.
_LISTS = {"root": "roots", "operator": "operator", "factory": "factory", "device": "device"}


@dataclass(frozen=True)
class Look:
    """One thing that was looked at; `problem` is empty when it is as it has to be."""

    what: str
    problem: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"wrong: {self.what}: {self.problem}; {self.remedy}" if self.problem else f"ok: {self.what}"


@dataclass(frozen=True)
class Looked:
    """All looks as lines, and how many were wrong."""

    lines: tuple[str, ...]
    wrong: int


@dataclass(frozen=True)
class _Outside:
    """A gateway from outside."""

    gateway: Gateway
    devices_https: int
    devices_mqtt: int
    operator: Client
    device: Client

    def tls(self, client: Client | None) -> ssl.SSLContext:
        """Return a context that trusts what devices trust, and shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pem(*bundle.anchors(self.gateway.site.ca_directory)).decode())
        if client is not None:
            context.load_cert_chain(client.certificate, client.key, client.password)
        return context


def look(
    site: Site,
    name: str,
    now: datetime,
    *,
    device: Path | None = None,
    plain_port: int = 80,
    ntp_port: int = 123,
) -> Looked:
    """Look at the gateway `name` from outside.

    `device` is a directory with `device.key` and `device.crt` of a device of this gateway, instead of one of a moment.
    `ntp_port` 0 leaves the time out. Raises FleetmintError when it cannot be begun: no site, no such gateway, no
    certificate of the station, no passphrase.
    """
    reached = site.batch_values().gateways.get(name)
    if reached is None:
        raise StateError(f"the site has no gateway {name!r}: choose one of {', '.join(site.gateways)}")
    listeners = site.listeners(name)
    gateway = Gateway(site, name, site.station, listeners.host, listeners.https_port, listeners.mqtt_port)
    try:
        socket.create_connection((reached.host, reached.https_port), _PLAIN_SECONDS).close()
    except OSError as error:
        away = Look("the gateway answers", why(error, gateway, reached.https_port), _AGAIN)
        return Looked((printable(str(away)),), 1)
    operator = Client(site.station, site.operators / f"{site.station}.key", site.operators / f"{site.station}.crt")
    with ExitStack() as stack:
        knocking = given(device) if device is not None else stack.enter_context(of_a_moment(site.hierarchy(), now))
        outside = _Outside(gateway, reached.https_port, reached.mqtt_port, operator, knocking)
        found = [
            *_at_https(outside, now),
            *_at_mqtt(outside, now),
            *_of_classes(outside, reached, now),
            *_revoked(outside),
            *_at_plain_port(gateway, plain_port, now),
            *([_time(gateway, ntp_port, now)] if ntp_port else []),
        ]
    lines = [printable(str(each)) for each in found]
    lines += [] if ntp_port else ["not asked: the time over NTP (verification_ntp_port is 0)"]
    return Looked(tuple(lines), sum(bool(each.problem) for each in found))


def _devices_https(outside: _Outside, whose: str, now: datetime) -> Iterator[Look]:
    """Look at one of the listeners that devices may have over HTTPS."""
    gateway, device = outside.gateway, outside.device
    devices = f"the {whose} HTTPS, {gateway.host}:{outside.devices_https}"
    yield _served(outside, devices, outside.devices_https, None, now)
    for who, client in (("nobody without a certificate", None), ("no operator", outside.operator)):
        yield _kept_out(f"{devices}, lets in {who}", outside, outside.devices_https, client)

    def enters() -> str:
        answer = https(gateway.host, outside.devices_https, outside.tls(device))
        wanted = (200,) if device.known else (200, 403)
        return "" if answer.status in wanted else f"it answers {device.name} with {answer.status}"

    yield _look(f"{devices}, knows a device by its certificate", gateway, outside.devices_https, enters, _mend())


def _devices_mqtt(outside: _Outside, whose: str, now: datetime) -> Iterator[Look]:
    """Look at one of the listeners that devices may have at the broker."""
    gateway = outside.gateway
    devices = f"the {whose} broker, {gateway.host}:{outside.devices_mqtt}"
    yield _served(outside, devices, outside.devices_mqtt, outside.device, now)
    for who, client in (("nobody without a certificate", None), ("no operator", outside.operator)):
        yield _no_session(f"{devices}, lets in {who}", outside, outside.devices_mqtt, client)

    def enters() -> str:
        with _session(outside, outside.devices_mqtt, outside.device):
            return ""

    yield _look(f"{devices}, knows a device by its certificate", gateway, outside.devices_mqtt, enters, _mend())


def _of_classes(outside: _Outside, reached: common.Gateway, now: datetime) -> Iterator[Look]:
    """Look at the listeners that classes of devices have of their own."""
    for name, ports in sorted(reached.classes.items()):
        if (ports.https_port, ports.mqtt_port) == (reached.https_port, reached.mqtt_port):
            continue
        own = replace(outside, devices_https=ports.https_port, devices_mqtt=ports.mqtt_port)
        yield from _devices_https(own, f"{name} devices'", now)
        yield from _devices_mqtt(own, f"{name} devices'", now)


def _mend() -> str:
    return f"run {commands.playbook('gateway.yml')}"


def _at_https(outside: _Outside, now: datetime) -> Iterator[Look]:
    gateway, device, operator = outside.gateway, outside.device, outside.operator
    operators = f"the operators' HTTPS, {gateway.host}:{gateway.https_port}"
    yield from _devices_https(outside, "devices'", now)

    def healthy() -> str:
        answer = https(gateway.host, outside.devices_https, outside.tls(None), "/healthz")
        said = answer.body[:200].decode(errors="replace").strip()
        return "" if answer.status == 200 else f"/healthz says {answer.status}: {said}"

    on_gateway = commands.gateway("health")
    yield _look("a device could enrol now", gateway, outside.devices_https, healthy, f"{on_gateway} says why")
    yield _served(outside, operators, gateway.https_port, None, now)
    for who, client in (("nobody without a certificate", None), ("no device", device)):
        yield _kept_out(f"{operators}, lets in {who}", outside, gateway.https_port, client, "/v1/crls")

    def works() -> str:
        answer = https(gateway.host, gateway.https_port, outside.tls(operator), "/v1/crls")
        return "" if answer.status == 200 else f"it answers {operator.name} with {answer.status}"

    yield _look(f"{operators}, lets in {operator.name}", gateway, gateway.https_port, works, _mend())


def _at_mqtt(outside: _Outside, now: datetime) -> Iterator[Look]:
    gateway, device, operator = outside.gateway, outside.device, outside.operator
    operators = f"the operators' broker, {gateway.host}:{gateway.mqtt_port}"
    yield from _devices_mqtt(outside, "devices'", now)
    yield _served(outside, operators, gateway.mqtt_port, operator, now)
    for who, client in (("nobody without a certificate", None), ("no device", device)):
        yield _no_session(f"{operators}, lets in {who}", outside, gateway.mqtt_port, client)
    rules = f"run {commands.playbook('gateway.yml')}: the rules of the broker are not those of the role"
    nonce = secrets.token_hex(8).encode()
    own, other = (f"devices/{name}/out/verify" for name in (device.name, "verify-somebody-else"))

    def heard() -> str:
        with _session(outside, gateway.mqtt_port, operator) as ear:
            ear.subscribe("devices/+/out/verify")
            with _session(outside, outside.devices_mqtt, device) as mouth:
                mouth.publish(own, nonce)
                if not ear.hears(own, nonce, _HEARD_SECONDS):
                    return f"what {device.name} says on {own} does not arrive at {operator.name}"
        return ""

    yield _look("what a device says is heard by an operator", gateway, outside.devices_mqtt, heard, rules)

    def unheard() -> str:
        with _session(outside, gateway.mqtt_port, operator) as ear:
            ear.subscribe("devices/+/out/verify")
            with _session(outside, outside.devices_mqtt, device) as mouth:
                mouth.publish(other, nonce)
                if ear.hears(other, nonce, _UNHEARD_SECONDS):
                    return f"{device.name} was heard on {other}"
        return ""

    yield _look("a device speaks under its own name only", gateway, outside.devices_mqtt, unheard, rules)

    def deaf() -> str:
        mine, others = (f"devices/{name}/in/verify" for name in (device.name, "verify-somebody-else"))
        with _session(outside, outside.devices_mqtt, device) as ear:
            ear.subscribe("#")
            ear.subscribe(mine)
            with _session(outside, gateway.mqtt_port, operator) as mouth:
                mouth.publish(others, nonce)
            if ear.hears(others, nonce, _UNHEARD_SECONDS):
                return f"{device.name} hears what others are told"
            with _session(outside, gateway.mqtt_port, operator) as mouth:
                mouth.publish(mine, nonce)
            return "" if ear.hears(mine, nonce, _HEARD_SECONDS) else f"{device.name} does not hear what it is told"

    yield _look("a device hears what it is told itself, and nothing else", gateway, outside.devices_mqtt, deaf, rules)


def _revoked(outside: _Outside) -> Iterator[Look]:
    """Knock with a certificate that is revoked, if the controller has the key of one still."""
    gateway = outside.gateway
    lists = parse_lists(gateway_file(gateway.site.ca_directory, gateway.name, "operator.crl"), "CRL")
    serials = {entry.serial_number for crl in lists for entry in crl}
    for row in certificates.leaves(gateway.site):
        key = row.path.with_suffix(".key")
        if row.kind != certificates.OPERATOR or row.certificate.serial_number not in serials or not key.exists():
            continue
        try:
            outside.tls(client := Client(f"{row.name}, revoked", key, row.path))
        except OSError:
            continue  # the key is that of its successor
        yield _kept_out(f"the operators' HTTPS, lets in nobody who is revoked ({row.path.name})", outside,
                        gateway.https_port, client, "/v1/crls")  # fmt: skip
        yield _no_session(f"the operators' broker, lets in nobody who is revoked ({row.path.name})", outside,
                          gateway.mqtt_port, client)  # fmt: skip
        return


def _at_plain_port(gateway: Gateway, port: int, now: datetime) -> Iterator[Look]:
    where = f"http://{bracketed(gateway.host)}:{port}"
    for name, signers in _LISTS.items():

        def fresh(name: str = name, signers: str = signers) -> str:
            with urlopen(f"{where}/{name}.crl", timeout=_PLAIN_SECONDS) as answer:  # noqa: S310 - it is http
                crl = revocation.read_crl(answer.read(_LARGEST_LIST), f"{name}.crl")
            directory = gateway.site.ca_directory
            trusted = x509.load_pem_x509_certificates(gateway_file(directory, gateway.name, signers))
            if not any(revocation.signed_by(crl, each) for each in trusted):
                return f"{where}/{name}.crl is signed by somebody else"
            end = compat.next_update(crl)
            if end <= now:
                return f"{where}/{name}.crl has ended on {end:%Y-%m-%d}, and nobody is let in with it"
            return _older(crl, directory, gateway.name, name)

        yield _look(f"the list of what the {name} CA has revoked is there and good", gateway, port, fresh, _mend())


def _older(crl: x509.CertificateRevocationList, directory: Path, gateway: str, name: str) -> str:
    """Return what is wrong when the controller has a newer list of a CA whose lists it signs."""
    if name == "device":
        return ""
    ours = parse_lists(gateway_file(directory, gateway, f"{name}.crl"), f"{name} CRL")
    newest = max((revocation.crl_number(each) for each in ours if each.issuer == crl.issuer), default=0)
    number = revocation.crl_number(crl)
    return f"the gateway has number {number}, and this controller number {newest}" if number < newest else ""


def _time(gateway: Gateway, port: int, now: datetime) -> Look:
    def keeps() -> str:
        offset = ntp_offset(gateway.host, port, now)
        if offset is None:
            return "its clock is not set, and it says so"
        off = offset.total_seconds()
        return f"its clock differs from that of this machine by {off:.0f} s" if abs(off) > _OFF_SECONDS else ""

    return _look("tells devices the time", gateway, port, keeps, "look at `chronyc tracking` on the gateway")


def _served(outside: _Outside, what: str, port: int, client: Client | None, now: datetime) -> Look:
    """Look at the server's certificate: for the name that devices know, from a CA that they trust, and for how long."""
    gateway = outside.gateway
    ends = now

    def shown() -> str:
        nonlocal ends
        with (
            socket.create_connection((gateway.host, port), _PLAIN_SECONDS) as raw,
            outside.tls(client).wrap_socket(raw, server_hostname=gateway.host) as connection,
        ):
            ends = compat.not_after(x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b""))
        left = (ends - now).days
        return f"its certificate ends in {left} days, on {ends:%Y-%m-%d}" if left < _LEFT_DAYS else ""

    found = _look(f"{what}, is who it says", gateway, port, shown, _mend())
    return Look(f"{found.what}, until {ends:%Y-%m-%d}") if not found.problem else found


def _kept_out(what: str, outside: _Outside, port: int, client: Client | None, path: str = "/") -> Look:
    def refused() -> str:
        try:
            answer = https(outside.gateway.host, port, outside.tls(client), path)
        except RefusedError:
            return ""
        who = "nobody" if client is None else client.name
        # behind nginx nobody answers: neither is anybody let in
        return "" if answer.status == 401 or answer.status >= 500 else f"it answers {who} with {answer.status}"

    return _look(what, outside.gateway, port, refused, _close())


def _no_session(what: str, outside: _Outside, port: int, client: Client | None) -> Look:
    def refused() -> str:
        try:
            with Mqtt(outside.gateway.host, port, outside.tls(client), "verify" if client is None else client.name):
                return f"it gives a session to {'nobody' if client is None else client.name}"
        except RefusedError:
            return ""

    return _look(what, outside.gateway, port, refused, _close())


def _close() -> str:
    return f"take the gateway off the network, run {commands.playbook('gateway.yml')} and look again"


def _session(outside: _Outside, port: int, client: Client) -> Mqtt:
    return Mqtt(outside.gateway.host, port, outside.tls(client), client.name)


def _look(what: str, gateway: Gateway, port: int, ask: Callable[[], str], remedy: str) -> Look:
    try:
        try:
            problem = ask()
        except TimeoutError:  # a Pi that is busy, with a service that has just started
            problem = ask()
        return Look(what, problem, remedy if problem else "")
    except RefusedError as error:
        return Look(what, f"the server at port {port} does not take this certificate ({error})", remedy)
    except FleetmintError as error:
        return Look(what, str(error), remedy)
    except (OSError, HTTPException, ValueError) as error:
        return Look(what, why(error, gateway, port), _AGAIN)
