import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetmint.preflight import look
from fleetmint.preflight.gateway import check_gateway, not_looked, unreachable

PORTS = {"nginx": [80, 443, 8443], "mosquitto": [8883, 8884]}
MOST = timedelta(minutes=5)
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
SSH = 'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=60,fd=6))\n'


def found(now, **changed):
    said = {
        "time": now.timestamp(),
        "refused": {},
        "listening": SSH,
        "release": DEBIAN,
        "architecture": "arm64",
    } | changed
    return [str(problem) for problem in check_gateway(said, PORTS, now, MOST)]


@pytest.fixture
def now():
    return datetime.now(UTC)


def listens(port, program, address="0.0.0.0"):  # noqa: S104
    return f'LISTEN 0 511 {address}:{port} {address}:* users:(("{program}",pid=7,fd=6),("{program}",pid=6,fd=6))\n'


def test_a_pi_as_it_should_be_has_no_problems(now):
    assert found(now) == []
    running = "".join(listens(port, program) for program, ports in PORTS.items() for port in ports)
    assert found(now, listening=SSH + running + listens(8123, "hass")) == []
    assert found(now, release='ID=raspbian\nID_LIKE=debian\nVERSION_ID="12"\n') == []
    assert found(now, architecture="amd64") == []


def test_a_clock_that_differs_is_told_with_both_times(now):
    assert found(now, time=(now + timedelta(minutes=4)).timestamp()) == []
    for off in (timedelta(hours=-3), timedelta(days=90)):
        (text,) = found(now, time=(now + off).timestamp())
        assert f"its clock says {now + off:%Y-%m-%d %H:%M}" in text
        assert f"that of this machine {now:%Y-%m-%d %H:%M}" in text


def test_a_machine_without_ipv6_is_told_what_to_set(now):
    (text,) = found(now, refused={"[::]": "EAFNOSUPPORT"})
    assert "has no IPv6" in text
    assert text.endswith("set fleet_listen_addresses: [0.0.0.0]")
    (text,) = found(now, refused={"192.0.2.7": "EADDRNOTAVAIL"})
    assert "cannot listen on 192.0.2.7" in text


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "[::]", "*"])  # noqa: S104
def test_a_port_that_another_program_has_is_named_with_it(now, address):
    (text,) = found(now, listening=SSH + listens(80, "lighttpd", address))
    assert "port 80, which nginx needs, is taken by lighttpd" in text


@pytest.mark.parametrize(("release", "name"), [
    ('ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n', "Debian GNU/Linux 11 (bullseye)"),
    ('ID=debian\nVERSION_ID="14"\nPRETTY_NAME="Debian GNU/Linux 14 (forky)"\n', "Debian GNU/Linux 14 (forky)"),
    ('ID=debian\nPRETTY_NAME="Debian GNU/Linux forky/sid"\n', "Debian GNU/Linux forky/sid"),  # testing has no number
    ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n', "Ubuntu 24.04.1 LTS"),
    ('ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME="Alpine Linux v3.20"\n', "Alpine Linux v3.20"),
    ("ID=fedora\n", "an unknown system"),
])  # fmt: skip
def test_another_system_is_refused(now, release, name):
    (text,) = found(now, release=release)
    assert text == f"it runs {name}: write Raspberry Pi OS (64-bit) or Debian, 12 or 13, to its card"


@pytest.mark.parametrize(
    ("architecture", "what"),
    [("armhf", "it runs a 32-bit system"), ("riscv64", "it is a machine that nobody has tried")],
)
def test_a_system_of_32_bits_is_refused_and_a_machine_that_nobody_tried(now, architecture, what):
    (text,) = found(now, architecture=architecture)
    assert text.startswith(what)
    assert f"({architecture})" in text
    assert "write Raspberry Pi OS (64-bit) or Debian" in text


@pytest.mark.parametrize(("said", "remedy"), [
    ("Failed to connect to the host via ssh: pi@pi.example: Permission denied (publickey).", "`ssh-copy-id pi@pi.ex"),
    ("Host key verification failed.", "log in once with `ssh pi@pi.example`"),
    ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "ssh-keygen -R pi.example"),
    ("over ssh: ssh: Could not resolve hostname pi.example: Name or service not known", "set ansible_host"),
    ("ssh: connect to host pi.example port 22: Connection refused", "turn on SSH"),
    ("ssh: connect to host pi.example port 22: Connection timed out", "turn it on"),
    ("something new", "try `ssh pi@pi.example` by hand"),
])  # fmt: skip
def test_what_ssh_says_comes_with_what_to_do(said, remedy):
    text = str(unreachable(said, "pi.example", "pi"))
    assert text.startswith("SSH does not reach pi@pi.example (")
    assert remedy in text


@pytest.mark.parametrize(("said", "command"), [
    ("Host key verification failed.", "`ssh -p 2222 pi@pi.example`"),
    ("IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "`ssh-keygen -R '[pi.example]:2222'`"),
    ("Permission denied (publickey).", "`ssh-copy-id -p 2222 pi@pi.example`"),
])  # fmt: skip
def test_what_is_to_be_typed_goes_to_the_same_port(said, command):
    assert command in str(unreachable(said, "pi.example", "pi", 2222))


def test_a_password_that_sudo_waits_for_in_vain_is_no_matter_of_ssh():
    text = str(unreachable("Timeout (12s) waiting for privilege escalation prompt:", "pi.example", "pi"))
    assert text.startswith("pi@pi.example does not become root (Timeout (12s)")
    assert "-K" in text


@pytest.mark.parametrize(("said", "remedy"), [
    ("Missing sudo password", "with -K"),
    ("sudo: a password is required", "with -K"),
    ("Incorrect sudo password", "with -K"),
    ("sudo: Ein Passwort ist notwendig", "with -K"),
    ("pi is not in the sudoers file.", "group sudo"),
    ("/bin/sh: 1: sudo: not found", "apt install sudo"),
    ("/bin/sh: 1: /usr/bin/python3: not found", "apt install python3"),
    ("Segmentation fault", "python3 works"),
])  # fmt: skip
def test_what_sudo_says_comes_with_what_to_do(said, remedy):
    text = str(not_looked(said))
    assert remedy in text


def test_the_look_runs_from_a_pipe_with_nothing_but_python():
    with Path(look.__file__).open("rb") as script:
        done = subprocess.run(
            [sys.executable, "-I", "-", "127.0.0.1", "192.0.2.77"],
            stdin=script,
            capture_output=True,
            text=True,
            check=True,
        )
    said = json.loads(done.stdout)
    assert said["refused"] == {"192.0.2.77": "EADDRNOTAVAIL"}
    assert abs(said["time"] - datetime.now(UTC).timestamp()) < 60
    assert "ID=" in said["release"]
    assert said["architecture"]
