"""Reading the bodies of requests for the service, so that a slow one costs no worker and gets its answer.

    nginx ── uwsgi protocol, body as it comes ──> this ── the same, in one piece ──> uWSGI

nginx alone would wait for a slow body too, but then hangs up without a word; and a worker of uWSGI that waited itself
would answer nobody else meanwhile. What nginx says of the client goes through as it is, byte by byte.
https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

import argparse
import asyncio
import json
import logging
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from fleetmint.service.counters import PASSED_ON, READING, Counters, refused

_log = logging.getLogger(__name__)

_HEADER_SIZE = 4
_CHUNK = 65536
# However steadily it trickles: the service would not wait longer for its own answer either.
_WHOLE_BODY = 3
# the service's account owns the socket, and the web server's group may use it
_MODE = 0o660


class MalformedError(Exception):
    """What came is not a request of the uwsgi protocol."""


async def handle(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    service: Path,
    seconds: float,
    largest: int,
    counters: Counters,
) -> None:
    """Answer a request: 408 when its body pauses for `seconds`, 413 when it is too large, else what `service` says."""
    try:
        await _answer(reader, writer, service, seconds, largest, counters)
    except (MalformedError, OSError, asyncio.IncompleteReadError) as error:
        # nginx says 503 to a client that is still there
        _log.debug("a request ended early: %s", error)
    finally:
        writer.close()


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    service: Path,
    seconds: float,
    largest: int,
    counters: Counters,
) -> None:
    head = await reader.readexactly(_HEADER_SIZE)
    variables = await reader.readexactly(int.from_bytes(head[1:3], "little"))
    length = content_length(variables)
    if length > largest:
        await _refuse(writer, "413 Request Entity Too Large", "request_entity_too_large", counters)
        return
    try:
        async with asyncio.timeout(_WHOLE_BODY * seconds):
            with counters.during(READING):
                body = await _body(reader, length, seconds)
    except TimeoutError:
        await _refuse(writer, "408 Request Timeout", "request_timeout", counters)
        return
    with counters.during(PASSED_ON):
        await _pass_on(head + variables + body, writer, service)


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


async def _body(reader: asyncio.StreamReader, length: int, seconds: float) -> bytes:
    found = bytearray()
    while len(found) < length:
        async with asyncio.timeout(seconds):
            chunk = await reader.read(min(_CHUNK, length - len(found)))
        if not chunk:
            raise asyncio.IncompleteReadError(bytes(found), length)
        found += chunk
    return bytes(found)


async def _pass_on(request: bytes, writer: asyncio.StreamWriter, service: Path) -> None:
    answer, to_service = await asyncio.open_unix_connection(service)
    try:
        to_service.write(request)
        # the service may answer before it has read all, and hang up
        with suppress(ConnectionError):
            await to_service.drain()
        while chunk := await answer.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    finally:
        to_service.close()


async def _refuse(writer: asyncio.StreamWriter, status: str, error: str, counters: Counters) -> None:
    counters.add(refused(error))
    body = json.dumps({"error": error, "message": status.partition(" ")[2]}).encode() + b"\n"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Cache-Control: no-store\r\n\r\n".encode() + body)
    await writer.drain()


async def serve(
    socket: Path, service: Path, *, group: str | None, seconds: float, largest: int, counters: Counters
) -> None:
    """Listen on the Unix socket `socket`, which `group` may use, for ever."""
    socket.unlink(missing_ok=True)
    answer = partial(handle, service=service, seconds=seconds, largest=largest, counters=counters)
    server = await asyncio.start_unix_server(answer, socket, backlog=1024)
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
    asyncio.run(
        serve(
            chosen.socket,
            chosen.service,
            group=chosen.group,
            seconds=chosen.seconds,
            largest=chosen.largest,
            counters=Counters(chosen.counters, "bodies"),
        )
    )


if __name__ == "__main__":
    main()
