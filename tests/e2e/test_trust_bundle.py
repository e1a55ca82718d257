"""Whom devices trust, changed under their feet: by the release key, and by a thief who has the whole gateway."""

import base64
import shutil
from dataclasses import replace

import pytest

from fleetmint.trust import bundle as bundles
from fleetmint.trust import release_key
from fleetmint.x509.keys import new_key
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
    found = site.devices_of_boards()
    assert found
    return found


@pytest.fixture(scope="module")
def first(path):
    """The bundle that the boards were burned with."""
    return path.read_bytes()


@pytest.fixture(scope="module")
def second(site, path, first, devices):
    """A bundle of the next version, signed on the controller and brought to the gateway by the play."""
    deliver(site, devices, "sign", "--force")
    return path.read_bytes()


def deliver(site, devices, *command):
    """Make a bundle on the controller, bring it to the gateway, and have the devices greeted."""
    place = ("--state", str(site.state), "--passphrases", f"file:{site.state}/passphrases")
    done = site.fleetmint("bundle", *command, *place)
    assert done.returncode == 0, done.stderr
    done = site.playbook("gateway.yml", "--tags", "service")
    assert done.returncode == 0, done.stdout[-3000:]
    restart(site, devices)


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
    # not shown: it is no text
    into = ("--output", str(site.scratch / "bundle.bin"))
    assert site.curl("https", "/v1/trust-bundle", site.stolen(devices[0]), *into)[0] == 200
    assert (site.scratch / "bundle.bin").read_bytes() == second
    assert site.curl("https", "/v1/trust-bundle")[0] == 401
    assert site.curl("operators", "/v1/trust-bundle", site.operator())[0] == 404


@pytest.fixture
def thief(site, path, second, devices):
    """Somebody who is root on the gateway: returns a way to offer any bundle to the devices."""

    def put(data: bytes):
        site.on_the_pi(f"echo {base64.b64encode(data).decode()} | base64 -d > {ON_THE_PI}")

    def offer(data: bytes):
        put(data)
        restart(site, devices)

    site.on_the_pi(OWN_THE_SERVICE)
    yield offer
    site.on_the_pi(GIVE_IT_BACK)
    put(path.read_bytes())


def refused(site, devices, mine, reason):
    for device in devices:
        wait_for(lambda device=device: f"trust bundle refused: {reason}" in site.console(device), 60)
        assert held(site, device) == mine
    wait_for(lambda: {reading["device"] for reading in site.readings(3, 10)} >= set(devices), 60)


def test_devices_refuse_a_lower_version(site, thief, first, second, devices):
    thief(first)
    refused(site, devices, second, f"{label(first)} is not newer than {label(second)}")


def test_devices_refuse_a_bundle_signed_by_another_key(site, thief, second, devices):
    ours = bundles.decode(second, "ours")
    stranger = new_key()
    forged = replace(ours, version=ours.version + 1)
    forged = replace(forged, signature=release_key.sign(stranger, forged.signed_part()))
    thief(forged.encode())
    refused(site, devices, second, "it is not signed by the release key")


def test_devices_refuse_a_bundle_that_names_another_release_key(site, thief, second, devices):
    ours = bundles.decode(second, "ours")
    stranger = new_key()
    keys = replace(ours.keys, release=release_key.point(stranger.public_key()))
    forged = replace(ours, version=ours.version + 1, keys=keys)
    forged = replace(forged, signature=release_key.sign(stranger, forged.signed_part()))
    thief(forged.encode())
    refused(site, devices, second, "it names other release keys")


def test_the_spare_replaces_a_release_key_that_was_stolen(site, path, thief, second, devices, tmp_path):
    """Recovery, as docs/trust-bundle.md has it; the spare comes from another place."""
    stolen = release_key.signing_key(site.hierarchy.directory, site.hierarchy.source)
    spare = shutil.move(site.state / "ca/release/spare.key", tmp_path / "spare.key")
    deliver(site, devices, "replace-release-key", "--spare", str(spare))
    third = path.read_bytes()
    assert bundles.decode(third, "new").keys.generation == 1
    for device in devices:
        words = f"trust bundle {label(third)} in use, it replaces {label(second)}"
        wait_for(lambda device=device, words=words: words in site.console(device), 60)
    # the highest version that the stolen key can sign
    outbid = replace(bundles.decode(second, "old"), version=bundles.MAX_VERSION)
    outbid = replace(outbid, signature=release_key.sign(stolen, outbid.signed_part()))
    thief(outbid.encode())
    refused(site, devices, third, f"{outbid.label} is not newer than {label(third)}")
