"""The reader of HTTP replies in the C core: replies as nginx sends them, in pieces, and those that must be refused."""

import pytest

from tests.support.c_lines import ask, data

OK = b"HTTP/1.1 200 OK\r\n"
DATE = b"Date: Sun, 22 Nov 2026 01:28:00 GMT\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(parsers, reply, *, piece=4096, room=100):
    (answer,) = ask(parsers, [("http", reply, piece, room)])
    return (answer[0], None) if answer[0] != "0" else (answer[1:4], data(answer[4]))


@pytest.mark.parametrize("piece", [1, 2, 7, 4096])
def test_a_reply_is_read_in_pieces_of_any_size(parsers, piece):
    reply = b"HTTP/1.1 503 Service Unavailable\r\nserver: nginx\r\n" + DATE
    reply += b"RETRY-AFTER:  120 \r\nContent-Length: 11\r\nX-Long: " + b"x" * 300 + b"\r\n\r\nhello world"
    assert read(parsers, reply, piece=piece) == (["503", "120", "848626080"], b"hello world")


@pytest.mark.parametrize("piece", [1, 3, 4096])
def test_chunks_are_put_together(parsers, piece):
    reply = CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n00\r\nX-Trailer: 1\r\n\r\n"
    assert read(parsers, reply, piece=piece) == (["200", "0", "0"], b"hello world")


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.0 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (OK + b"Content-Length: 2\r\n\r\nok and more", b"ok"),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
        (OK + b"Content-Length: 2\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nDate: today\r\n\r\nok", b"ok"),
        (OK + b"Content-Length: 2\r\nX: " + "grün".encode() + b"\r\n\r\nok", b"ok"),
    ],
)
def test_replies_that_are_unusual_are_read(parsers, reply, body):
    assert read(parsers, reply)[1] == body


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 099 OK\r\n",
        b"HTTP/1.1  200 OK\r\n",
        OK + b"\r\n",
        OK + b"no colon\r\n",
        OK + b": nothing\r\n",
        OK + b"Content-Length : 2\r\n",
        OK + b" Content-Length: 2\r\n",
        OK + b"Content-Length: -2\r\n\r\n",
        OK + b"Content-Length: +2\r\n\r\n",
        OK + b"Content-Length: 2,2\r\n\r\n",
        OK + b"Content-Length:\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Content-Length: 2\nX: y\r\n\r\nok",
        OK + b"X: a\rb\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"g\r\n",
        CHUNKED + b" 5\r\nhello\r\n",
        CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\n",
    ],
)
def test_what_is_no_reply_is_refused(parsers, reply):
    assert read(parsers, reply + b"and so on") == ("BAD", None)


@pytest.mark.parametrize(
    "reply",
    [
        OK + b"Content-Length: 101\r\n\r\n",
        OK + b"Content-Length: 4294967297\r\n\r\n",
        OK + b"Content-Length: " + b"0" * 90 + b"1\r\n\r\n",
        OK + b"X: " + b"y" * 4096,
        OK + b"X: y\r\n" * 700,
        CHUNKED + b"65\r\n",
        CHUNKED + b"ffffffff\r\n",
        CHUNKED + b"60\r\n" + b"x" * 96 + b"\r\n5\r\n",
        CHUNKED + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 700,
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(parsers, reply):
    assert read(parsers, reply) == ("TOO_LONG", None)
    assert read(parsers, reply + b"more", piece=1) == ("TOO_LONG", None)


@pytest.mark.parametrize("reply", [OK + b"Content-Length: 12\r\n\r\nhello world", CHUNKED + b"5\r\nhello\r\n0\r\n"])
def test_a_reply_that_ends_early_is_not_there(parsers, reply):
    for size in range(len(reply)):
        assert read(parsers, reply[: size + 1]) == ("1", None)


def test_a_large_body_goes_through_in_pieces_and_ends_when_they_are_not_taken(parsers):
    reply = OK + b"Content-Length: 10\r\n\r\n0123456789"
    head = len(reply) - 10
    (answer,) = ask(parsers, [("http-sink", reply, head + 4, 10, 9)])
    assert answer == [b"0123".hex(), b"456789".hex(), "0", "200", "0", "0"]
    (answer,) = ask(parsers, [("http-sink", reply, head + 4, 10, 1)])
    assert answer[-1] == "IO"
    (answer,) = ask(parsers, [("http-sink", reply, head + 4, 9, 9)])
    assert answer == ["TOO_LONG"]
