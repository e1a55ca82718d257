"""What a value of the site's variables has to be. Each function raises ValueRefusedError for one that is not."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from fleetmint.choices import TLS_CLASSES
from fleetmint.errors import FleetmintError, NameRefusedError
from fleetmint.passphrases import open_source
from fleetmint.x509 import names
from fleetmint.x509.hosts import HostRefusedError, host
from fleetmint.x509.profiles import LEAF

PROFILES = ("server", "server-rsa")
TLS_PROFILES = ("compatible", "modern")
# What a class of devices is told, and where that is on the gateway itself, if a router forwards it.
CLASS_PORTS = ("https_port", "mqtt_port")
CLASS_LISTENS = {each: f"listen_{each}" for each in CLASS_PORTS}


class ValueRefusedError(FleetmintError):
    """A value is not what its variable means; `what` is wrong and `remedy` helps. `index` is the item's in a list.

    `each` is this one, or those of all items of a list.
    """

    def __init__(self, what: str, remedy: str, index: int | None = None) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what = what
        self.remedy = remedy
        self.index = index
        self.each = [self]


Reader = Callable[[Any], object]


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueRefusedError(f"{value!r} is no text", "put it in quotes")
    return value


def directory(value: Any) -> str:
    """Return the path of a directory, as it is when relative ones have been settled."""
    if not text(value).strip():
        raise ValueRefusedError("it is empty", "name a directory")
    if not value.isprintable():
        raise ValueRefusedError(f"{value!r} holds an unseen character", "write the path without it")
    return str(value)


def port(value: Any) -> int:
    """Return the number of a port; one that came from the command line is written with digits."""
    if isinstance(value, str) and re.fullmatch("[1-9][0-9]*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueRefusedError(f"{value!r} is no port number", "write a number from 1 to 65535")
    if not 1 <= value <= 65535:
        raise ValueRefusedError(f"there is no port {value}", "write a number from 1 to 65535")
    return value


def time_of_day(value: Any) -> str:
    """Return a time such as 03:00; without quotes YAML reads some of them as numbers."""
    if not isinstance(value, str) or not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueRefusedError(f"{value!r} is no time of the day", 'write it in quotes, such as "03:00"')
    return value


def days_of_a_server(value: Any) -> int:
    """Return how many days a server certificate lasts; a number from the command line is written with digits."""
    if isinstance(value, str) and re.fullmatch("[1-9][0-9]*", value):
        value = int(value)
    longest = LEAF.days
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= longest:
        raise ValueRefusedError(f"{value!r} is no number of days", f"write a number from 1 to {longest}")
    return value


def gateway_host(value: Any) -> str:
    """Return one name or address of a gateway."""
    try:
        return host(value)
    except HostRefusedError as error:
        raise ValueRefusedError(f"{value!r} {error.wrong}", error.remedy) from error


def site(value: Any) -> str:
    """Return the name of a site."""
    return _named(names.site_name, value)


def operator(value: Any) -> str:
    """Return the name of an operator, a station or a dashboard."""
    return _named(names.operator_name, value)


def passphrases(value: Any) -> str:
    """Return the source of the passphrases, if a playbook can use it."""
    try:
        open_source(text(value))
    except ValueRefusedError:
        raise
    except FleetmintError as error:
        what, _, remedy = str(error).partition(": ")
        raise ValueRefusedError(what, remedy) from error
    if not value.startswith(("file:", "vault:")):
        kind = value.partition(":")[0]
        raise ValueRefusedError(f"a playbook has nothing to read {kind}: from", "write vault:DIRECTORY")
    return str(value)


def several(reader: Reader) -> Reader:
    """Return the reader of a list of what `reader` reads, in which nothing is there twice."""

    def read(value: Any) -> list[object]:
        if not isinstance(value, (list, tuple)):
            given = f"{value!r} is no list"
            raise ValueRefusedError(given, f"write [{value}]" if isinstance(value, str) and value else "write a list")
        found: list[object] = []
        refused: list[ValueRefusedError] = []
        for index, item in enumerate(value):
            try:
                one = reader(item)
                if str(one).lower() in [str(each).lower() for each in found]:
                    raise ValueRefusedError(f"{item!r} is there twice", "take one out")
                found.append(one)
            except ValueRefusedError as error:
                refused.append(ValueRefusedError(error.what, error.remedy, index))
        if refused:
            first = refused[0]
            first.each = refused
            raise first
        return found

    return read


def words(value: Any) -> list[str]:
    """Read a command that no shell reads: a list of its words, of which the first is its program."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise ValueRefusedError(f"{value!r} is no list of words", "write a list, such as [curl, -fsS, https://…]")
    if value and not str(value[0]).startswith("/") and "/" in str(value[0]):
        raise ValueRefusedError(f"{value[0]!r} is no program", "write its name, or its path from /")
    return [str(word) for word in value]


def some(reader: Reader) -> Reader:
    """Return the reader of a list that is not empty."""

    def read(value: Any) -> object:
        found = several(reader)(value)
        if not found:
            raise ValueRefusedError("it is empty", "name at least one")
        return found

    return read


def one_of(*choices: str) -> Reader:
    """Return the reader of a choice."""

    def read(value: Any) -> object:
        if value not in choices:
            raise ValueRefusedError(f"{value!r} is no choice", f"write {' or '.join(choices)}")
        return value

    return read


def like(pattern: str, remedy: str) -> Reader:
    """Return the reader of a text of which all matches `pattern`."""

    def read(value: Any) -> str:
        # what consists of digits may be a number to YAML
        given = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
        if not re.fullmatch(pattern, given):
            raise ValueRefusedError(f"{given!r} is not understood", remedy)
        return given

    return read


def listen_address(value: Any) -> str:
    """Return an address as nginx has it: IPv6 in brackets."""
    given = text(value)
    inner = given[1:-1] if given.startswith("[") and given.endswith("]") else given
    try:
        found = ipaddress.ip_address(inner)
    except ValueError:
        raise ValueRefusedError(
            f"{given!r} is no address", "write an IPv4 address, or an IPv6 one in brackets"
        ) from None
    if (found.version == 6) != (inner != given):
        form = f"[{inner}]" if found.version == 6 else inner
        raise ValueRefusedError(f"{given!r} is not how nginx has it", f'write "{form}"')
    return given


def network(value: Any) -> str:
    """Return a network."""
    try:
        return str(ipaddress.ip_network(text(value), strict=False))
    except ValueError:
        raise ValueRefusedError(f"{value!r} is no network", "write one such as 192.168.0.0/16") from None


def server_profiles(value: Any) -> Mapping[str, str]:
    """Return what each server shows."""
    if not isinstance(value, Mapping):
        raise ValueRefusedError(f"{value!r} is no mapping", "write {nginx: server-rsa}, or mosquitto, or both")
    for name, profile in value.items():
        if name not in ("nginx", "mosquitto"):
            raise ValueRefusedError(f"there is no server {name!r}", "write nginx or mosquitto")
        one_of(*PROFILES)(profile)
    return value


def tls_classes(value: Any) -> Mapping[str, Mapping[str, int]]:
    """Return the ports of each class of devices."""
    if not isinstance(value, Mapping):
        raise ValueRefusedError(f"{value!r} is no mapping", "write {modern: {https_port: 9443, mqtt_port: 9883}}")
    for name, ports in value.items():
        if name not in TLS_CLASSES:
            raise ValueRefusedError(f"there is no class {name!r}", f"write {' or '.join(TLS_CLASSES)}")
        if not isinstance(ports, Mapping) or any(each not in ports for each in CLASS_PORTS):
            what = f"{name} has to have {' and '.join(CLASS_PORTS)}"
            raise ValueRefusedError(what, f"write {{{name}: {{https_port: 9443, mqtt_port: 9883}}}}")
        for each, number in ports.items():
            if each not in (*CLASS_PORTS, *CLASS_LISTENS.values()):
                known = ", ".join((*CLASS_PORTS, *CLASS_LISTENS.values()))
                raise ValueRefusedError(f"{each!r} is nothing that a class has", f"write {known}")
            try:
                port(number)
            except ValueRefusedError as error:
                raise ValueRefusedError(f"{name}.{each}: {error.what}", error.remedy) from error
    return value


def _named(check: Callable[[str], str], value: Any) -> str:
    try:
        return check(text(value))
    except NameRefusedError as error:
        what, _, grammar = str(error).partition(": ")
        raise ValueRefusedError(what, grammar.replace("it has to be", "write")) from error
