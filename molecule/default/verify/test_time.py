"""The time that the gateway tells, asked for as a device asks."""

import ast
import contextlib
import time
from pathlib import Path

import pytest

CLOCK = Path(__file__).parents[3] / "firmware/agent/clock.py"
SECONDS_TO_2000 = 946_684_800


# What the agent's own is to MicroPython's asyncio: until there is something to read.
READABLE = """
async def readable(sock):
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sock)
"""


def told(gateway, host: str) -> int | None:
    """Return what the device's own `ask_ntp`, run in the gateway, makes of the answer of `host`, in Unix seconds."""
    wanted = ("ask_ntp", "_NTP_2000")
    parts = [
        node
        for node in ast.parse(CLOCK.read_text()).body
        if getattr(node, "name", None) in wanted
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in wanted)
    ]
    source = "\n".join(("import asyncio, os, socket", READABLE, *map(ast.unparse, parts)))
    said = gateway.inside("python3", "-c", f"{source}\nprint(asyncio.run(ask_ntp({host!r}, timeout=1)))").strip()
    return None if said == "None" else int(said) + SECONDS_TO_2000


@pytest.fixture
def address(gateway) -> str:
    """An address of the gateway on a network that it serves."""
    return gateway.inside("hostname", "-I").split()[0]


@contextlib.contextmanager
def without_source(gateway):
    """Let chrony have the time from nobody, not even from its own clock."""
    gateway.inside("chronyc", "-m", "offline", "reset sources", "local off")
    try:
        yield
    finally:
        gateway.inside("chronyc", "-m", "online", "local stratum 10")


def test_a_device_is_told_the_time(gateway, address):
    assert abs(told(gateway, address) - time.time()) < 5


def test_a_gateway_that_does_not_know_the_time_does_not_tell_it(gateway, address):
    with without_source(gateway):
        assert told(gateway, address) is None
    assert told(gateway, address) is not None


def test_who_is_in_no_network_of_ours_is_told_nothing(gateway):
    assert told(gateway, "127.0.0.1") is None


def test_nothing_else_keeps_the_time(gateway):
    assert gateway.inside("systemctl", "is-enabled", "chrony").strip() == "enabled"
    assert "systemd-timesyncd" not in gateway.inside("systemctl", "list-unit-files", "--plain", "--no-legend")
