"""Whom devices trust, changed under their feet: by the release key, and by a thief who has the whole gateway."""

import base64
from dataclasses import replace

import pytest

from fleetmint.pki import bundle as bundles
from fleetmint.pki import release
from fleetmint.pki.keys import new_key
from tests.e2e.site import wait_for
from virtual import demo
from virtual.esp32 import fleet

ON_THE_PI = "/etc/fleetmint/ca/bundle.bin"
# What a thief changes: the service delivers anything, and always claims to have something newer.
SERVICE = "$(find -L /opt/fleetmint/lib -path '*fleetmint/service/trust_bundle.py')"
OWN_THE_SERVICE = f"""
cp -p {SERVICE} /root/trust_bundle.py &&
sed -i -e 's/bundle.load(config.trust_bundle)/bundle.decode(config.trust_bundle.read_bytes(), "it")/' \
  -e 's/headers.HEADER. = found.label/headers[HEADER] = "9.9"/' {SERVICE} &&
systemctl restart fleetmint
"""
GIVE_IT_BACK = f"cp -p /root/trust_bundle.py {SERVICE} && systemctl restart fleetmint"


@pytest.fixture(scope="module")
def path(site):
    return site.state / "ca/bundle.bin"


@pytest.fixture(scope="module")
def devices(site):
    found = [device for device, row in site.devices().items() if row["status"] == "active"]
    assert found
    return found


@pytest.fixture(scope="module")
def first(path):
    """The bundle that the boards were burned with."""
    return path.read_bytes()


@pytest.fixture(scope="module")
def second(site, path, first, devices):
    """A bundle of the next version, signed on the controller and brought to the gateway by the play."""
    done = site.fleetmint(
        "bundle", "sign", "--force", "--state", str(site.state), "--passphrases", f"file:{site.state}/passphrases"
    )
    assert done.returncode == 0, done.stderr
    done = site.playbook("gateway.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    restart(site, devices)
    return path.read_bytes()


def restart(site, devices):
    for device in devices:
        fleet.stop(fleet.slots(site.state)[site.board_of(device) - 1])
    fleet.up(site.state, demo.BOARDS)


def held(site, device) -> bytes:
    return site.nvs(site.board_of(device))["bundle"]


def label(data: bytes) -> str:
    return bundles.decode(data, "it").label


def test_devices_take_a_higher_version_of_the_release_key(site, first, second, devices):
    for device in devices:
        words = f"trust bundle {label(second)} in use, it replaces {label(first)}"
        wait_for(lambda device=device, words=words: words in site.console(device), 60)
        assert held(site, device) == second
    # and work under it
    wait_for(lambda: {reading["device"] for reading in site.readings(3, 10)} >= set(devices), 60)


def test_the_route_takes_the_certificate_of_a_device(site, second, devices):
    status, _ = site.curl("https", "/v1/trust-bundle", site.stolen(devices[0]))
    assert status == 200
    assert site.curl("https", "/v1/trust-bundle")[0] == 401
    assert site.curl("operators", "/v1/trust-bundle", site.operator())[0] == 404


@pytest.fixture
def thief(site, second, devices):
    """Somebody who is root on the gateway: returns a way to offer any bundle to the devices."""

    def offer(data: bytes):
        text = base64.b64encode(data).decode()
        site.on_the_pi(f"echo {text} | base64 -d > {ON_THE_PI}")
        restart(site, devices)

    site.on_the_pi(OWN_THE_SERVICE)
    yield offer
    site.on_the_pi(GIVE_IT_BACK)
    text = base64.b64encode(second).decode()
    site.on_the_pi(f"echo {text} | base64 -d > {ON_THE_PI}")


def refused(site, devices, second, reason):
    for device in devices:
        wait_for(lambda device=device: f"trust bundle refused: {reason}" in site.console(device), 60)
        assert held(site, device) == second
    wait_for(lambda: {reading["device"] for reading in site.readings(3, 10)} >= set(devices), 60)


def test_devices_refuse_a_lower_version(site, thief, first, second, devices):
    thief(first)
    refused(site, devices, second, f"{label(first)} is not newer than {label(second)}")


def test_devices_refuse_a_bundle_signed_by_another_key(site, thief, second, devices):
    ours = bundles.decode(second, "ours")
    stranger = new_key()
    forged = replace(ours, version=ours.version + 1)
    forged = replace(forged, signature=release.sign(stranger, forged.signed_part()))
    thief(forged.encode())
    refused(site, devices, second, "it is not signed by the release key")


def test_devices_refuse_a_bundle_that_names_another_release_key(site, thief, second, devices):
    ours = bundles.decode(second, "ours")
    stranger = new_key()
    keys = replace(ours.keys, release=release.point(stranger.public_key()))
    forged = replace(ours, version=ours.version + 1, keys=keys)
    forged = replace(forged, signature=release.sign(stranger, forged.signed_part()))
    thief(forged.encode())
    refused(site, devices, second, "it names other release keys")
