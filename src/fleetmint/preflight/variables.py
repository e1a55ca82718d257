"""What an inventory says about a site, and everything about it that can be wrong before anything is made."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleetmint.errors import FleetmintError
from fleetmint.preflight import reading
from fleetmint.preflight.locations import locations
from fleetmint.preflight.problem import Problem, merged
from fleetmint.preflight.reading import Reader, ValueRefusedError
from fleetmint.preflight.renamed import RENAMED
from fleetmint.preflight.spelling import unread
from fleetmint.x509 import names

HTTPS, OPERATORS_HTTPS = "fleet_https_port", "fleet_operators_https_port"
MQTT, OPERATORS_MQTT = "fleet_mqtt_port", "fleet_operators_mqtt_port"
PORTS = (HTTPS, OPERATORS_HTTPS, MQTT, OPERATORS_MQTT)
GATEWAY_NAMES = "fleet_gateway_names"
CERTIFIED = "gateway_certificates_names"
# The ports that servers listen on, and the variable each follows while it is not set itself.
LISTENING = {
    "fleet_listen_https_port": HTTPS,
    "fleet_listen_operators_https_port": OPERATORS_HTTPS,
    "fleet_listen_mqtt_port": MQTT,
    "fleet_listen_operators_mqtt_port": OPERATORS_MQTT,
}
CLASSES = "fleet_tls_classes"
PLAIN, PLAIN_PORT = "fleet_listen_http_port", 80
ADDRESSES, STATION = "fleet_listen_addresses", "fleet_station"
FIREWALL = tuple(
    f"gateway_firewall_{each}_port" for each in ("http", "https", "operators_https", "mqtt", "operators_mqtt")
)
SSH, SSH_PORT = "ssh", 22
CONTROLLER = "localhost"

# What has to be said, by whom, and what it has to be.
_OF_THE_SITE: Mapping[str, Reader] = {
    "fleet_site": reading.site,
    "fleet_state_dir": reading.directory,
    "fleet_ca_dir": reading.directory,
    "fleet_ca_passphrases": reading.passphrases,
    STATION: reading.operator,
}
_OF_A_GATEWAY: Mapping[str, Reader] = {
    GATEWAY_NAMES: reading.some(reading.gateway_host),
    **dict.fromkeys(PORTS, reading.port),
}
# What has a default, and what it has to be where it is said.
_OPTIONAL: Mapping[str, Reader] = {
    "fleet_ca_root_dir": reading.directory,
    CLASSES: reading.tls_classes,
    "fleet_tls_profile": reading.one_of(*reading.TLS_PROFILES),
    "fleet_alert_command": reading.words,
    "gateway_alarms_command": reading.words,
    "controller_alert_command": reading.words,
    "fleet_server_profiles": reading.server_profiles,
    "operators_names": reading.several(reading.operator),
    "operators_rsa_names": reading.several(reading.operator),
    "mosquitto_stations": reading.several(reading.operator),
    "signing_service_stations": reading.several(reading.operator),
    **dict.fromkeys((*LISTENING, PLAIN, *FIREWALL), reading.port),
    ADDRESSES: reading.some(reading.listen_address),
    "nginx_max_body": reading.like("[1-9][0-9]*[kKmM]?", "write a size such as 64k"),
    "nginx_locations": locations,
    "nginx_hsts": reading.like("|max-age=[0-9]+(; includeSubDomains)?(; preload)?", "write max-age=31536000, say"),
    "mosquitto_session_expiry": reading.like("[1-9][0-9]*[hdwmy]", "write a time such as 14d"),
    "gateway_time_networks": reading.several(reading.network),
    **dict.fromkeys(("gateway_base_updates_from", "gateway_base_updates_until"), reading.time_of_day),
    "gateway_base_journal_size": reading.like("[1-9][0-9]*[MG]", "write a size such as 200M"),
    "gateway_base_mdns_name": reading.like(
        "|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "write gateway for gateway.local, say"
    ),
    "gateway_certificates_days": reading.days_of_a_server,
    CERTIFIED: reading.some(reading.gateway_host),
    "factory_firmware_sha256": reading.like("|[0-9a-fA-F]{64}", "write 64 hexadecimal digits"),
    "ca_root_fingerprint": reading.like("|[0-9a-fA-F]{64}|([0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2}", "write it in full"),
}
CHECKED = frozenset({*_OF_THE_SITE, *_OF_A_GATEWAY, *_OPTIONAL})
# How Ansible reaches a host.
CONNECTION, ADDRESS, SSH_PORT_OF = "ansible_connection", "ansible_host", "ansible_port"
REACHED = (CONNECTION, ADDRESS, SSH_PORT_OF)
_LOCAL = ("local", "ansible.builtin.local")
# What plays take from the command line, and roles from the site without a line of its own in their specs.
OTHERS = frozenset(
    {
        *RENAMED,
        *("batch", "device", "ca_rollover", "verify_device"),
        *("fleet_ca_root", "fleet_ca_root_dir", "fleet_tls_profile", CLASSES, "fleet_server_profiles"),
        *("fleet_alert_command", "fleet_mdns"),
        *(ADDRESSES, PLAIN, *LISTENING),
    }
)


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that could not be had, or that is not what was written; neither text holds a secret."""

    remedy: str
    what: str = "it cannot be read"


