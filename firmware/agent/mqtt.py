# A small MQTT 3.1.1 client (OASIS standard): connect, publish with QoS 1, subscribe, ping.

import asyncio
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


# One session on a stream, with a task that reads.
#
# `on_message(topic, payload)` is called by that task: it must not wait. Of a message that is too large for this device
# `on_too_large(topic, size)` is told instead; it is acknowledged, or the broker would send it again in every session.
# Every reply has to come within `within` milliseconds; the broker may close a session that is silent for `keepalive`
# seconds. Once the session has failed everything raises what it failed of.


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
        # Packets go out whole, and one question is asked at a time.
        self._writing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._wanted = self._wanted_id = self._reply = None
        # Set when a reply has come, and for good when the session has failed.
        self._news = asyncio.Event()
        self._failure = None
        self._reader = None

    async def connect(self, client_id, will=None):
        """Open the session. Raises Refused when the broker does not want this client.

        will: topic and payload that the broker publishes, and keeps, when this session ends without `close(True)`.
        """
        # A session without a past; the will with QoS 1, retained.
        flags = 0x02 if will is None else 0x2E
        head = b"\x04" + bytes((flags,)) + self._keepalive.to_bytes(2, "big")
        parts = [_string("MQTT"), head, _string(client_id)]
        if will is not None:
            topic, payload = will
            parts += [_string(topic), len(payload).to_bytes(2, "big"), payload]
        await self._send(0x10, *parts)
        kind, body = await self._packet(await self._stream.read(1, self._within))
        if kind != _CONNACK or len(body) != 2:
            raise Problem("the broker does not speak MQTT")
        if body[1] == 3:
            raise Problem("the broker is not available")
        if body[1]:
            raise Refused(f"the broker refuses the session: {_REFUSALS.get(body[1], body[1])}")
        self._reader = asyncio.create_task(self._read())

    async def publish(self, topic, payload, retain=False):
        """Publish with QoS 1; returns when the broker has taken the message over."""
        packet_id = self._next_id()
        body = await self._ask(_PUBACK, packet_id, _PUBLISH | 0x02 | retain, _string(topic), packet_id, payload)
        if len(body) != 2:
            raise Problem("the broker does not speak MQTT")

    async def subscribe(self, topic_filter):
        """Ask for messages with at most QoS 1."""
        packet_id = self._next_id()
        body = await self._ask(_SUBACK, packet_id, 0x82, packet_id, _string(topic_filter), b"\x01")
        if len(body) != 3 or body[2] & 0x80:
            raise Problem("the broker refuses the subscription")

    def check(self):
        """Raise what the session has failed of, if it has."""
        if self._failure:
            raise self._failure

    async def close(self, farewell=False):
        """Close the connection. With a farewell the broker forgets the will; without, it takes it for a failure."""
        try:
            if self._reader:
                self._reader.cancel()
                await self._reader
        except asyncio.CancelledError:
            pass
        try:
            if farewell and not self._failure:
                await self._send(0xE0)
        except Problem:
            # The connection is what failed.
            pass
        finally:
            self._stream.close()

    def _next_id(self):
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id.to_bytes(2, "big")

    async def _send(self, kind, *parts):
        async with self._writing:
            await self._stream.write(_packet(kind, *parts), self._within)
        self._sent = time.ticks_ms()

    async def _ask(self, wanted, packet_id, kind, *parts):
        # The reply `wanted` with this packet id. Messages and pings may come before it.
        async with self._asking:
            self.check()
            self._wanted, self._wanted_id, self._reply = wanted, packet_id, None
            self._news.clear()
            await self._send(kind, *parts)
            try:
                await asyncio.wait_for_ms(self._news.wait(), self._within)
            except asyncio.TimeoutError:
                raise Problem("the broker does not answer")
            finally:
                self._wanted = None
            self.check()
            return self._reply

    async def _read(self):
        try:
            while True:
                # What TLS has decrypted already does not wake a poll on every port: look before waiting.
                first = self._stream.peek()
                while first is None:
                    await self._stream.ready(await self._keep_alive())
                    first = self._stream.peek()
                await self._handle(*await self._packet(first))
        except Exception as error:
            self._failure = error
            self._news.set()

    async def _keep_alive(self):
        # Pings when that is due; milliseconds until there is something to do again.
        now = time.ticks_ms()
        if self._ping_sent is None:
            left = self._keepalive * 500 - time.ticks_diff(now, self._sent)
            if left > 0:
                return left
            await self._send(0xC0)
            self._ping_sent = now
        left = self._within - time.ticks_diff(now, self._ping_sent)
        if left <= 0:
            raise Problem("the broker does not answer")
        return left

    async def _packet(self, first):
        if not first:
            raise Problem("the broker ended the session")
        size = shift = 0
        while True:
            digit = (await self._exactly(1))[0]
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
                await self._fill(body)
                return kind, body
        if kind & 0xF0 != _PUBLISH:
            raise Problem("the broker does not speak MQTT")
        await self._drop(kind, size)
        return kind, None

    async def _drop(self, kind, size):
        # MQTT 3.1.1, 3.3.2: topic with its length, packet id if it has a QoS, payload.
        length = int.from_bytes(await self._exactly(2), "big")
        left = size - 2 - length
        if left < 0:
            raise Problem("the broker does not speak MQTT")
        kept = min(length, _PIECE)
        topic = await self._exactly(kept)
        await self._pass(length - kept)
        packet_id = None
        if kind >> 1 & 3:
            packet_id = await self._exactly(2)
            left -= 2
        await self._pass(left)
        self._on_too_large(topic, size)
        if packet_id:
            await self._send(_PUBACK, packet_id)

    async def _pass(self, size):
        while size > 0:
            size -= len(await self._some(min(size, _PIECE)))

    async def _exactly(self, size):
        data = bytearray(size)
        await self._fill(data)
        return data

    async def _fill(self, data):
        at = 0
        while at < len(data):
            more = await self._some(len(data) - at)
            data[at : at + len(more)] = more
            at += len(more)

    async def _some(self, size):
        # In pieces, since what is read is a copy that needs room of its own.
        more = await self._stream.read(min(size, _PIECE), self._within)
        if not more:
            raise Problem("the broker ended the session")
        return more

    async def _handle(self, kind, body):
        if kind == self._wanted and body[:2] == self._wanted_id:
            self._wanted = None
            self._reply = body
            self._news.set()
        elif kind & 0xF0 == _PUBLISH:
            if body is not None:
                await self._message(kind, body)
        elif kind == _PINGRESP:
            self._ping_sent = None
        else:
            raise Problem("the broker sent what nobody asked for")

    async def _message(self, kind, body):
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
            await self._send(_PUBACK, body[length:start])
