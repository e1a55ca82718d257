"""Wi-Fi, sockets and clock of an ESP32 in C, over a double of the radio and the sockets of this machine."""

import os
import socket
import subprocess
import threading

import pytest

from tests.support.c_esp32 import HEADERS, IDF, require_mbedtls

ABSENT, IO, REFUSED, CLOSED = -1, -3, -5, -6
AIR = {"BOARD_SSID": "The Office", "BOARD_PASSPHRASE": "correct horse"}


@pytest.fixture(scope="session")
def tool(build):
    require_mbedtls()
    ports = [f"port/esp32/{name}.c" for name in ("net", "sockets", "clock")]
    return build.program(IDF / "net_tool.c", IDF / "radio.c", *ports, flags=HEADERS)


@pytest.fixture
def answers(tool):
    """What a board says that joins a network, asks a datagram server and greets a TCP server."""

    def told(ssid="The Office", passphrase="correct horse", host="127.0.0.1", udp=1, tcp=1):  # noqa: S107
        command = [tool, ssid, passphrase, host, str(udp), str(tcp)]
        done = subprocess.run(
            command, env={**os.environ, **AIR}, capture_output=True, text=True, check=True, timeout=30
        )
        lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
        return {what: (int(result), said) for what, result, said in lines}

    return told


@pytest.fixture
def servers():
    """The ports of a datagram server and of a TCP server, on IPv4 alone, that answer with what they got."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    tcp = socket.create_server(("127.0.0.1", 0))

    def serve():
        data, whom = udp.recvfrom(64)
        udp.sendto(b"told: " + data, whom)
        connection, _ = tcp.accept()
        connection.sendall(b"well, " + connection.recv(64))
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield udp.getsockname()[1], tcp.getsockname()[1]
    udp.close()
    tcp.close()


# localhost is ::1 first on most machines: nobody answers there, and the next address is tried
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_board_joins_its_network_and_reaches_servers(answers, servers, host):
    found = answers(host=host, udp=servers[0], tcp=servers[1])
    assert found["datagram"] == (9, "told: ask")
    assert found["stream"] == (11, "well, hello")
    assert [found[what][0] for what in ("before", "join", "state", "after")] == [IO, 0, 0, IO]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"ssid": "The Offic"}, ABSENT),
        ({"ssid": "The Office2"}, ABSENT),
        ({"passphrase": "wrong horse"}, REFUSED),
        ({"passphrase": ""}, REFUSED),
    ],
)
def test_why_a_network_cannot_be_joined_is_told(answers, changes, state):
    assert answers(**changes)["state"][0] == state


def test_a_name_or_passphrase_that_is_too_long_is_not_cut(answers):
    assert answers(ssid="x" * 33)["join"][0] == -2
    assert answers(passphrase="x" * 65)["join"][0] == -2


def test_where_nobody_listens_nobody_is_waited_for(answers):
    found = answers()
    assert found["stream"][0] in (IO, CLOSED)
    assert found["datagram"][0] == IO


def test_the_clock_is_unknown_until_it_is_set(answers):
    found = answers()
    assert (found["unset"][0], found["set"][0]) == (0, 0)
