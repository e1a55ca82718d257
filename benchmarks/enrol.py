"""Enrolments a second through the whole gateway, in units of `cfssl serve` behind the same nginx.

    PYTHONPATH=. python benchmarks/enrol.py [--rounds N] [--count N] [--clients N…] [--requests N] [--keep]

A virtual Pi is set up by the project's own playbooks. Clients with connections that stay open enrol devices, each with
a token and a key of its own, and have cfssl sign the same requests, in turns: what else this machine does hits both
alike. cfssl (from Debian, in the same virtual Pi, with a P-256 key) stores nothing; here each answer is durable.

Printed are the rates with their ratio, the time that an answer took at the median, for 99 of 100 and at most, how many
answers the slowest client got, and the CPU time that the units of the service took for an enrolment. `--requests` asks
as often for certificates that were issued already, and says how much memory the service had before and afterwards.

Exits 1 when the ratio is below the limit, or an answer was none.
"""

import argparse
import base64
import hashlib
import json
import os
import secrets
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.documents.registration import FORMAT
from virtual import demo
from virtual.pi import container
from virtual.purpose import ROOT, Purpose

# What is wanted of the ratio, and what a change must not make worse.
AIM, LIMIT = 0.5, 0.1
SITE, GATEWAY, BATCH = "demo", "gateway", "bench"
# More than any client of these asks for: what is measured is the service, not the limit of nginx.
UNLIMITED = {"nginx_enrol_rate": "100000", "nginx_enrol_burst": "100000"}
IN_A_DOCUMENT = 200
PATIENCE = 60
# MiB that the service may need more after many requests.
GROWTH = 5
_FLEETMINT = "runuser -u fleetmint -- /opt/fleetmint/bin/fleetmint gateway"

_CFSSL = "/root/cfssl"
_CONFIG = {"signing": {"default": {"expiry": "8760h", "usages": ["digital signature", "client auth"]}}}
_CA = {"CN": "bench", "key": {"algo": "ecdsa", "size": 256}}
_NGINX = "/etc/nginx/nginx.conf"
_DEVICES = "    # The devices' listener.\n    server {\n"
# With connections that stay open, as cfssl's own clients have them.
_UPSTREAM = "    upstream cfssl {\n        server 127.0.0.1:8888;\n        keepalive 64;\n    }\n"
_LOCATION = """        location /cfssl/ {
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass http://cfssl/api/v1/cfssl/;
        }
"""


@dataclass(frozen=True)
class Turn:
    """What came of one turn: seconds each answer took, by client, and how long all of it lasted."""

    answers: Sequence[Sequence[float]]
    seconds: float
    refused: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(map(len, self.answers)) / self.seconds

    @property
    def sorted(self) -> list[float]:
        """How long each answer took, the shortest first."""
        return sorted(each for client in self.answers for each in client)


