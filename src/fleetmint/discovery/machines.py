"""What of the answers is a gateway or a Raspberry Pi, and by which name or address this machine can reach it."""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fleetmint.discovery.mdns import GATEWAY, Answer
from fleetmint.discovery.neighbours import of_a_pi

# The name that a Pi has until somebody gives it another, and those that it takes while another has it.
FRESH = "raspberrypi"
_FRESH = re.compile(r"raspberrypi(-[0-9]+)?\.local")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.local", re.IGNORECASE)
SSH = 22


@dataclass(frozen=True)
class Machine:
    """A machine of this network. `host` is empty where it told no name; `reasons` say why it is taken for what it is.

    `reach` is what this machine can call it by: its name, where that is resolved here, or else an address.
    """

    host: str
    addresses: tuple[str, ...]
    is_gateway: bool
    reach: str
    reasons: tuple[str, ...]
    ports: tuple[int, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)


Resolve = Callable[[str], Iterable[str]]


def resolved(name: str) -> list[str]:
    """Return the addresses that this machine knows for a name, as ssh would ask for them."""
    try:
        return [str(each[4][0]) for each in socket.getaddrinfo(name, SSH, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def machines(
    answers: Iterable[Answer], cards: Mapping[str, str], names: Iterable[str], resolve: Resolve = resolved
) -> list[Machine]:
    """Return gateways and Pis out of all answers, and whoever has one of `names`; `cards` are those by address."""
    wanted = {f"{name}.local".lower() for name in names}
    found = []
    seen: set[str] = set()
    for host, said in _by_host(answers).items():
        addresses = _sorted(address for each in said for address in each.addresses)
        seen.update(addresses)
        own = {each.card for each in said if each.card} | {cards[each] for each in addresses if each in cards}
        gateway = next((each for each in said if each.service == GATEWAY), None)
        reasons = _reasons(host, own, wanted, gateway)
        if reasons and addresses:
            reach = _reach(host, addresses, resolve)
            ports = tuple(sorted({each.port for each in said if each.service == GATEWAY}))
            found.append(
                Machine(host, addresses, gateway is not None, reach, reasons, ports, gateway.said if gateway else {})
            )
    for address, card in cards.items():
        if of_a_pi(card) and address not in seen and not _same_card(card, cards, seen):
            found.append(Machine("", (address,), False, address, (_of_card(card),)))
            seen.add(address)
    return sorted(found, key=lambda each: (not each.is_gateway, each.host == "", each.host, each.addresses))


def _by_host(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for each in answers:
        found.setdefault(each.host.lower(), []).append(each)
    return found


def _reasons(host: str, cards: Iterable[str], wanted: Iterable[str], gateway: Answer | None) -> tuple[str, ...]:
    found = []
    if gateway is not None:
        found.append("offers Fleetmint")
    if _FRESH.fullmatch(host):
        found.append("has the name of a fresh Raspberry Pi")
    elif host in wanted:
        found.append("has the name that was asked for")
    found += [_of_card(card) for card in sorted(cards) if of_a_pi(card)]
    return tuple(found)


def _of_card(card: str) -> str:
    return f"has a network card of Raspberry Pi ({card})"


def _same_card(card: str, cards: Mapping[str, str], seen: Iterable[str]) -> bool:
    """Whether a machine that is known already has this card: it has other addresses, too."""
    return card in {cards[address] for address in seen if address in cards}


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(addresses), key=_order))


def _order(address: str) -> tuple[bool, bool, str]:
    parsed = ipaddress.ip_address(address)
    return (parsed.is_loopback, parsed.version == 6, address)


def _reach(host: str, addresses: tuple[str, ...], resolve: Resolve) -> str:
    """Return the name only where it leads to the same machine from here, and where no shell could take it for more."""
    if _NAME.fullmatch(host) and set(resolve(host)) & set(addresses):
        return host
    return addresses[0]
