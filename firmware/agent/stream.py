# TLS connections to the gateway that are always verified and never wait forever.

import select
import socket
import time

import tls

from agent.errors import Problem, Refused, WrongTime

# mbedTLS: fatal alert from the other side, end of the connection without a farewell.
_ALERT = -0x7780
_EOF = -0x7280
_CLOSED = (_ALERT, _EOF, 32, 104)
# mbedTLS: the errors of its X.509 module, such as an extension that it does not know and may not ignore.
_CERTIFICATE = range(-0x3000, -0x2000)
_REASONS = {
    12: "out of memory",
    103: "connection aborted",
    110: "timed out",
    111: "connection refused",
    113: "no route",
    116: "timed out",
    118: "no route",
}


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


# One connection. Every operation has a deadline in milliseconds, the handshake is part of the first one.


class Stream:
    def __init__(self, context, host, port, within=20_000):
        self._poll = select.poll()
        self._tls = raw = None
        try:
            raw = _dial(host, port, within)
            # Not blocking: on some ports a blocking handshake with a silent server has no end.
            raw.setblocking(False)
            self._tls = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
        except OSError as error:
            if raw:
                raw.close()
            raise Problem(f"no connection to {host}:{port}: {_reason(error)}")

    def write(self, data, within=20_000):
        """Send all of `data`."""
        rest = memoryview(data)
        deadline = time.ticks_add(time.ticks_ms(), within)
        while len(rest):
            sent = self._attempt(self._tls.write, rest)
            if sent:
                rest = rest[sent:]
            else:
                self._wait(deadline)

    def read(self, limit, within=20_000):
        """At least one byte and at most `limit`; b"" when the other side has ended the connection properly."""
        deadline = time.ticks_add(time.ticks_ms(), within)
        while True:
            data = self._attempt(self._tls.read, limit)
            if data is not None:
                return data
            self._wait(deadline)

    def ready(self, within):
        """Wait at most so long for something to read; whether there may be something."""
        self._poll.register(self._tls, select.POLLIN)
        return bool(self._poll.poll(within))

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
        except ValueError as error:
            # mbedTLS lists what it did not like about the certificate, one per line.
            text = str(error).strip().replace("\n", "; ")
            kind = WrongTime if "validity" in text else Problem
            raise kind(f"the gateway's certificate is not trusted: {text}")
        except OSError as error:
            if error.errno in _CLOSED:
                raise Dropped("the gateway closed the connection")
            if error.errno in _CERTIFICATE:
                raise Problem(f"the gateway's certificate is not trusted: error -{-error.errno:#x}")
            raise Problem(f"connection lost: {_reason(error)}")

    def _wait(self, deadline):
        left = time.ticks_diff(deadline, time.ticks_ms())
        if left <= 0:
            raise Problem("the gateway does not answer")
        # A handshake reads and writes whatever the operation is; the short wait covers ports that wake only for one.
        self._poll.register(self._tls, select.POLLIN)
        self._poll.poll(min(left, 50))


def _dial(host, port, within):
    """A connected socket to the first address of `host` that answers."""
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError:
        # Every port has numbers of its own for this.
        raise Problem(f"the network does not know the name {host}")
    for family, kind, protocol, _, address in found:
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout(within / 1000)
            raw.connect(address)
            return raw
        except OSError as error:
            raw.close()
            failure = error
    raise failure
