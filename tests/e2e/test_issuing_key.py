"""The key of the device CA, moved into a token and back: the service signs with it, and nothing is left behind."""

import json
import secrets

import pytest

from fleetmint.x509 import keys
from tests.e2e.site import PURPOSE, changed, registration
from virtual.pi import container

GATEWAY = "runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
URL = f"pkcs11:token=workshop?module-path={MODULE}"
PIN = "246810"
# As its owner would, with the tools of the maker.
TOKEN = f"""
DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends -qq -y softhsm2 opensc >/dev/null
softhsm2-util --init-token --free --label workshop --pin {PIN} --so-pin 87654321
chmod --recursive g+rwX /var/lib/softhsm/tokens
"""
OBJECTS = f"pkcs11-tool --module {MODULE} --token-label workshop --pin {PIN} --list-objects"
KEPT = "ls /etc/fleetmint/device-ca"


def on_the_pi(command: str, stdin: str | None = None) -> str:
    return container.of(PURPOSE.name).execute("sh", "-euc", command, stdin=stdin).strip()


@pytest.fixture(scope="module")
def variables(site):
    """A token on the Pi, and what the inventory says of it."""
    on_the_pi(TOKEN)
    pin = site.scratch / "pin"
    pin.write_text(f"{PIN}\n")
    return {
        "signing_service_ca_key": URL,
        "signing_service_token_pin": str(pin),
        "signing_service_token_packages": ["softhsm2"],
        "signing_service_token_groups": ["softhsm"],
        "signing_service_token_directories": ["/var/lib/softhsm"],
    }


def play(site, *arguments):
    return site.playbook("gateway.yml", "--tags", "service", "--skip-tags", "certificates", *arguments)


def enrols(site, device: str) -> bool:
    token = secrets.token_hex(16)
    on_the_pi(f"{GATEWAY} import", registration(device, token))
    return site.enrol(device, token, keys.new_key())[0] == 200


def status() -> dict:
    return json.loads(on_the_pi(f"{GATEWAY} ca-status --json"))


def test_a_sealed_key_is_moved_into_a_token_and_back_and_signs_in_both(site, variables):
    assert status()["key"] == "sealed (host key)"
    extra = ("-vvv", "--diff", "-e", json.dumps(variables))
    done = play(site, *extra)
    assert "fatal: " not in done.stdout, done.stdout.partition("fatal: ")[2][:3000]
    assert changed(done) > 0
    assert PIN not in done.stdout + done.stderr
    assert (status()["key"], status()["as_wanted"]) == (URL, True)
    assert on_the_pi(KEPT).split() == ["ca.crt", "ca.pkcs11", "pin.cred"]
    assert enrols(site, "by-token")
    on_the_pi(f"{GATEWAY} sign-crl --force; systemctl start fleetmint-crl.service")
    assert changed(play(site, *extra)) == 0

    assert changed(play(site)) > 0
    assert status()["key"] == "sealed (host key)"
    assert "Private Key Object" not in on_the_pi(OBJECTS)
    assert enrols(site, "sealed-again")
    assert on_the_pi(f"{GATEWAY} audit").endswith("nothing found")
