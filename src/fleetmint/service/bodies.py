"""Reading the bodies of requests for the service, so that a slow one costs no worker and gets its answer.

    nginx ── uwsgi protocol, body as it comes ──> this ── the same, in one piece ──> uWSGI

nginx alone would wait for a slow body too, but then hangs up without a word; and a worker of uWSGI that waited itself
would answer nobody else meanwhile. What nginx says of the client goes through as it is, byte by byte.
https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

import argparse
import asyncio
import importlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from fleetmint.service.counters import PASSED_ON, READING, Counters, refused

_log = logging.getLogger(__name__)

_HEADER_SIZE = 4
# However steadily it trickles: the service would not wait longer for its own answer either.
_WHOLE_BODY = 3
# Requests that are with the service at once: far fewer than wait in the queue of its socket (uwsgi.ini), which nginx
# uses too, for what has no body; one that finds it full is hung up on. The others wait here.
_AT_ONCE = 64
# the service's account owns the socket, and the web server's group may use it
_MODE = 0o660


class MalformedError(Exception):
    """What came is not a request of the uwsgi protocol."""


@dataclass(frozen=True)
class Limits:
    """What a body may cost: a pause of so many seconds, so many bytes."""

    seconds: float
    largest: int


class Asked(asyncio.Protocol):
    """A request of nginx, as it comes.

    The answer is 408 when its body pauses or trickles for too long, 413 when it is too large, and else what `service`
    says. Protocols and not streams, because each enrolment comes this way: there is no task to switch to until a
    request is whole, which most are at once.
    """

    def __init__(self, service: Path, limits: Limits, counters: Counters, room: asyncio.Semaphore) -> None:
        self._service, self._limits, self._counters, self._room = service, limits, counters, room
        self._data = bytearray()
        self._whole: int | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._passing: asyncio.Task[None] | None = None
        self._service_says: asyncio.Transport | None = None
        self._counted: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what the answer goes to."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment] # a socket has such a one

    def data_received(self, data: bytes) -> None:
        """Take a piece; pass the request on when it is whole."""
        self._stop_timers()
        if self._passing is not None or self.transport.is_closing():
            return  # more than was announced
        self._data += data
        try:
            self._measure()
        except MalformedError as error:
            _log.debug("no request: %s", error)
            self.transport.close()  # nginx says 503 to a client that is still there
            return
        if self._whole is None:
            return
        if len(self._data) >= self._whole:
            self._count(PASSED_ON)
            self._passing = asyncio.get_running_loop().create_task(self._pass_on(bytes(self._data[: self._whole])))
        elif not self.transport.is_closing():
            self._wait_for_more()

    def eof_received(self) -> bool:
        """Forget a client that has left; nginx closes the other direction itself when it has the answer."""
        return self._passing is not None

    def connection_lost(self, error: Exception | None) -> None:
        """Forget everything about it."""
        self._stop_timers()
        self._count(None)
        if self._passing is not None:
            self._passing.cancel()
        if self._service_says is not None:
            self._service_says.close()

    def pause_writing(self) -> None:
        """Have the service wait while nginx does not take the answer."""
        if self._service_says is not None:
            self._service_says.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        if self._service_says is not None:
            self._service_says.resume_reading()

    def _measure(self) -> None:
        """Find out how long the request is, once its variables have come."""
        data = self._data
        if self._whole is not None or len(data) < _HEADER_SIZE:
            return
        begin = _HEADER_SIZE + int.from_bytes(data[1:3], "little")
        if len(data) < begin:
            return
        length = content_length(bytes(data[_HEADER_SIZE:begin]))
        if length > self._limits.largest:
            self._refuse("413 Request Entity Too Large", "request_entity_too_large")
        else:
            self._whole = begin + length

    def _wait_for_more(self) -> None:
        loop, seconds = asyncio.get_running_loop(), self._limits.seconds
        if self._counted is None:
            self._count(READING)
            self._until = loop.time() + _WHOLE_BODY * seconds
        end = min(loop.time() + seconds, self._until)
        self._timers.append(loop.call_at(end, self._refuse, "408 Request Timeout", "request_timeout"))

    def _stop_timers(self) -> None:
        while self._timers:
            self._timers.pop().cancel()

    async def _pass_on(self, request: bytes) -> None:
        async with self._room:
            answered = asyncio.get_running_loop().create_future()
            try:
                answering, _ = await asyncio.get_running_loop().create_unix_connection(
                    lambda: _Answer(self.transport, answered), str(self._service)
                )
            except OSError as error:
                _log.debug("the service cannot be asked: %s", error)
                self.transport.close()
                return
            self._service_says = answering
            answering.write(request)
            await answered

    def _refuse(self, status: str, error: str) -> None:
        self._counters.add(refused(error))
        body = json.dumps({"error": error, "message": status.partition(" ")[2]}).encode() + b"\n"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f"{head}Cache-Control: no-store\r\n\r\n".encode() + body)
        self.transport.close()

    def _count(self, key: str | None) -> None:
        """Count this request under `key`, and no longer under what it was counted before."""
        if self._counted is not None:
            self._counters.add(self._counted, -1)
        if key is not None:
            self._counters.add(key)
        self._counted = key


class _Answer(asyncio.Protocol):
    """What the service says, on its way to nginx."""

    def __init__(self, to: asyncio.Transport, answered: "asyncio.Future[None]") -> None:
        self._to, self._answered = to, answered

    def data_received(self, data: bytes) -> None:
        self._to.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._to.close()
        if not self._answered.done():
            self._answered.set_result(None)


def content_length(variables: bytes) -> int:
    """Return CONTENT_LENGTH out of the variables of a request, 0 when there is none; raise MalformedError."""
    found, at = {}, 0
    while at < len(variables):
        pair = []
        for _ in range(2):
            end = at + 2 + int.from_bytes(variables[at : at + 2], "little")
            if end > len(variables):
                raise MalformedError("a variable is longer than the request")
            pair.append(variables[at + 2 : end])
            at = end
        found[pair[0]] = pair[1]
    text = found.get(b"CONTENT_LENGTH") or b"0"
    if not text.isdigit():
        raise MalformedError("CONTENT_LENGTH is no number")
    return int(text)


async def serve(socket: Path, service: Path, limits: Limits, *, group: str | None, counters: Counters) -> None:
    """Listen on the Unix socket `socket`, which `group` may use, for ever."""
    socket.unlink(missing_ok=True)
    loop, room = asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)
    server = await loop.create_unix_server(lambda: Asked(service, limits, counters, room), socket, backlog=1024)
    if group is not None:
        shutil.chown(socket, group=group)
    socket.chmod(_MODE)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Start from the command line, which the service does: `python -m fleetmint.service.bodies`."""
    parser = argparse.ArgumentParser(description="Read the bodies of requests for the service.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--service", type=Path, required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--largest", type=int, required=True)
    parser.add_argument("--counters", type=Path, required=True)
    chosen = parser.parse_args()
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(
            serve(
                chosen.socket,
                chosen.service,
                Limits(chosen.seconds, chosen.largest),
                group=chosen.group,
                counters=Counters(chosen.counters, "bodies"),
            )
        )


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return Debian's uvloop, which takes a third of the time, where there is one."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


if __name__ == "__main__":
    main()