@dataclass(frozen=True)
class Inventory:
    """Variables by name, of the controller and of each gateway; `known` and `prefixes` are what roles read.

    `controller` is empty where the inventory does not name it; `typed` are the names on the command line.
    """

    controller: Mapping[str, object]
    gateways: Mapping[str, Mapping[str, object]]
    known: Collection[str]
    prefixes: Collection[str]
    typed: Collection[str] = ()


def check_site(inventory: Inventory) -> list[Problem]:
    """Return everything that is wrong with what the inventory says; empty when a play may begin."""
    found = list(_hosts(inventory))
    if inventory.controller:
        found += _each({**_OF_THE_SITE, **_OPTIONAL}, inventory.controller, _OF_THE_SITE, CONTROLLER)
        found += _operators(inventory.controller)
    for name, variables in inventory.gateways.items():
        found += _each({**_OF_A_GATEWAY, **_OPTIONAL}, variables, _OF_A_GATEWAY, name)
        found += _ports(name, variables)
        found += _certified(name, variables)
    found += _shared(inventory.gateways)
    for name, variables in ((CONTROLLER, inventory.controller), *inventory.gateways.items()):
        problems = unread(variables, inventory.known, inventory.prefixes, inventory.typed)
        found += [replace(problem, hosts=(name,)) for problem in problems]
    return merged(found)


def places(inventory: Inventory) -> list[Path]:
    """Return where certificates and CRLs of the site are, on the controller."""
    state = inventory.controller.get("fleet_state_dir")
    found = [inventory.controller.get("fleet_ca_dir"), f"{state}/issued" if isinstance(state, str) else None]
    return [Path(each) for each in found if isinstance(each, str)]


def _hosts(inventory: Inventory) -> Iterator[Problem]:
    if inventory.controller.get(CONNECTION) not in _LOCAL:
        remedy = 'give it ansible_connection: local and ansible_python_interpreter: "{{ ansible_playbook_python }}"'
        what = "the inventory has to name it, as the machine that plays are started on"
        yield Problem(CONTROLLER, what, f"{remedy}, as inventory/sample/hosts.yml does")
    if not inventory.gateways:
        yield Problem("gateways", "the inventory has no host in this group", "name your gateway in it, in hosts.yml")
    for name in inventory.gateways:
        try:
            names.device_id(name)
        except FleetmintError:
            grammar = "3 to 63 of a-z, 0-9 and '-', not first; `ansible_host` says how it is reached"
            yield Problem("gateways", f"{name!r} is no name of a gateway", f"write {grammar}")


def _each(
    readers: Mapping[str, Reader], variables: Mapping[str, object], needed: Collection[str], host: str
) -> Iterator[Problem]:
    for name, read in readers.items():
        if name in variables:
            yield from _refused(name, read, variables[name], host)
        elif name in needed:
            yield Problem(name, "it is not set", "say it in the group_vars of your inventory", hosts=(host,))


def _refused(name: str, read: Reader, value: object, host: str) -> Iterator[Problem]:
    if isinstance(value, Unreadable):
        yield Problem(name, value.what, value.remedy, hosts=(host,))
        return
    try:
        read(value)
    except ValueRefusedError as error:
        for each in error.each:
            yield Problem(name, each.what, each.remedy, each.index, (host,))


