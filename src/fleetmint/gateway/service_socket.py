"""Asking the signing service itself, past the web server: whether it answers, and what it says of its health.

systemd runs this by itself before it calls the service started, and imports as little as can be: the application loads
at the same time. https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

import argparse
import socket
import sys
from pathlib import Path

from fleetmint.errors import StateError

HEALTH = "/healthz"
_STATUS = slice(9, 12)  # behind "HTTP/1.1 "


def health(path: Path, seconds: float) -> int:
    """Return the status that the service says of its health; raise StateError when it does not answer."""
    try:
        return _ask(path, HEALTH, seconds)
    except (OSError, ValueError) as error:
        said = f"it takes longer than {seconds:g} s" if isinstance(error, TimeoutError) else str(error)
        raise StateError(
            f"the signing service does not answer ({said}): it is not running, or its application did not load;"
            " `sudo journalctl -u fleetmint -n 30` says why"
        ) from error


def _ask(path: Path, route: str, seconds: float) -> int:
    # waits in the queue of the socket while the application loads
    variables = {"REQUEST_METHOD": "GET", "PATH_INFO": route, "REQUEST_URI": route, "SERVER_PROTOCOL": "HTTP/1.1"}
    variables |= {"SERVER_NAME": "localhost", "SERVER_PORT": "0", "QUERY_STRING": "", "CONTENT_LENGTH": ""}
    words = [word.encode() for pair in variables.items() for word in pair]
    data = b"".join(len(word).to_bytes(2, "little") + word for word in words)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.sendall(b"\0" + len(data).to_bytes(2, "little") + b"\0" + data)
        answer = b""
        while len(answer) < _STATUS.stop and (chunk := connection.recv(4096)):
            answer += chunk
    if not answer:
        raise ConnectionError("it hung up")
    return int(answer[_STATUS])


def main() -> None:
    """Wait until the service answers, whatever it says: `python -m fleetmint.gateway.service_socket`."""
    parser = argparse.ArgumentParser(description="Wait until the signing service answers.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    chosen = parser.parse_args()
    try:
        health(chosen.socket, chosen.seconds)
    except StateError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
