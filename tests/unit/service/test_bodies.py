"""What reads bodies for the service, between nginx and uWSGI."""

import asyncio
import re
import socket
import struct
import time

import pytest

from fleetmint.service import bodies
from fleetmint.service.bodies import MalformedError, content_length
from fleetmint.service.counters import PASSED_ON, READING, Counters

SECONDS, LARGEST = 0.3, 5000
ANSWER = b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 100_000


def variables(**values: str) -> bytes:
    words = [word.encode() for pair in values.items() for word in pair]
    return b"".join(struct.pack("<H", len(word)) + word for word in words)


def request(length: int | str, **more: str) -> bytes:
    """What nginx sends before the body."""
    data = variables(REQUEST_METHOD="POST", CONTENT_LENGTH=str(length), **more)
    return struct.pack("<BHB", 0, len(data), 0) + data


class Between:
    """The reader of bodies with a service behind it that keeps what it gets; `talk` is nginx."""

    def __init__(self, root):
        self.socket, self.service, self.got = root / "bodies.sock", root / "uwsgi.sock", []
        self.counters = Counters()

    def run(self, talk, *, service=True):
        async def everything():
            serving = asyncio.create_task(
                bodies.serve(
                    self.socket, self.service, bodies.Limits(SECONDS, LARGEST), group=None, counters=self.counters
                )
            )
            behind = await asyncio.start_unix_server(self._serve, self.service) if service else None
            while not self.socket.exists():
                await asyncio.sleep(0.01)
            try:
                return await asyncio.wait_for(talk(*await asyncio.open_unix_connection(self.socket)), 20)
            finally:
                serving.cancel()
                if behind is not None:
                    behind.close()

        return asyncio.run(everything())

    async def _serve(self, reader, writer):
        head = await reader.readexactly(4)
        data = await reader.readexactly(int.from_bytes(head[1:3], "little"))
        self.got.append(head + data + await reader.readexactly(content_length(data)))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@pytest.fixture
def between(tmp_path):
    return Between(tmp_path)


def said(*parts, pause=0.0, then=None):
    """Say the parts one after the other; return the whole answer."""

    async def talk(reader, writer):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        if then is not None:
            await then(writer)
        answer = await reader.read(-1)
        writer.close()
        return answer

    return talk


def status(answer: bytes) -> int:
    return int(re.match(rb"HTTP/1.1 (\d+) ", answer)[1])


@pytest.mark.parametrize("body", [b"", b"x", b"x" * LARGEST])
def test_a_whole_request_reaches_the_service_as_it_is_and_its_answer_comes_back(between, body):
    asked = request(len(body), FLEETMINT_CERT="x" * 3000) + body
    assert between.run(said(asked)) == ANSWER
    assert between.got == [asked]


def test_a_body_in_pieces_reaches_the_service_in_one(between):
    asked = request(6)
    assert between.run(said(asked[:2], asked[2:], b"ab", b"cd", b"ef", pause=0.05)) == ANSWER
    assert between.got == [asked + b"abcdef"]


def test_a_request_without_a_length_has_no_body(between):
    assert between.run(said(request(""))) == ANSWER


def test_a_body_that_pauses_is_told_408_and_the_service_never_hears_of_it(between):
    begun = time.monotonic()
    answer = between.run(said(request(6) + b"abc"))
    assert status(answer) == 408
    assert b'"error": "request_timeout"' in answer
    assert SECONDS <= time.monotonic() - begun < 10
    assert between.got == []


def test_a_body_that_trickles_is_told_408_in_the_end(between):
    async def trickle(reader, writer):
        writer.write(request(5000))
        answer = asyncio.create_task(reader.read(-1))
        while not answer.done():
            writer.write(b"x")
            await asyncio.sleep(SECONDS / 3)
        writer.close()
        return answer.result()

    assert status(between.run(trickle)) == 408
    assert between.got == []


def test_a_body_that_is_too_large_is_told_413_before_it_comes(between):
    assert status(between.run(said(request(LARGEST + 1)))) == 413


def test_a_client_that_leaves_is_forgotten(between):
    async def leave(writer):
        writer.write_eof()

    assert between.run(said(request(6) + b"abc", then=leave)) == b""
    assert between.got == []


def test_slow_ones_keep_nobody_waiting(between):
    async def talk(reader, writer):
        slow = [await asyncio.open_unix_connection(between.socket) for _ in range(50)]
        for _, each in slow:
            each.write(request(6) + b"abc")
        begun = time.monotonic()
        answer = await said(request(1), b"x")(reader, writer)
        waited = time.monotonic() - begun
        for _, each in slow:
            each.close()
        return answer, waited

    answer, waited = between.run(talk)
    assert answer == ANSWER
    assert waited < SECONDS


def test_without_a_service_nginx_is_hung_up_on_and_says_later(between):
    assert between.run(said(request(1), b"x"), service=False) == b""


@pytest.mark.parametrize(
    "data", [b"x", struct.pack("<H", 9) + b"short", variables(CONTENT_LENGTH="-1"), variables(CONTENT_LENGTH="1x")]
)
def test_what_is_no_request_is_refused(between, data):
    with pytest.raises(MalformedError):
        content_length(data)
    assert between.run(said(struct.pack("<BHB", 0, len(data), 0) + data)) == b""


def test_who_sends_and_who_waits_is_counted_while_they_do_and_a_refusal_for_ever(between):
    seen = []

    async def talk(reader, writer):
        writer.write(request(6) + b"abc")
        await asyncio.sleep(SECONDS / 3)
        seen.append(between.counters.total()[READING])
        writer.write(b"def")
        answer = await reader.read(-1)
        writer.close()
        return answer

    assert between.run(talk) == ANSWER
    assert status(between.run(said(request(LARGEST + 1)))) == 413
    found = between.counters.total()
    assert seen == [1]
    assert (found[READING], found[PASSED_ON], found["refused|request_entity_too_large"]) == (0, 0, 1)


def test_more_requests_at_once_than_wait_in_the_queue_of_the_service_are_all_answered(tmp_path):
    async def everything():
        busy = asyncio.Semaphore(4)

        async def answer(reader, writer):
            async with busy:
                await reader.readexactly(1)
            writer.write(ANSWER[:20])
            writer.close()
            await writer.wait_closed()

        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "uwsgi.sock"))
        listening.listen(100)  # as uWSGI
        limits = bodies.Limits(SECONDS, LARGEST)
        serving = asyncio.create_task(
            bodies.serve(tmp_path / "b.sock", tmp_path / "uwsgi.sock", limits, group=None, counters=Counters())
        )
        while not (tmp_path / "b.sock").exists():
            await asyncio.sleep(0.01)

        async def ask():
            reader, writer = await asyncio.open_unix_connection(tmp_path / "b.sock")
            writer.write(request(1) + b"x")
            answered = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answered

        asked = [asyncio.create_task(ask()) for _ in range(300)]
        await asyncio.sleep(0.5)  # nobody accepts meanwhile
        behind = await asyncio.start_unix_server(answer, sock=listening)
        found = await asyncio.wait_for(asyncio.gather(*asked), 20)
        serving.cancel()
        behind.close()
        return found

    assert all(asyncio.run(everything()))
