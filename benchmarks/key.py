"""What it costs to keep a device CA's key plain, sealed, or in a token, by the signature and by the start of a process.

    PYTHONPATH=. python benchmarks/key.py [--rounds N] [--count N]

A gateway's own code installs one CA in each way (systemd-creds with a host key of its own, SoftHSM2), opens it, and
signs with it: bare signatures over as many bytes as a certificate has, and whole certificates. The ways take turns in
one process, and what counts is the ratio to the plain key, in CPU time of the process and in wall time. SoftHSM2 is
software: a token that is hardware takes its own time. Its session is open already where it is opened here.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.gateway import device_ca
from fleetmint.gateway.ca_key import keeping
from fleetmint.gateway.config import Config
from fleetmint.x509 import keys
from fleetmint.x509.authority import Authority, pem
from tests.support.gateway_site import GatewaySite, make_gateway_site
from tests.support.sealing import Machine
from tests.support.softhsm import forget_modules, make_token

PLAIN = "plain"


class Cost:
    """Seconds of CPU and of wall time of one thing, one figure of each a turn."""

    def __init__(self) -> None:
        """Begin with none."""
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def take(self, work: Callable[[], object], count: int) -> None:
        """Do it `count` times; children that have ended are counted, too."""
        cpu, wall = _cpu(), time.perf_counter()
        for _ in range(count):
            work()
        self.cpu.append((_cpu() - cpu) / count)
        self.wall.append((time.perf_counter() - wall) / count)

    def said(self, plain: "Cost") -> str:
        """Return the medians in microseconds, each with the ratio to `plain`."""
        figures = []
        for name in ("cpu", "wall"):
            mine, other = (statistics.median(getattr(each, name)) for each in (self, plain))
            figures.append(f"{name} {mine * 1e6:7.0f} us ({mine / other:6.2f})")
        return ", ".join(figures)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a line for each way and piece of work."""
    parser = argparse.ArgumentParser(description="What a signature costs with each way to keep the key.")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each way [40]")
    parser.add_argument("--count", type=int, default=50, help="signatures in a turn [50]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        for work, cost in _measured(dict(_ways(Path(directory), stack)), options.rounds, options.count).items():
            for way, each in cost.items():
                sys.stdout.write(f"{work:12} {way:8} {each.said(cost[PLAIN])}\n")
        forget_modules()
    return 0


def _measured(ways: dict[str, Config], rounds: int, count: int) -> dict[str, dict[str, Cost]]:
    now = datetime.now(UTC)
    public_key = keys.new_key().public_key()
    algorithm = ec.ECDSA(hashes.SHA256())
    opened = {way: _opened(config) for way, config in ways.items()}
    tbs = opened[PLAIN].issue("device", public_key, "lamp-000001", now=now).tbs_certificate_bytes

    works: dict[str, tuple[Callable[[str], object], int]] = {
        "signature": (lambda way: opened[way].key.sign(tbs, algorithm), count),
        "certificate": (lambda way: opened[way].issue("device", public_key, "lamp-000001", now=now), count),
        "opening": (lambda way: _opened(ways[way]), 1),
    }
    costs = {work: {way: Cost() for way in ways} for work in works}
    for _ in range(rounds):
        for work, (run, times) in works.items():
            for way in ways:
                costs[work][way].take(lambda run=run, way=way: run(way), times)  # type: ignore[misc]
    return costs


def _opened(config: Config) -> Authority:
    return keeping.load(config, config.device_ca)


def _ways(directory: Path, stack: ExitStack) -> Iterator[tuple[str, Config]]:
    """Yield the name of each way with the configuration of a gateway that keeps its key so."""
    site = make_gateway_site(directory / "gateway", directory / "template")
    stack.enter_context(Machine(directory / "secret").listen(site.root / "key.sock"))
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory / 'tokens'}\n")
    os.environ["SOFTHSM2_CONF"] = str(directory / "softhsm2.conf")
    token = make_token()
    for way, wanted in {PLAIN: "plain", "sealed": "sealed", "SoftHSM2": token.url()}.items():
        config = replace(
            site.config, device_ca=site.root / way, device_ca_key=wanted, seal_socket=site.root / "key.sock"
        )
        if way == "SoftHSM2":
            keeping.plan_pin(config, token.pin.encode()).apply()
        device_ca.plan_install(config, _handed_over(site)).apply()
        yield way, config


def _handed_over(site: GatewaySite) -> bytes:
    return pem(site.device_ca.certificate) + keys.plain_pem(site.device_ca.key)


def _cpu() -> float:
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


if __name__ == "__main__":
    sys.exit(main())
