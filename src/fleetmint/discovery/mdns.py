"""Asks the network by mDNS (RFC 6762, 6763) who offers what, and who has which name."""

import logging
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from zeroconf import (  # type: ignore[attr-defined]  # AddressResolver is public, but in no list of what is
    AddressResolver,
    IPVersion,
    ServiceBrowser,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)

from fleetmint.errors import FleetmintError
from fleetmint.printable import printable, shortened

GATEWAY = "_fleetmint._tcp.local."
WORKSTATION = "_workstation._tcp.local."
_SERVICES = (GATEWAY, WORKSTATION, "_ssh._tcp.local.", "_sftp-ssh._tcp.local.")
# What one network can have; more is a flood.
MOST = 300
LONGEST = 255
# Seconds for what has been offered and not yet said, for one service and for all together.
_ONE, _ALL = 1.0, 4.0
# A workstation's service has the address of its network card in its name.
_CARD = re.compile(r"\[((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\]", re.IGNORECASE)


class DiscoveryError(FleetmintError):
    """The network cannot be asked."""


@dataclass(frozen=True)
class Answer:
    """Who answered: a host name such as gateway.local, its addresses, and what it offers.

    `service` is empty where only a name was asked for; `said` is its TXT record.
    """

    host: str
    addresses: tuple[str, ...]
    service: str = ""
    port: int = 0
    card: str = ""
    said: dict[str, str] = field(default_factory=dict)


def ask(names: Iterable[str], seconds: float) -> list[Answer]:
    """Return what was answered within `seconds`: services of all hosts, and addresses of `names`, which lack .local."""
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what strangers send wrongly is no news
    with _open() as network:
        return list(_answers(network, [f"{name}.local." for name in names], seconds))


def _open() -> Zeroconf:
    """Return the network to ask: over IPv4 and IPv6, or over one of them where a machine has no other."""
    for version in (IPVersion.All, IPVersion.V4Only, IPVersion.V6Only):
        try:
            return Zeroconf(ip_version=version)
        except (OSError, RuntimeError) as error:  # the latter where it has no interface
            reason = str(error)
    raise DiscoveryError(f"this machine cannot ask by mDNS ({reason}): connect it to the network of the Pi")


def _answers(network: Zeroconf, names: list[str], seconds: float) -> Iterator[Answer]:
    offered: dict[tuple[str, str], None] = {}

    def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed and len(offered) < MOST:
            offered[service_type, name] = None

    browser = ServiceBrowser(network, list(_SERVICES), handlers=[heard])
    resolvers = [AddressResolver(name) for name in names]
    asking = [threading.Thread(target=_resolve, args=(network, each, seconds), daemon=True) for each in resolvers]
    for thread in asking:
        thread.start()
    threading.Event().wait(seconds)
    for thread in asking:
        thread.join()
    browser.cancel()
    for resolver in resolvers:
        if addresses := _addresses(resolver):
            yield Answer(_host(resolver.server or ""), addresses)
    until = time.monotonic() + _ALL
    for service, name in offered:
        with suppress(ValueError):  # a name that no service can have
            info = ServiceInfo(service, name)
            left = min(_ONE, until - time.monotonic())
            if (info.request(network, left * 1000) if left > 0 else info.load_from_cache(network)) and info.server:
                yield _answer(service, name, info)


def _resolve(network: Zeroconf, resolver: AddressResolver, seconds: float) -> None:
    with suppress(ValueError):
        resolver.request(network, seconds * 1000)


def _answer(service: str, name: str, info: ServiceInfo) -> Answer:
    card = _CARD.search(name)
    said = {
        shortened(printable(key), 40): shortened(printable(value or ""), 60)
        for key, value in list(info.decoded_properties.items())[:20]
    }
    return Answer(
        _host(info.server or ""), _addresses(info), service, info.port or 0, card[1].lower() if card else "", said
    )


def _host(name: str) -> str:
    return shortened(printable(name.rstrip(".")), LONGEST)


def _addresses(info: ServiceInfo) -> tuple[str, ...]:
    """Return addresses that can be called: IPv4 first, those of one link last, with the name of the link."""
    found = info.parsed_scoped_addresses(IPVersion.V4Only)
    local = []
    for address in info.parsed_scoped_addresses(IPVersion.V6Only):
        plain, _, scope = address.partition("%")
        if not plain.startswith("fe80:"):
            found.append(plain)
        elif scope:
            local.append(f"{plain}%{_link(scope)}")
    return tuple(dict.fromkeys((*found, *local)))


def _link(scope: str) -> str:
    with suppress(OSError, ValueError):
        return socket.if_indextoname(int(scope))
    return scope
