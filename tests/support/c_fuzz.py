"""The fuzzer over everything in the C core that reads what others have written: `make fuzz` has it run for minutes.

Its loop is the project's own, for gcc: clang, whose libFuzzer does the same, would be 250 MB more on every machine that
runs the tests.
"""

import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.x509.authority import pem
from fleetmint.x509.keys import device_der
from tests.support import c_bearssl
from tests.support.c_build import SANITIZED, STRICT, Build
from tests.support.firmware_site import make_site

TARGETS = (
    "address", "base64", "bundle", "calendar", "cert", "certificate", "http", "identity", "json", "key", "mqtt", "ntp",
    "outbox", "pem", "standing", "typed", "utf8",
)  # fmt: skip
_COVERAGE = "-fsanitize-coverage=trace-pc,trace-cmp"
# Reads certificates, for BearSSL.
_ADDRESSES = "port/bearssl/address.c"
_DATE = "Sun, 22 Nov 2026 01:28:00 GMT"


def program(build: Build, targets: str | Path = "fuzz/targets.c") -> Path:
    """Return the fuzzer with these targets. Its loop is no part of what is watched."""
    flags = (*STRICT, *SANITIZED, _COVERAGE, f"-I{build.core / 'fuzz'}", *c_bearssl.PORT)
    watched = Build(build.directory, flags=flags)
    loop = str(build.compiled("fuzz/loop.c"))
    # The sanitizer asks the program for what is to be called at a memcmp.
    return watched.program(targets, _ADDRESSES, *build.sources, libraries=(loop, "-rdynamic"))


def seeds(directory: Path) -> dict[str, list[Path]]:
    """Write what the fuzzer begins with, by target: replies, bundles, packets as they are when nothing is wrong."""
    found: dict[str, list[Path]] = {}
    for number, (target, data) in enumerate(_seeds()):
        path = directory / f"{target}-{number}"
        path.write_bytes(data)
        found.setdefault(target, []).append(path)
    return found


def fuzz(fuzzer: Path, target: str, amount: str, seed: int, begin: list[Path], directory: Path) -> str:
    """Let one target run so long, "20000" for runs and "60s" for seconds; return what is said of it.

    Raises AssertionError with what the sanitizer says when it has found a fault; the input is in `directory`.
    """
    command = [str(fuzzer), target, amount, str(seed), *(str(path) for path in begin)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\nAgain with: {' '.join(command)}"
    return done.stdout.strip()


def _seeds() -> Iterator[tuple[str, bytes]]:
    site = make_site(datetime.now(UTC).replace(microsecond=0))
    certificates = [site.server_ca.certificate, site.device().certificate]
    whoami = {"serial": "1f2e", "not_after": "2027-07-28T00:00:00Z", "renew_at": "2027-03-28T00:00:00Z", "renew": False}
    body = json.dumps({**whoami, "new_key": True, "trust_bundle": "0.7"}).encode()
    yield "base64", b"QUJDRA=="
    yield "bundle", site.bundle(7).encode()
    yield "calendar", _DATE.encode()
    yield "calendar", b"2027-07-28T00:00:00Z"
    yield "http", f"\x07HTTP/1.1 200 OK\r\nDate: {_DATE}\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nhello".encode()
    yield "http", b"\x01HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
    yield "identity", json.dumps([["workshop", "correct horse"], ["a\u00e4", ""]]).encode()
    yield "json", body
    yield "json", b'{"a": [1, -2.5e3, true, null, "\\ud83d\\ude00\\n", {"error": ["x"]}]}'
    yield "key", device_der(site.release_key)
    yield "mqtt", b"\x03\x20\x02\x00\x00\x40\x02\x00\x01\x32\x07\x00\x01t\x00\x09ok\xd0\x00"
    yield "mqtt", b"\x47\x20\x02\x00\x00\x90\x03\x00\x01\x01\x30\x80\x01\x00\x03big" + bytes(123)
    yield "ntp", b"\x24\x01" + bytes(22) + bytes(range(1, 9)) + bytes(8) + struct.pack(">II", 3_950_000_000, 0)
    yield "outbox", b'\x08{"a": 1}\0\x01hello\0\x03world\0\x04{}\0'
    yield "pem", pem(*certificates)
    yield "standing", body
    yield "typed", b'workshop \'correct horse\'\r\n"a b" "c\\"d"\n'
    yield "utf8", "aä€😀".encode()
    server = site.server("gateway.local", "192.0.2.1", "2001:db8::7").certificate.public_bytes(Encoding.DER)
    for number, der in enumerate([server, *(each.public_bytes(Encoding.DER) for each in certificates)]):
        yield "cert", der
        yield "address", bytes([2 * number + 1]) + der
        yield "certificate", json.dumps({"certificate": base64.b64encode(der).decode()}).encode()


def main() -> int:
    """Fuzz every target for so many seconds each, as many at a time as there are processors."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    seed = int(datetime.now(UTC).timestamp())
    place = Path(tempfile.mkdtemp(prefix="fleetmint-fuzz-"))
    fuzzer, begin = program(Build(place / "objects")), seeds(place)
    sys.stdout.write(f"{len(TARGETS)} targets, {seconds} s each, seed {seed}, in {place}\n")

    def one(target: str) -> bool:
        try:
            told, good = fuzz(fuzzer, target, f"{seconds}s", seed, begin.get(target, []), place), True
        except AssertionError as error:
            told, good = f"{target}: {error}", False
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
        return good

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(one, TARGETS))) else 1


if __name__ == "__main__":
    sys.exit(main())
