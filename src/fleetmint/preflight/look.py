"""What a Pi says about itself, as JSON. It is sent to the Pi's own Python through a pipe, so it needs nothing else."""

import errno
import json
import platform
import socket
import subprocess
import sys
import time


def look(addresses: list[str]) -> dict[str, object]:
    """Return the time, system, who listens where, and which addresses a server could not listen on, with the reason."""
    refused = {}
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((address.strip("[]"), 0))
        except OSError as error:
            refused[address] = errno.errorcode.get(error.errno or 0, str(error))
    listening = said("ss", "-Hltnp")
    with open("/etc/os-release") as file:  # noqa: PTH123 - it runs wherever the Pi's Python does
        release = file.read()
    # a kernel of 64 bits often runs below a system of 32
    architecture = said("dpkg", "--print-architecture").strip() or platform.machine()
    return {
        "time": time.time(),
        "refused": refused,
        "listening": listening,
        "release": release,
        "architecture": architecture,
    }


def said(*command: str) -> str:
    """Return what a program printed; nothing where it is not installed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return ""


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1:])))  # noqa: T201