def _operators(variables: Mapping[str, object]) -> Iterator[Problem]:
    """Whoever is named twice would be given two certificates for one file."""
    taken: dict[Any, str] = {}
    for name in (STATION, "operators_names", "operators_rsa_names"):
        value = variables.get(name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, str) and taken.setdefault(each, name) != name:
                yield Problem(name, f"{each!r} is in {taken[each]} too", "take one out", hosts=(CONTROLLER,))


def _ports(host: str, variables: Mapping[str, object]) -> Iterator[Problem]:
    """Two servers cannot listen on one port, and nobody reaches two at one."""
    listening = {name: variables.get(name, variables.get(follows)) for name, follows in LISTENING.items()}
    fixed = {SSH: variables.get(SSH_PORT_OF, SSH_PORT), PLAIN: variables.get(PLAIN, PLAIN_PORT)}
    seen: set[tuple[str, ...]] = set()
    told, heard = _of_classes(variables)
    for group in (
        {**{name: variables.get(name) for name in PORTS}, **told},
        {**_listening_fixed(fixed, listening, variables), **heard},
    ):
        taken: dict[int, str] = {}
        for name, value in group.items():
            try:
                number = reading.port(value)
            except ValueRefusedError:
                continue  # said already, or not set
            other = taken.setdefault(number, name)
            if other != name and (said := tuple(sorted((other, name)))) not in seen:
                seen.add(said)
                variable, _, below = name.partition(".")
                what = f"{below}: port {number} is that" if below else f"port {number} is that"
                yield Problem(variable, f"{what} of {other} too", "choose another", hosts=(host,))


def _of_classes(variables: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Return the ports that devices of classes are told, and those that servers listen on for them."""
    classes = variables.get(CLASSES)
    told: dict[str, object] = {}
    heard: dict[str, object] = {}
    for name, ports in classes.items() if isinstance(classes, Mapping) else ():
        if isinstance(ports, Mapping):
            for each, listens in reading.CLASS_LISTENS.items():
                told[f"{CLASSES}.{name}.{each}"] = ports.get(each)
                key = listens if listens in ports else each
                heard[f"{CLASSES}.{name}.{key}"] = ports.get(key)
    return told, heard


def _listening_fixed(
    fixed: Mapping[str, object], listening: Mapping[str, object], variables: Mapping[str, object]
) -> dict[str, object]:
    """Return who listens where, each by the variable that says so."""
    named = {name if name in variables else LISTENING[name]: value for name, value in listening.items()}
    return {**fixed, **named}


def _certified(host: str, variables: Mapping[str, object]) -> Iterator[Problem]:
    """Whoever calls a name that is not in the certificate refuses what answers."""
    if CERTIFIED in variables:
        certified = [str(each).lower() for each in _items(variables[CERTIFIED])]
        for name in _items(variables.get(GATEWAY_NAMES)):
            if str(name).lower() not in certified:
                yield Problem(CERTIFIED, f"{name!r} of {GATEWAY_NAMES} is not in it", "add it", hosts=(host,))


def _shared(gateways: Mapping[str, Mapping[str, object]]) -> Iterator[Problem]:
    """Whoever wants one gateway would come to another, which does not know them; one machine cannot be two."""
    taken: dict[tuple[str, object], str] = {}
    machines: dict[tuple[str, str], str] = {}
    for host, variables in gateways.items():
        remedy = f"say those of {host} in host_vars/{host}.yml"
        for index, name in enumerate(_items(variables.get(GATEWAY_NAMES))):
            others = {taken.setdefault((str(name).lower(), str(variables.get(port))), host) for port in PORTS} - {host}
            if others:
                what = f"whoever calls {name!r} may come to {min(others)}, which has this name and port too"
                yield Problem(GATEWAY_NAMES, what, remedy, index, (host,))
        machine = (str(variables.get(ADDRESS, host)).lower(), str(variables.get(SSH_PORT_OF, SSH_PORT)))
        if variables.get(CONNECTION, "ssh") not in _LOCAL and machines.setdefault(machine, host) != host:
            what = f"{host} is the same machine as {machines[machine]} ({machine[0]}, SSH port {machine[1]})"
            yield Problem("gateways", what, "give each an ansible_host of its own")


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []
