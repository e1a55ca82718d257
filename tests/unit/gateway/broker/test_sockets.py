"""Ending connections of a real other process."""

import select
import socket
import subprocess
import sys
import time

import pytest

from fleetmint.gateway.broker import sockets

# a server that takes two clients, says so, and tells how each one ends
SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
clients = [server.accept()[0] for _ in range(2)]
open("/proc/self/status").read()
print("both", flush=True)
for client in clients:
    print(client.recv(9), flush=True)
    client.close()
"""


@pytest.fixture
def server():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def clients(server):
    port = int(server.stdout.readline())
    found = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    assert server.stdout.readline() == "both\n"
    yield found
    for client in found:
        client.close()


def test_the_peers_of_a_process_are_those_that_are_connected_to_it(server, clients):
    assert sockets.peers(server.pid) == {client.getsockname() for client in clients}


def test_one_connection_is_ended_and_no_other(server, clients):
    first, second = clients
    assert sockets.end(server.pid, lambda peer: peer == first.getsockname()) == {first.getsockname()}
    assert server.stdout.readline() == "b''\n"  # the server sees its client leave
    assert first.recv(9) == b""
    end = time.monotonic() + 10
    while first.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:  # and the connection is no more, on either side
        assert time.monotonic() < end
    assert select.select([second], [], [], 0)[0] == []
    second.sendall(b"hello")
    assert server.stdout.readline() == "b'hello'\n"


def test_a_process_that_has_gone_is_a_lookup_error():
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with pytest.raises(ProcessLookupError):
        sockets.peers(gone.pid)
