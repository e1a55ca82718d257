# A small MQTT 3.1.1 client (OASIS standard): connect, publish with QoS 1, subscribe, ping.

import time

from agent.errors import Problem, Refused

_CONNACK = 0x20
_PUBLISH = 0x30
_PUBACK = 0x40
_SUBACK = 0x90
_PINGRESP = 0xD0

# Messages to a device are commands; more than this is somebody's mistake and would take the heap.
_LARGEST_PACKET = 4096
# What is too large is read away in pieces, and of its topic so much is kept for the console.
_PIECE = 256
_REFUSALS = {1: "protocol version", 2: "client id", 3: "not available", 4: "user name", 5: "not authorised"}


def _string(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _packet(kind, *parts):
    body = b"".join(parts)
    size = len(body)
    head = bytes((kind,))
    while True:
        size, digit = size >> 7, size & 0x7F
        head += bytes((digit | 0x80 if size else digit,))
        if not size:
            return head + body


# One session on a stream.
#
# `on_message(topic, payload)` is called from inside publish, subscribe and check, so it must not call them. Of a
# message that is too large for this device `on_too_large(topic, size)` is told instead; it is acknowledged, or the
# broker would send it again in every session. Every reply has to come within `within` milliseconds; the broker may
# close a session that is silent for `keepalive` seconds.


class Mqtt:
    def __init__(self, stream, on_message, keepalive=60, within=15_000, on_too_large=None):
        self._stream = stream
        self._on_message = on_message
        self._on_too_large = on_too_large or (lambda topic, size: None)
        self._keepalive = keepalive
        self._within = within
        self._last_id = 0
        self._sent = time.ticks_ms()
        self._ping_sent = None

    def connect(self, client_id):
        """Open the session. Raises Refused when the broker does not want this client."""
        self._send(0x10, _string("MQTT"), b"\x04\x02", self._keepalive.to_bytes(2, "big"), _string(client_id))
        body = self._reply(_CONNACK, 2)
        if body[1] == 3:
            raise Problem("the broker is not available")
        if body[1]:
            raise Refused(f"the broker refuses the session: {_REFUSALS.get(body[1], body[1])}")

    def publish(self, topic, payload):
        """Publish with QoS 1; returns when the broker has taken the message over."""
        packet_id = self._next_id()
        self._send(_PUBLISH | 0x02, _string(topic), packet_id, payload)
        if self._reply(_PUBACK, 2) != packet_id:
            raise Problem("the broker acknowledged another message")

    def subscribe(self, topic_filter):
        """Ask for messages with at most QoS 1."""
        packet_id = self._next_id()
        self._send(0x82, packet_id, _string(topic_filter), b"\x01")
        body = self._reply(_SUBACK, 3)
        if body[:2] != packet_id or body[2] & 0x80:
            raise Problem("the broker refuses the subscription")

    def check(self, within):
        """Wait at most `within` milliseconds for one packet and handle it; keeps the session alive."""
        now = time.ticks_ms()
        if self._ping_sent is not None:
            if time.ticks_diff(now, self._ping_sent) > self._within:
                raise Problem("the broker does not answer")
        elif time.ticks_diff(now, self._sent) >= self._keepalive * 500:
            self._send(0xC0)
            self._ping_sent = now
        # What TLS has decrypted already does not wake a poll on every port, so looking comes before waiting.
        first = self._stream.peek()
        if first is None and self._stream.ready(within):
            first = self._stream.peek()
        if first is not None:
            self._handle(*self._packet(first))

    def close(self):
        """Say good-bye, so that the broker does not take it for a failure, and close the connection."""
        try:
            self._send(0xE0)
        except Problem:
            # The connection is what failed.
            pass
        self._stream.close()

    def _next_id(self):
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id.to_bytes(2, "big")

    def _send(self, kind, *parts):
        self._stream.write(_packet(kind, *parts), self._within)
        self._sent = time.ticks_ms()

    def _reply(self, wanted, size):
        # The broker may send messages and pings before the reply; it may not do so forever.
        deadline = time.ticks_add(time.ticks_ms(), self._within)
        while True:
            left = time.ticks_diff(deadline, time.ticks_ms())
            if left <= 0:
                raise Problem("the broker does not answer")
            kind, body = self._packet(self._stream.read(1, left))
            if kind == wanted:
                if len(body) != size:
                    raise Problem("the broker does not speak MQTT")
                return body
            self._handle(kind, body)

    def _packet(self, first):
        if not first:
            raise Problem("the broker ended the session")
        size = shift = 0
        while True:
            digit = self._exactly(1)[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                break
            if shift > 21:
                raise Problem("the broker does not speak MQTT")
        kind = first[0]
        if size <= _LARGEST_PACKET:
            try:
                # Bought in one piece, before anything is read into it.
                body = bytearray(size)
            except MemoryError:
                pass
            else:
                self._fill(body)
                return kind, body
        if kind & 0xF0 != _PUBLISH:
            raise Problem("the broker does not speak MQTT")
        self._drop(kind, size)
        return kind, None

    def _drop(self, kind, size):
        # MQTT 3.1.1, 3.3.2: topic with its length, packet id if it has a QoS, payload.
        length = int.from_bytes(self._exactly(2), "big")
        left = size - 2 - length
        if left < 0:
            raise Problem("the broker does not speak MQTT")
        kept = min(length, _PIECE)
        topic = self._exactly(kept)
        self._pass(length - kept)
        packet_id = None
        if kind >> 1 & 3:
            packet_id = self._exactly(2)
            left -= 2
        self._pass(left)
        self._on_too_large(topic, size)
        if packet_id:
            self._send(_PUBACK, packet_id)

    def _pass(self, size):
        while size > 0:
            size -= len(self._some(min(size, _PIECE)))

    def _exactly(self, size):
        data = bytearray(size)
        self._fill(data)
        return data

    def _fill(self, data):
        at = 0
        while at < len(data):
            more = self._some(len(data) - at)
            data[at : at + len(more)] = more
            at += len(more)

    def _some(self, size):
        # In pieces, since what is read is a copy that needs room of its own.
        more = self._stream.read(min(size, _PIECE), self._within)
        if not more:
            raise Problem("the broker ended the session")
        return more

    def _handle(self, kind, body):
        if kind & 0xF0 == _PUBLISH:
            if body is not None:
                self._message(kind, body)
        elif kind == _PINGRESP:
            self._ping_sent = None
        else:
            raise Problem("the broker sent what nobody asked for")

    def _message(self, kind, body):
        qos = kind >> 1 & 3
        length = 2 + int.from_bytes(body[:2], "big")
        start = length + 2 if qos else length
        # QoS 2 was never asked for.
        if len(body) < max(start, 2) or qos > 1:
            raise Problem("the broker does not speak MQTT")
        try:
            topic = body[2:length].decode()
            payload = bytes(memoryview(body)[start:])
        except UnicodeError:
            raise Problem("the broker does not speak MQTT")
        except MemoryError:
            self._on_too_large(body[2 : min(length, 2 + _PIECE)], len(body))
        else:
            self._on_message(topic, payload)
        if qos:
            self._send(_PUBACK, body[length:start])