class Site:
    """The virtual Pi, and how to reach it."""

    def __init__(self, purpose: Purpose) -> None:
        self.purpose = purpose
        self.pi = container.of(purpose.name)
        self._numbers = iter(range(1, 10**9))

    def bring_up(self) -> None:
        """Make the site, or bring it up to date, and start cfssl on it."""
        demo.run(demo.pi("up", self.purpose), self.purpose)
        demo.playbook("ca.yml", self.purpose)
        demo.playbook("gateway.yml", self.purpose, UNLIMITED)
        demo.say("Starting cfssl behind the same nginx")
        self._inside("apt-get install -qq -y golang-cfssl >/dev/null 2>&1")
        self._inside(f"mkdir -p {_CFSSL}; cat >{_CFSSL}/config.json", json.dumps(_CONFIG))
        self._inside(f"cd {_CFSSL}; test -f ca.pem || (cfssl genkey -initca - | cfssljson -bare ca)", json.dumps(_CA))
        serve = f"cfssl serve -address 127.0.0.1 -port 8888 -ca {_CFSSL}/ca.pem -ca-key {_CFSSL}/ca-key.pem"
        serve += f" -config {_CFSSL}/config.json -loglevel 5"
        self._inside(f"systemctl is-active -q bench-cfssl || systemd-run -q --unit=bench-cfssl {serve}")
        config = self._inside(f"cat {_NGINX}")
        if _UPSTREAM not in config:
            config = config.replace(_DEVICES, _UPSTREAM + _DEVICES + _LOCATION)
            self._inside(f"cat >{_NGINX} && nginx -t -q && systemctl reload nginx", config)

    def register(self, count: int) -> list[tuple[str, str]]:
        """Return new devices that the ledger knows, with their tokens."""
        made = [(f"bench-{next(self._numbers):07}", secrets.token_hex(16)) for _ in range(count)]
        for begin in range(0, count, IN_A_DOCUMENT):
            self._inside(f"{_FLEETMINT} import", json.dumps(_registration(made[begin : begin + IN_A_DOCUMENT])))
        return made

    def certificates(self) -> int:
        """Return how many certificates the ledger has."""
        listed = json.loads(self._inside(f"{_FLEETMINT} devices --json"))
        return sum(each["serial"] is not None for each in listed)

    def cpu_seconds(self) -> float:
        """Return the CPU time that the processes of the service have taken."""
        ticks = [sum(map(int, line.rpartition(")")[2].split()[11:13])) for line in self._of_each("stat").splitlines()]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return how much memory the processes of the service have for themselves, in KiB."""
        lines = self._of_each("status").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

    def _of_each(self, file: str) -> str:
        return self._inside(f"for each in $(pgrep -u fleetmint); do cat /proc/$each/{file}; done")

    def _inside(self, command: str, stdin: str | None = None) -> str:
        return self.pi.execute("sh", "-c", command, stdin=stdin)


class Client(threading.Thread):
    """One client with a connection that stays open: sends its requests one after the other."""

    def __init__(self, context: ssl.SSLContext, port: int, requests: Iterator[bytes], begin: threading.Barrier) -> None:
        super().__init__()
        self._context, self._port, self._requests, self._begin = context, port, requests, begin
        self.answers: list[float] = []
        self.refused: list[bytes] = []

    def run(self) -> None:
        """Send requests until there are none left."""
        with (
            socket.create_connection(("localhost", self._port), timeout=PATIENCE) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin.wait()
            for request in self._requests:
                started = time.perf_counter()
                connection.sendall(request)
                answer = _answer(connection)
                self.answers.append(time.perf_counter() - started)
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.refused.append(answer)


def _answer(connection: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or _hang_up(data)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].split(b":")[1]) - len(body)
    while left > 0:
        body += connection.recv(65536) or _hang_up(data)
        left = int(lengths[0].split(b":")[1]) - len(body)
    return head + body


def _hang_up(data: bytes) -> bytes:
    raise SystemExit(f"the gateway hung up after {data[:200]!r}")


class Requests:
    """Requests that are handed out once each, to whichever client asks first."""

    def __init__(self, made: Sequence[bytes]) -> None:
        self._left = list(reversed(made))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._left.pop()
        except IndexError:
            raise StopIteration from None


def turn(site: Site, made: Sequence[bytes], clients: int) -> Turn:
    """Have that many clients send these requests."""
    context = ssl.create_default_context(cafile=str(site.purpose.state / "ca/server/ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    begin = threading.Barrier(clients + 1, timeout=PATIENCE)
    port = site.pi.ports()["https"]
    requests = Requests(made)
    threads = [Client(context, port, requests, begin) for _ in range(clients)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    refused = [each for thread in threads for each in thread.refused]
    if refused:
        sys.stderr.write(f"{refused[0][:600]!r}\n")
    return Turn([thread.answers for thread in threads], seconds, len(refused))


def _registration(devices: Sequence[tuple[str, str]]) -> dict[str, object]:
    expires = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}"
    entries = [
        {"device": name, "token_sha256": hashlib.sha256(token.encode()).hexdigest(), "token_expires": expires}
        for name, token in devices
    ]
    return {"format": FORMAT, "site": SITE, "gateway": GATEWAY, "batch": BATCH, "devices": entries}


def _csr() -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def _post(path: str, body: dict[str, str]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return f"{head}\r\n\r\n".encode() + data


def _ours(device: str, token: str, csr: x509.CertificateSigningRequest) -> bytes:
    der = base64.b64encode(csr.public_bytes(serialization.Encoding.DER)).decode()
    return _post("/v1/enrol", {"device": device, "token": token, "csr": der})


def _theirs(csr: x509.CertificateSigningRequest) -> bytes:
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    return _post("/cfssl/sign", {"certificate_request": pem, "hostname": "bench"})


def measure(site: Site, rounds: int, count: int, clients: int) -> bool:
    """Measure with so many clients, print, and return whether the limit is kept."""
    ours, theirs, spent = [], [], 0.0
    for _ in range(rounds):
        requests = [_csr() for _ in range(count)]
        enrolments = [_ours(*device, csr) for device, csr in zip(site.register(count), requests, strict=True)]
        theirs.append(turn(site, [_theirs(csr) for csr in requests], clients))
        before = site.cpu_seconds()
        ours.append(turn(site, enrolments, clients))
        spent += site.cpu_seconds() - before
    ratio = statistics.median(mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True))
    refused = sum(each.refused for each in (*ours, *theirs))
    demo.say(f"{clients} clients, {rounds} turns of {count}")
    for name, turns in (("fleetmint", ours), ("cfssl", theirs)):
        times = sorted(each for one in turns for each in one.sorted)
        fewest = min(len(client) for one in turns for client in one.answers)
        sys.stdout.write(
            f"{name:10} {statistics.median(one.rate for one in turns):7.0f}/s, answers after"
            f" {_milliseconds(times, 0.5)} at the median, {_milliseconds(times, 0.99)} for 99 of 100,"
            f" {times[-1] * 1e3:.0f} ms at most; the slowest client got {fewest} of {count // clients}\n"
        )
    sys.stdout.write(
        f"ratio {ratio:.2f} (aim {AIM:g}, limit {LIMIT:g}); {spent / rounds / count * 1e3:.2f} ms of CPU an enrolment"
        f" in fleetmint.service; {refused} refused\n"
    )
    return ratio >= LIMIT and not refused


def _milliseconds(times: Sequence[float], part: float) -> str:
    return f"{times[min(int(len(times) * part), len(times) - 1)] * 1e3:.0f} ms"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="Enrolments a second, in units of cfssl behind the same nginx.")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side [%(default)s]")
    parser.add_argument("--count", type=int, default=400, help="certificates in a turn [%(default)s]")
    parser.add_argument("--clients", type=int, nargs="+", default=[8, 64], help="at once [8 64]")
    parser.add_argument("--requests", type=int, default=0, help="ask as often again, and measure the memory [0]")
    parser.add_argument("--purpose", default="bench", help="name of the virtual site [%(default)s]")
    parser.add_argument("--keep", action="store_true", help="leave the site as it is for another run")
    options = parser.parse_args(arguments)
    purpose = Purpose(options.purpose, ROOT / "inventory/virtual/state" / options.purpose)
    site = Site(purpose)
    try:
        site.bring_up()
        kept = [measure(site, options.rounds, options.count, clients) for clients in options.clients]
        if options.requests:
            kept.append(again(site, options.requests))
    finally:
        if not options.keep:
            demo.take_down(purpose)
    return 0 if all(kept) else 1


def again(site: Site, count: int) -> bool:
    """Ask for certificates that were issued already; print what that did to the memory of the service."""
    known = [_ours(*device, _csr()) for device in site.register(IN_A_DOCUMENT)]
    turn(site, known, 8)
    sizes = []
    for part in range(11):
        if part:
            turn(site, known * (count // 10 // IN_A_DOCUMENT), 8)
        sizes.append(site.memory())
    grown = (sizes[-1] - sizes[1]) / 1024
    sys.stdout.write(f"memory after each tenth of {count} requests, MiB: {[round(size / 1024, 1) for size in sizes]}\n")
    return abs(grown) <= GROWTH


if __name__ == "__main__":
    sys.exit(main())
