"""What of a gateway can be reached from outside, and that no play shuts itself out."""

import json
import os
import re
import subprocess

import pytest

from tests.e2e.site import PURPOSE, changed, wait_for
from virtual.pi import container

# those of docs/architecture.md, and those of a class of devices that the virtual site has
ARCHITECTURE = {22, 80, 443, 8443, 8883, 8884, 9443, 9883}
# the network that documents may use: nobody is there
NOWHERE = "203.0.113.0/24"


def on_the_pi(command: str) -> str:
    return container.of(PURPOSE.name).execute("sh", "-euc", command)


def outside(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a neighbour of the Pi, to whom no port was published."""
    # without root the network of the containers is one that only podman knows
    place = () if os.geteuid() == 0 else ("podman", "unshare", "--rootless-netns")
    return subprocess.run([*place, *command], capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def address(site) -> str:
    return on_the_pi("hostname -I").split()[0]


def firewall(site, **variables) -> subprocess.CompletedProcess[str]:
    return site.playbook("gateway.yml", "--tags", "firewall", "--extra-vars", json.dumps(variables))


def reached(address: str, port: int) -> bool:
    return outside("nmap", "--unprivileged", "-Pn", "-n", "-p", str(port), address).stdout.count("/tcp open") == 1


def test_nmap_finds_the_ports_of_the_architecture_and_no_others(address):
    fast = ("--min-rate", "8000", "--max-retries", "1", "-T5")
    said = outside("nmap", "--unprivileged", "-Pn", "-n", "-p-", *fast, address)
    assert said.returncode == 0, said.stderr
    assert {int(port) for port in re.findall(r"^(\d+)/tcp +open", said.stdout, re.MULTILINE)} == ARCHITECTURE
    # what is closed gives no answer, so that nobody learns what listens there
    assert "filtered tcp ports (no-response)" in said.stdout


def test_a_service_of_ones_own_is_closed_until_it_is_opened_and_for_whom(site, address):
    on_the_pi("systemd-run --quiet --unit=own-service --collect --uid=nobody python3 -m http.server 1880")
    try:
        wait_for(lambda: "1880" in on_the_pi("ss -Hltn"), 20)
        assert not reached(address, 1880)
        assert changed(firewall(site, gateway_firewall_open=[{"port": 1880, "from": [NOWHERE]}])) == 1
        assert not reached(address, 1880)
        assert changed(firewall(site, gateway_firewall_open=[{"port": 1880}])) == 1
        assert reached(address, 1880)
    finally:
        on_the_pi("systemctl stop own-service")
        assert firewall(site).returncode == 0
    assert changed(firewall(site)) == 0


def test_a_firewall_that_shuts_the_play_out_is_taken_back(site):
    before = on_the_pi("nft list table inet fleetmint_filter; sha256sum /etc/fleetmint/firewall/*")
    done = firewall(site, gateway_firewall_ssh_from=[NOWHERE])
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "no second SSH connection gets to 127.0.0.1, so its old state is back" in said
    assert "add where you come from to gateway_firewall_ssh_from" in said
    after = on_the_pi("nft list table inet fleetmint_filter; sha256sum /etc/fleetmint/firewall/*")
    assert re.sub(r"packets \d+ bytes \d+", "", after) == re.sub(r"packets \d+ bytes \d+", "", before)
    assert changed(firewall(site)) == 0


def test_the_firewall_can_be_left_out_and_comes_back(site, address):
    # nothing listens there, and without the table the kernel says so
    assert changed(firewall(site, gateway_firewall_deny=False)) == 1
    try:
        assert "closed" in outside("nmap", "--unprivileged", "-Pn", "-n", "-p", "1880", address).stdout
        assert "fleetmint_filter" not in on_the_pi("nft list tables")
        assert "fleetmint_limits" in on_the_pi("nft list tables")
    finally:
        assert changed(firewall(site)) == 1
    assert "filtered" in outside("nmap", "--unprivileged", "-Pn", "-n", "-p", "1880", address).stdout


def test_the_time_is_told_through_the_firewall(address):
    ask = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
    ask += "s.sendto(b'\\x23' + bytes(47), (sys.argv[1], 123)); sys.exit(len(s.recv(99)) != 48)"
    assert outside("python3", "-c", ask, address).returncode == 0


def test_ssh_takes_keys_only(site):
    options = ["-o", f"UserKnownHostsFile={site.state}/pi/known_hosts", "-o", "PreferredAuthentications=password"]
    command = ["ssh", "-F", "none", *options, "-p", str(site.ports["ssh"]), "pi@127.0.0.1", "true"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert said.returncode == 255
    assert "Permission denied (publickey)." in said.stderr


def test_ssh_audit_has_no_objection(site):
    said = subprocess.run(
        ["ssh-audit", "--json", "--port", str(site.ports["ssh"]), "127.0.0.1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(said.stdout)
    offered = [
        (kind, each["algorithm"], each["notes"]) for kind in ("kex", "key", "enc", "mac") for each in found[kind]
    ]
    assert len(offered) > 10, said.stdout
    assert [(kind, name) for kind, name, notes in offered if notes.get("fail")] == []
    # a client that knows no such exchange is still let in
    warned = {name for kind, name, notes in offered if notes.get("warn")}
    assert warned <= {"curve25519-sha256", "curve25519-sha256@libssh.org"}


def test_ipv6_is_closed_as_well():
    at_home = "python3 -m http.server --bind :: 1881"
    on_the_pi(f"systemd-run --quiet --unit=own-service --collect --uid=nobody {at_home}")
    # a neighbour in a network of its own, which the Pi itself may not make
    neighbour = """
        ip netns add next
        ip link add here type veth peer name there netns next
        ip link set here up
        ip addr add fd00:5::1/64 dev here nodad
        ip -n next addr add fd00:5::2/64 dev there nodad
        ip -n next link set there up
        for port in 443 8883 22 1881; do
            ip netns exec next timeout 5 bash -c "exec 3<>/dev/tcp/fd00:5::1/$port" 2>/dev/null && echo in || echo out
        done
        ip netns del next
    """
    try:
        wait_for(lambda: "1881" in on_the_pi("ss -Hltn"), 20)
        said = subprocess.run(
            ["podman", "exec", "--privileged", container.of(PURPOSE.name).name, "sh", "-euc", neighbour],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert said.stdout.split() == ["in", "in", "in", "out"]
    finally:
        on_the_pi("systemctl stop own-service")
