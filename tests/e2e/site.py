"""The site under test, with the tools of a user and of an attacker."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint.batch import secrets
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.documents.registration import FORMAT
from fleetmint.flash.table import stock
from fleetmint.nvs.decode import decode
from fleetmint.passphrases import open_source
from fleetmint.x509 import keys
from tests.support.clients import Client, Gateway, save
from virtual import demo
from virtual.purpose import ROOT, VARIABLE, Purpose

PURPOSE = Purpose("e2e", ROOT / "inventory/virtual/state/e2e")

Found = TypeVar("Found")


@dataclass(frozen=True)
class Site(Gateway):
    """What there is of the site, and what one can do to it."""

    scratch: Path

    @property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy(self.state / "ca", "demo", open_source(f"file:{self.state / 'passphrases'}"))

    def operator(self, name: str = "alice@demo") -> Client:
        issued = self.state / "issued/operators"
        return Client(issued / f"{name}.key", issued / f"{name}.crt")

    def nvs(self, board: int) -> dict[str, Any]:
        """Read a board's flash as a thief would."""
        place = stock("4MiB").find("nvs")
        flash = (self.state / f"boards/{board}/flash.bin").read_bytes()
        return decode(flash[place.offset : place.offset + place.size])["fleetmint"]

    def batch_secrets(self) -> dict[str, secrets.Secret]:
        """Return what the devices of the batch got, as the holder of the bench passphrase can."""
        return dict(secrets.load(self.state / "batches/first", self.hierarchy.source).devices)

    def board_of(self, device: str) -> int:
        return next(n for n in range(1, demo.BOARDS + 1) if self.nvs(n)["device_id"] == device.encode())

    def stolen(self, device: str) -> Client:
        """Take a device's key and certificate out of its flash."""
        values = self.nvs(self.board_of(device))
        slot = values["slot"] & 1  # the rest of it belongs to a renewal that is under way
        key = serialization.load_der_private_key(values[f"key{slot}"], None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return self.client(device, key, x509.load_der_x509_certificate(values[f"cert{slot}"]))

    def client(self, name: str, key: keys.PrivateKey, *chain: x509.Certificate) -> Client:
        return save(self.scratch, name, key, *chain)

    def devices_of_boards(self) -> list[str]:
        """Return the devices of the boards that are in the fleet: there are others without a board."""
        known = self.devices()
        names = [self.nvs(number)["device_id"].decode() for number in range(1, demo.BOARDS + 1)]
        return [name for name in names if known[name]["status"] == "active"]

    def console(self, device: str) -> str:
        return (self.state / f"boards/{self.board_of(device)}/console.log").read_text(errors="replace")

    def readings(self, count: int, seconds: float) -> list[dict[str, Any]]:
        """Return what an operator hears: topic and payload of each message."""
        heard = self.mosquitto(
            "mosquitto_sub", "mqtt_operators", self.operator(), "-t", "devices/+/out/readings", "-q", "1",
            "-F", "%t %p", "-C", str(count), seconds=seconds,
        )  # fmt: skip
        lines = [line.partition(" ") for line in heard.stdout.splitlines()]
        return [{"device": topic.split("/")[1], "topic": topic, **json.loads(text)} for topic, _, text in lines]

    def enrol(self, device: str, token: str, key: keys.PrivateKey) -> tuple[int, str]:
        """Ask for a certificate as a device does; return status and answer."""
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        csr = base64.b64encode(request.public_bytes(serialization.Encoding.DER)).decode()
        body = json.dumps({"device": device, "token": token, "csr": csr})
        arguments = ("--header", "Content-Type: application/json", "--data-binary", body)
        return self.curl("https", "/v1/enrol", None, *arguments)

    def playbook(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        inventory = [] if "--inventory" in arguments else ["--inventory", "inventory/virtual"]
        command = ["ansible-playbook", *inventory, f"playbooks/{name}", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)

    def on_the_pi(self, command: str) -> bytes:
        """Return what a shell command prints on the Pi, as root over SSH."""
        done = subprocess.run(
            ["ansible", "gateway", "--inventory=inventory/virtual", "--become", "-m", "raw", "-a", command],
            cwd=ROOT, env=environment(), capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def fleetmint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["fleetmint", *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )

    def devices(self) -> dict[str, dict[str, Any]]:
        done = self.fleetmint("devices", "--state", str(self.state), "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return {row["device"]: row for row in json.loads(done.stdout)["devices"]}


def registration(device: str, token: str) -> str:
    """Return the document that registers one device for its token."""
    entry = {
        "device": device,
        "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
        "token_expires": f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}",
    }
    return json.dumps({"format": FORMAT, "site": "demo", "gateway": "gateway", "batch": "after", "devices": [entry]})


def changed(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many tasks of a play have changed something; it has to have succeeded."""
    assert done.returncode == 0, done.stdout[-3000:]
    return sum(map(int, re.findall(r"changed=(\d+)", done.stdout)))


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        VARIABLE: PURPOSE.name,
    }


def wait_for(what: Callable[[], Found], seconds: float = 30) -> Found:
    """Return the first true value of `what`, asked every half second."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.5)
    return found
