"""Servers to talk to: TLS by Python's OpenSSL, and HTTP replies as a test wants them."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

Handler = Callable[[socket.socket], None]


def server_context(chain: Path, key: Path, client_ca: Path | None = None, *, ask: bool = False) -> ssl.SSLContext:
    """A server's context; with `client_ca` it demands a certificate of that CA, or accepts one if it only asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL if ask else ssl.CERT_REQUIRED
        # As on the gateways: a leaf is checked up to the root or to its issuing CA, whichever is there.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None, handler: Handler) -> Iterator[int]:
    """Serve every connection in a thread of its own; the value is the port. Without a context: plain TCP."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        # A client that goes away, or is turned away, is what many tests are about.
        with contextlib.suppress(OSError, ValueError):
            connection.settimeout(10)
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
                open_connections.append(connection)
            handler(connection)
            if isinstance(connection, ssl.SSLSocket):
                # Say good-bye, and do not wait for the other side's, as nginx does.
                connection.settimeout(0.05)
                connection.unwrap()
        connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@dataclass(frozen=True)
class Request:
    """What a client sent; `client` is the CN of its certificate, None without one, and `certificate` its DER."""

    line: str
    headers: dict[str, str]
    body: bytes
    client: str | None
    certificate: bytes | None = None


def common_name(connection: socket.socket) -> str | None:
    certificate: Any = (connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None) or {}
    names = dict(item[0] for item in certificate.get("subject", ()))
    return names.get("commonName")


def reply(status: str, body: bytes = b"", *headers: str, own_date: bool = False) -> bytes:
    """An ordinary HTTP reply; with `own_date` its Date is among the headers."""
    date = [] if own_date else [f"Date: {formatdate(usegmt=True)}"]
    head = [f"HTTP/1.1 {status}", *date, f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def http(answer: Callable[[Request], bytes], seen: list[Request]) -> Handler:
    """Read one request, keep it in `seen`, send the bytes that `answer` gives."""

    def handle(connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            line = file.readline().decode().strip()
            headers = {}
            while (header := file.readline().strip()) != b"":
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = file.read(int(headers.get("content-length", 0)))
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
        request = Request(line, headers, body, common_name(connection), shown)
        seen.append(request)
        connection.sendall(answer(request))

    return handle
