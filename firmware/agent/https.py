# The HTTP/1.1 client: one request, one reply of known length and limited size, then the connection is closed.

from agent.errors import Problem
from agent.stream import Stream

_LARGEST_HEAD = 4096


# What came back: `status`, `headers` (names in lower case) and `body`.


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


# Reads lines and counted bytes from a stream.


class _Reader:
    def __init__(self, stream, within):
        self._stream = stream
        self._within = within
        self._held = b""

    async def line(self, limit):
        while True:
            end = self._held.find(b"\r\n")
            if 0 <= end <= limit:
                line, self._held = self._held[:end], self._held[end + 2 :]
                return line
            if end > limit or len(self._held) > limit:
                raise Problem("the gateway's reply is too long")
            await self._more()

    async def exactly(self, size):
        while len(self._held) < size:
            await self._more()
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def _more(self):
        data = await self._stream.read(512, self._within)
        if not data:
            raise Problem("the gateway's reply ends early")
        self._held += data


async def _head(reader):
    words = (await reader.line(256)).split(None, 2)
    if len(words) < 2 or words[0] not in (b"HTTP/1.1", b"HTTP/1.0") or len(words[1]) != 3 or not words[1].isdigit():
        raise Problem("the gateway does not speak HTTP")
    headers = {}
    room = _LARGEST_HEAD
    while True:
        line = await reader.line(room)
        if not line:
            return int(words[1]), headers
        room -= len(line)
        name, colon, value = line.partition(b":")
        name = _text(name).lower()
        # Two different lengths are how replies are smuggled; any other header may come twice.
        if not colon or (name in headers and name in ("content-length", "transfer-encoding")):
            raise Problem("the gateway's reply has a bad header")
        headers[name] = _text(value).strip()


async def _body(reader, headers, limit):
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
            raise Problem("the gateway's reply has a bad length")
        body = b""
        while True:
            size = _size((await reader.line(64)).split(b";")[0].strip(), 16, limit - len(body))
            if not size:
                # Trailers say nothing of interest; the empty line after them ends the reply.
                while await reader.line(256):
                    pass
                return body
            body += await reader.exactly(size)
            if await reader.line(0):
                raise Problem("the gateway's reply has a bad length")
    return await reader.exactly(_size(headers.get("content-length", "").encode(), 10, limit))


def _size(digits, base, limit):
    # int() alone would also take signs, spaces and underscores.
    if not digits or any(digit not in b"0123456789abcdefABCDEF"[: 10 if base == 10 else 22] for digit in digits):
        raise Problem("the gateway's reply has a bad length")
    size = int(digits, base)
    if len(digits) > 9 or size > limit:
        raise Problem("the gateway's reply is too long")
    return size


def _text(data):
    # Header bytes outside ASCII are of no use here and must not raise.
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data)


async def request(
    context, host, port, method, path, body=b"", content_type="application/json", limit=8192, within=20_000
):
    """One request over a verified connection.

    Raises Problem when the gateway cannot be reached, is not who it should be, or sends less than it promised or
    more than `limit` bytes of body. Every status is a result, not an error.
    """
    stream = await Stream.open(context, host, port, within)
    try:
        name = f"[{host}]" if ":" in host else host
        lines = [f"{method} {path} HTTP/1.1", f"Host: {name}:{port}", "Connection: close", "User-Agent: fleetmint"]
        if body:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        await stream.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body, within)
        reader = _Reader(stream, within)
        status, headers = await _head(reader)
        while 100 <= status < 200:
            status, headers = await _head(reader)
        return Response(status, headers, b"" if status in (204, 304) else await _body(reader, headers, limit))
    finally:
        stream.close()
