"""A gateway, a device and an operator as containers: made by prepare.yml, run by podman-compose, and one is revoked."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.site import wait_for
from virtual.pi import host, image
from virtual.purpose import ROOT

COMPOSE = ROOT / "contrib/compose"
PORTS = ("HTTPS", "OPERATORS_HTTPS", "MQTT", "OPERATORS_MQTT")


@dataclass(frozen=True)
class Containers:
    """The site in containers: its inventory, and the environment of whoever works with it."""

    inventory: Path
    project: str
    environment: dict[str, str]

    @property
    def files(self) -> Path:
        return self.inventory / "containers"

    def run(self, *command: object, seconds: float = 300) -> str:
        words = [str(word) for word in command]
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def compose(self, *words: str, seconds: float = 300) -> str:
        file = COMPOSE / "compose.yaml"
        return self.run("podman-compose", "--project-name", self.project, "--file", file, *words, seconds=seconds)

    def said(self, service: str) -> str:
        name = f"{self.project}_{service}_1"
        done = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=False, timeout=30)
        return done.stdout + done.stderr


def settings_of_podman(path: Path) -> dict[str, str]:
    """Write what podman needs on this host, as for the virtual Pi; return the environment that names it."""
    flags = host.run_flags()
    lines = ['[engine]\nruntime = "runc"\n'] if "runc" in flags else []
    limits = [flag.removeprefix("--ulimit=") for flag in flags if flag.startswith("--ulimit=")]
    lines += [f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n"] if limits else []
    path.write_text("".join(lines))
    return {"CONTAINERS_CONF": str(path)} if lines else {}


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in taken]


@pytest.fixture(scope="module")
def containers(tmp_path_factory):
    place = tmp_path_factory.mktemp("compose")
    inventory = place / "compose"
    shutil.copytree(ROOT / "inventory/compose", inventory, ignore=shutil.ignore_patterns("state", "containers"))
    ports = dict(zip((f"FLEETMINT_{name}_PORT" for name in PORTS), map(str, free_ports(len(PORTS))), strict=True))
    environment = {
        **os.environ,
        **ports,
        **settings_of_podman(place / "containers.conf"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "FLEETMINT_SITE": str(inventory),
        "FLEETMINT_CONTAINERS": str(inventory / "containers"),
        "FLEETMINT_BASE": image.ensure(),
    }
    made = Containers(inventory, f"fleetmint-{os.getpid()}", environment)
    made.run("ansible-playbook", COMPOSE / "prepare.yml")
    try:
        made.compose("build", seconds=600)
        made.compose("up", "--detach", "gateway", "signing", "broker")
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout=2")


def test_a_second_look_at_what_the_containers_read_changes_nothing(containers):
    again = containers.run("ansible-playbook", COMPOSE / "prepare.yml", "--tags", "gateway")
    assert again.count("changed=0") == 2, again[-600:]


def test_the_device_enrols_and_publishes_and_the_operator_hears_it_until_it_is_revoked(containers):
    wait_for(lambda: "ready" in containers.said("signing"), 60)
    containers.run("fleetmint", "batch", "new", containers.inventory / "machines.yml")
    containers.run("fleetmint", "batch", "register", "machines")
    token = containers.files / "publisher/token"
    containers.run("fleetmint", "batch", "export", "machines", "--token", "publisher", "--out", token)
    subscriber = ("--to", containers.files / "subscriber", "--host", "gateway")
    containers.run("fleetmint", "operator", "export", "subscriber@compose", *subscriber)
    containers.compose("up", "--detach")

    wait_for(lambda: "devices/publisher/out/readings" in containers.said("subscriber"), 90)
    said = json.loads(containers.run("fleetmint", "devices", "--json"))["devices"]
    assert [(row["device"], row["status"]) for row in said] == [("publisher", "active")]

    # the service asks, root in its container publishes, the broker in another one reads its list and ends the session
    revoked = containers.run("fleetmint", "revoke", "publisher", "--reason", "key_compromise")
    assert "In force at gateway; ended the sessions of publisher" in revoked
    wait_for(lambda: "Client publisher disconnected" in containers.said("broker"), 20)
    wait_for(lambda: "certificate verify failed" in containers.said("broker"), 30)


def test_a_broker_that_starts_again_is_found_under_the_same_name(containers):
    containers.run("podman", "restart", "--time=5", f"{containers.project}_broker_1")
    listener = containers.files / "subscriber"
    port = containers.environment["FLEETMINT_OPERATORS_MQTT_PORT"]
    identity = ["--cafile", listener / "ca.pem", "--cert", listener / "cert.pem", "--key", listener / "key.pem"]
    words = ["mosquitto_pub", "-h", "localhost", "-p", port, *identity, "-t", "devices/publisher/in/x", "-m", "1"]

    def sent() -> bool:
        return subprocess.run(list(map(str, words)), capture_output=True, check=False, timeout=30).returncode == 0

    assert wait_for(sent, 60)
