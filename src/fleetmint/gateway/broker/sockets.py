"""Ending single connections of another process, which Mosquitto has no command for before a client has a name.

A copy of its descriptor is shut down, so the process sees what it sees when a client hangs up: pidfd_getfd(2), since
Linux 5.6. (SOCK_DESTROY would do the same, but the kernel of a Raspberry Pi is built without it.) It takes the same
account in the same user namespace, and no capability; where Yama forbids it, that is a PermissionError.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from fleetmint.gateway.broker.handshakes import Peer

_PIDFD_GETFD = 438  # on every architecture
_libc = ctypes.CDLL(None, use_errno=True)


def peers(pid: int) -> set[Peer]:
    """Return address and port of everybody who is connected to process `pid` over TCP."""
    return {peer for peer, _ in _connections(pid)}


def end(pid: int, wanted: Callable[[Peer], bool]) -> set[Peer]:
    """End the connections of process `pid` that `wanted` picks; return them."""
    ended = set()
    for peer, connection in _connections(pid):
        if wanted(peer):
            try:
                # With a reset when the process closes it: a connection that only one side has ended goes on to count in
                # the firewall for as long as the other side likes.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # gone by itself meanwhile
                continue
            ended.add(peer)
    return ended


def _connections(pid: int) -> Iterator[tuple[Peer, socket.socket]]:
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if not entry.readlink().name.startswith("socket:"):
                    continue
                connection = _copy(process, int(entry.name))
            except (FileNotFoundError, OSError) as error:
                if isinstance(error, PermissionError):
                    raise
                continue  # closed meanwhile
            with closing(connection):
                try:
                    name = connection.getpeername()
                except OSError:  # a listener, or a client that has gone
                    continue
                if connection.family in (socket.AF_INET, socket.AF_INET6):
                    yield (name[0].removeprefix("::ffff:"), name[1]), connection
    finally:
        os.close(process)


def _copy(process: int, descriptor: int) -> socket.socket:
    copied = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
    if copied < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return socket.socket(fileno=copied)
