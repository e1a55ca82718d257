# TLS connections to the gateway that are always verified, never wait forever and leave the processor to others.
#
# What cannot be shared: the lookup of a name (getaddrinfo knows no other way), so an address that worked is kept until
# it fails; and each step that mbedTLS takes in a handshake.

import asyncio
import errno
import socket
import time

import tls

from agent.errors import NoMemory, Problem, Refused, WrongTime

# mbedTLS: fatal alert from the other side, end of the connection without a farewell.
_ALERT = -0x7780
_EOF = -0x7280
_CLOSED = (_ALERT, _EOF, 32, 104)
# The heap of the board, and mbedTLS's own errors for it: of TLS, X.509, arithmetic and curves.
_MEMORY = (12, -0x7F00, -0x2880, -0x0010, -0x4D80)
# mbedTLS: the errors of its X.509 module, such as an extension that it does not know and may not ignore.
_CERTIFICATE = range(-0x3000, -0x2000)
_REASONS = {
    12: "out of memory",
    103: "connection aborted",
    104: "connection reset",
    110: "timed out",
    111: "connection refused",
    113: "no route",
    116: "timed out",
    118: "no route",
    128: "not connected",
}
# Milliseconds: between two tries to write, and the longest sleep over a connection that may have woken unnoticed.
_BUSY = 10
_DEAF = 1000

# Addresses of (host, port), as getaddrinfo gave them.
_known = {}


# The gateway closed the connection: what a TLS client sees of a certificate that was not wanted.


class Dropped(Problem):
    pass


def context(anchors, certificate=None, key=None):
    """A client context that accepts servers of these anchors only (a list of DER certificates).

    With `certificate` and `key` (DER) the device shows who it is.
    """
    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    made.verify_mode = tls.CERT_REQUIRED
    try:
        # One certificate a call: of several in one buffer only the first would count.
        for anchor in anchors:
            made.load_verify_locations(anchor)
    except (ValueError, OSError):
        raise Problem("a trust anchor in the NVS cannot be read")
    if certificate:
        try:
            made.load_cert_chain(certificate, key)
        except (ValueError, OSError):
            raise Refused("the certificate or key in the NVS cannot be read")
    return made


def _reason(error):
    # What an OSError of a socket means, in words.
    return _REASONS.get(error.errno) or f"error {error.errno}"


async def readable(socket):
    """Wait until there is something to read."""
    # The queue of asyncio's own streams. Those streams do not serve here: they wait before they look, which sleeps
    # over what TLS has decrypted already.
    yield asyncio.core._io_queue.queue_read(socket)


async def _writable(socket):
    yield asyncio.core._io_queue.queue_write(socket)


# One connection. Every operation has a deadline in milliseconds, the handshake is part of the first one.
#
# One task may read while another one writes; two must not do the same.


class Stream:
    def __init__(self, secured, name):
        self._tls = secured
        self._name = name

    @staticmethod
    async def open(context, host, port, within=20_000):
        """A connection to `host`, a name or an address."""
        raw = None
        try:
            raw = await _dial(host, port, within)
            # Not blocking: on some ports a blocking handshake with a silent server has no end.
            secured = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
        except OSError as error:
            if raw:
                raw.close()
            _known.pop((host, port), None)
            kind = NoMemory if error.errno in _MEMORY else Problem
            raise kind(f"no connection to {host}:{port}: {_reason(error)}")
        return Stream(secured, (host, port))

    async def write(self, data, within=20_000):
        """Send all of `data`."""
        rest = memoryview(data)
        deadline = time.ticks_add(time.ticks_ms(), within)
        while len(rest):
            sent = self._attempt(self._tls.write, rest)
            if sent:
                rest = rest[sent:]
            else:
                self._left(deadline)
                await asyncio.sleep_ms(_BUSY)

    async def read(self, limit, within=20_000):
        """At least one byte and at most `limit`; b"" when the other side has ended the connection properly."""
        deadline = time.ticks_add(time.ticks_ms(), within)
        while True:
            data = self._attempt(self._tls.read, limit)
            if data is not None:
                return data
            await self.ready(min(self._left(deadline), _DEAF))

    async def ready(self, within):
        """Wait at most so many milliseconds for something to read; whether there may be something."""
        try:
            await asyncio.wait_for_ms(readable(self._tls), within)
        except asyncio.TimeoutError:
            return False
        return True

    def peek(self):
        """One byte if it is there already, else None; b"" at the end."""
        return self._attempt(self._tls.read, 1)

    def close(self):
        try:
            self._tls.close()
        except OSError:
            # It is closed, whatever the farewell met.
            pass

    def _attempt(self, operation, argument):
        try:
            return operation(argument)
        except (ValueError, OSError) as error:
            # The address may be somebody else's by now.
            _known.pop(self._name, None)
            raise _meaning(error)

    def _left(self, deadline):
        left = time.ticks_diff(deadline, time.ticks_ms())
        if left <= 0:
            _known.pop(self._name, None)
            raise Problem("the gateway does not answer")
        return left


def _meaning(error):
    # The error of ours that an error of a TLS connection stands for.
    if isinstance(error, ValueError):
        # mbedTLS lists what it did not like about the certificate, one per line.
        text = str(error).strip().replace("\n", "; ")
        kind = WrongTime if "validity" in text else Problem
        return kind(f"the gateway's certificate is not trusted: {text}")
    if error.errno in _CLOSED:
        return Dropped("the gateway closed the connection")
    if error.errno in _MEMORY:
        return NoMemory("out of memory for a connection")
    if error.errno in _CERTIFICATE:
        return Problem(f"the gateway's certificate is not trusted: error -{-error.errno:#x}")
    return Problem(f"connection lost: {_reason(error)}")


async def _dial(host, port, within):
    # A connected socket to the first address of `host` that answers.
    deadline = time.ticks_add(time.ticks_ms(), within)
    for family, kind, protocol, _, address in _addresses(host, port):
        raw = socket.socket(family, kind, protocol)
        done = False
        try:
            raw.setblocking(False)
            await _connect(raw, address, deadline)
            done = True
            return raw
        except OSError as error:
            failure = error
        finally:
            if not done:
                raw.close()
    raise failure


async def _connect(raw, address, deadline):
    try:
        raw.connect(address)
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    try:
        await asyncio.wait_for_ms(_writable(raw), max(1, time.ticks_diff(deadline, time.ticks_ms())))
    except asyncio.TimeoutError:
        raise OSError(errno.ETIMEDOUT)
    # Sockets wake for a failure, too, and tell it when they are used. A TLS server never speaks first.
    try:
        raw.recv(1)
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise


def _addresses(host, port):
    found = _known.get((host, port))
    if not found:
        try:
            found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except OSError:
            # Every port has numbers of its own for this.
            raise Problem(f"the network does not know the name {host}")
        _known[host, port] = found
    return found
