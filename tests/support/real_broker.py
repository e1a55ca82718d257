"""A real mosquitto with mutual TLS for devices, and a plain listener for whoever watches it."""

import getpass
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from fleetmint.x509.authority import pem
from tests.support.firmware_site import Site

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")

_CONFIGURATION = """
per_listener_settings true
user {user}
persistence true
persistence_location {directory}/
listener {devices} 127.0.0.1
certfile {chain}
keyfile {key}
cafile {trust}
require_certificate true
use_identity_as_username true
listener {watchers} 127.0.0.1
allow_anonymous true
"""


@dataclass
class RealBroker:
    """A broker that can be stopped and started; what it keeps for watchers survives that."""

    site: Site
    directory: Path
    port: int = 0
    watchers: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, on the ports that it had before."""
        assert MOSQUITTO is not None
        if not self.port:
            self.port, self.watchers = _free_ports(2)
            chain, key = self.site.server("localhost", "127.0.0.1").files(self.directory / "broker")
            trust = self.directory / "devices.pem"
            trust.write_bytes(pem(self.site.root.certificate, self.site.device_ca.certificate))
            text = _CONFIGURATION.format(
                user=getpass.getuser(), directory=self.directory, devices=self.port, chain=chain, key=key, trust=trust,
                watchers=self.watchers,
            )  # fmt: skip
            (self.directory / "mosquitto.conf").write_text(text)
        with (self.directory / "mosquitto.log").open("a") as log:
            command = [MOSQUITTO, "-c", str(self.directory / "mosquitto.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", self.watchers)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self.directory / "mosquitto.log").read_text())

    def stop(self) -> None:
        """End it, as an update of its package would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def retained(self, topic: str) -> str:
        """Return what it keeps under a topic, by mosquitto_sub; empty when that is nothing."""
        arguments = ["-t", topic, "--retained-only", "-C", "1", "-W", "3"]
        done = subprocess.run(self._watcher(*arguments), capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def wait_for_retained(self, topic: str, part: str) -> str:
        """Wait until it keeps something with `part` in it under a topic; return all of it."""
        for _ in range(20):
            kept = self.retained(topic)
            if part in kept:
                return kept
            time.sleep(0.1)
        raise AssertionError(f"{topic} is {kept}")

    def watch(self, topic: str) -> None:
        """Keep whatever comes to `topic` from now on for `watched`, restarts included."""
        subprocess.run(self._watcher("-i", "watcher", "-c", "-q", "1", "-t", topic, "-E"), check=True)

    def watched(self, topic: str, count: int) -> list[str]:
        """Return the first messages that came to `topic` since `watch`; fewer when that takes too long."""
        arguments = ["-i", "watcher", "-c", "-q", "1", "-R", "-t", topic, "-C", str(count), "-W", "10"]
        return subprocess.run(
            self._watcher(*arguments), capture_output=True, text=True, check=False
        ).stdout.splitlines()

    def _watcher(self, *arguments: str) -> list[str]:
        return ["mosquitto_sub", "-p", str(self.watchers), *arguments]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
