"""Say hello to whoever is at the gateway, and by which certificate: an application behind nginx and uWSGI.

nginx has verified the certificate, and sets each of these for each request; no header of a client can.
"""

from collections.abc import Callable, Iterable, Mapping

HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]


def application(environ: Mapping[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer one request, as PEP 3333 has it."""
    start_response("200 OK", HEADERS)
    if environ["SSL_CLIENT_VERIFY"] != "SUCCESS":
        return [b"Hello, stranger: you have shown no certificate.\n"]
    name, serial = environ["SSL_CLIENT_S_DN_CN"], environ["SSL_CLIENT_M_SERIAL"]
    return [f"Hello {name}: certificate {serial} is in order.\n".encode()]
