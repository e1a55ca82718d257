"""verify.yml says of a gateway what is so, with a device of a moment or a real one, and what was broken on purpose."""

import shutil

import pytest

from tests.e2e.site import PURPOSE, changed
from virtual.pi import container

ASKED = """
import datetime, sys
from fleetmint.site.knock import ntp_offset

print(ntp_offset(sys.argv[1], 123, datetime.datetime.now(datetime.timezone.utc)).total_seconds())
"""
RULES = "/etc/mosquitto/fleetmint/devices.acl"


def on_the_pi(command: str) -> str:
    return container.of(PURPOSE.name).execute("sh", "-euc", command)


def test_a_gateway_that_is_as_it_has_to_be_is_ok_and_stays_as_it_was(site):
    done = site.playbook("verify.yml")
    assert changed(done) == 0
    assert done.stdout.count("- 'ok: ") > 20
    assert "wrong: " not in done.stdout


@pytest.fixture
def broken(site):
    """Rules that let every device say everything, and a service that is down; gives a device of a board."""
    device = site.devices_of_boards()[0]
    on_the_pi(
        f"cp -p {RULES} /run/rules; printf 'pattern readwrite #\\n' | cat - /run/rules > {RULES};"
        " systemctl reload mosquitto; systemctl stop fleetmint.service"
    )
    yield device
    on_the_pi(
        f"cat /run/rules > {RULES}; systemctl reload mosquitto; systemctl start fleetmint.service;"
        " runuser -u fleetmint -- /opt/fleetmint/bin/fleetmint gateway health --loaded --seconds 60"
    )


def test_what_is_broken_is_said_with_what_to_do_and_fails_the_play(site, broken):
    directory = site.scratch / "knocks"
    directory.mkdir()
    thief = site.stolen(broken)
    shutil.copy(thief.key, directory / "device.key")
    shutil.copy(thief.certificate, directory / "device.crt")
    (directory / "device.key").chmod(0o600)
    done = site.playbook("verify.yml", "--extra-vars", f"verify_device={directory}")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert f"{broken} was heard on devices/verify-somebody-else/out/verify; run `" in said
    assert f"{broken} hears what others are told; run `" in said
    assert "wrong: a device could enrol now: /healthz says 503" in said
    assert "wrong: the operators' broker" not in said


def test_the_time_is_told_to_whoever_asks(site):
    # on the Pi, at its address on the network: no port of a container is published for UDP
    offset = on_the_pi(f"/opt/fleetmint/bin/python -c '{ASKED}' $(hostname -I | cut -d ' ' -f 1)")
    assert abs(float(offset)) < 5
