"""The loopback ports of a virtual Pi: chosen once, kept in the site's state, because boards are told them."""

import errno
import json
import random
import socket
from collections.abc import Mapping
from pathlib import Path

from fleetmint.files import write_atomically
from virtual.pi.command import PiError

# what we call a port -> the port inside the Pi
INSIDE = {
    "ssh": 22, "http": 80, "https": 443, "operators": 8443, "mqtt": 8883, "mqtt_operators": 8884,
    "https_modern": 9443, "mqtt_modern": 9883,
}  # fmt: skip
# What a Pi that was made before had not: it is made anew, since podman publishes ports at no other time.
LATER = ("https_modern", "mqtt_modern")
# below the range from which the kernel takes the ports of outgoing connections
RANGE = range(20000, 32000)
ADDRESS = "127.0.0.1"


def load_or_choose(file: Path) -> dict[str, int]:
    """Return the ports kept in `file`; choose free ones for those that it lacks, and keep them."""
    known = load(file) if file.exists() else {}
    missing = [name for name in INSIDE if name not in known]
    if not missing:
        return known
    ports = {**known, **dict(zip(missing, choose(len(missing)), strict=True))}
    write_atomically(file, (json.dumps(ports, indent=2) + "\n").encode(), mode=0o644)
    return ports


def load(file: Path) -> dict[str, int]:
    """Return the ports kept in `file`; raise PiError when they are not the ones of a Pi."""
    try:
        ports = json.loads(file.read_text())
        return {name: int(ports[name]) for name in INSIDE if name in ports or name not in LATER}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PiError(f"{file} is damaged ({error!r}): remove it, and new ports are chosen") from error


def choose(count: int) -> list[int]:
    """Return `count` different free ports."""
    candidates = random.sample(RANGE, len(RANGE))
    free = [port for port in candidates[: 50 * count] if is_free(port)][:count]
    if len(free) < count:
        raise PiError(f"no {count} free ports between {RANGE.start} and {RANGE.stop} on {ADDRESS}: end some programs")
    return free


def require_free(ports: Mapping[str, int], file: Path) -> None:
    """Raise PiError when another program has taken one of the kept ports."""
    taken = [f"{port} ({name})" for name, port in ports.items() if not is_free(port)]
    if taken:
        raise PiError(
            f"port {', '.join(taken)} on {ADDRESS} is taken by another program, and the boards were told to use it: "
            f"end that program (`ss -ltnp` names it), or remove {file.parents[1]} to start over with new ports"
        )


def is_free(port: int) -> bool:
    """Whether a program could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise PiError(f"cannot listen on {ADDRESS}:{port}: {error.strerror}") from error
    return True
