"""The gateway by mDNS: as Avahi itself resolves it, and as `fleetmint find` finds it from this machine."""

# ruff: noqa: S603 - fixed programs, found on the PATH

import json
import os
import subprocess

# Avahi's own client, over D-Bus: what it resolves is what others are told.
RESOLVE = """
import dbus, json
bus = dbus.SystemBus()
server = dbus.Interface(bus.get_object("org.freedesktop.Avahi", "/"), "org.freedesktop.Avahi.Server")
name = f"Fleetmint on {server.GetHostName()}"
found = server.ResolveService(-1, 0, name, "_fleetmint._tcp", "local", 0, dbus.UInt32(0))
print(json.dumps([str(found[5]), int(found[8]), sorted(bytes(each).decode() for each in found[9])]))
"""
SAID = ["gateway=gateway", "mqtt=8883", "operators-mqtt=8884", "operators=8443", "site=demo"]


def resolved(gateway) -> tuple[str, int, list[str]]:
    host, port, said = json.loads(gateway.inside("python3", "-c", RESOLVE))
    return host, port, said


def from_here(gateway) -> list[str]:
    """Return how a command is run where the gateway's network is: rootless, it has none in common with this machine."""
    if os.geteuid() == 0:
        return []
    asked = ["podman", "inspect", "--format", "{{.State.Pid}}", gateway.container]
    pid = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return ["podman", "unshare", "nsenter", f"--target={pid}", "--net"]


def test_avahi_tells_ports_and_site_and_nothing_more(gateway):
    host, port, said = resolved(gateway)
    assert host.endswith(".local")
    assert port == 443
    assert [each for each in said if not each.startswith("version=")] == SAID


def test_find_lists_the_gateway_with_what_avahi_tells_of_it(gateway):
    host, port, said = resolved(gateway)
    command = [*from_here(gateway), "fleetmint", "find", "--json", "--seconds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (machine,) = [each for each in json.loads(done.stdout)["machines"] if each["host"] == host]
    assert machine["gateway"]
    assert machine["ports"] == [port]
    assert sorted(f"{key}={value}" for key, value in machine["said"].items()) == said
    assert set(machine["addresses"]) & set(gateway.inside("hostname", "-I").split())
    assert [each for each in machine["addresses"] if each.startswith("fe80:") and "%" not in each] == []
