"""One device off the fleet, on all paths, while the others go on. Runs last: what is revoked stays revoked."""

import re
import subprocess
import time

import pytest

from tests.e2e.site import wait_for

BY_ROOT = "Publish the CRLs and end the device's sessions"


def by_playbook(site, device):
    return site.playbook("revoke.yml", "--extra-vars", f"device={device}")


def by_command(site, device):
    done = site.fleetmint("revoke", device, "--state", str(site.state))
    assert f"In force at gateway; ended the sessions of {device}." in done.stdout
    return done


def on_the_pi_and_by_command(site, device):
    """Typed on the Pi first, where nobody can sign for the factory CA: the device is silent all the same."""
    said = site.on_the_pi(f"runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway revoke {device}")
    assert f"fleetmint revoke {device}` on the controller" in said.decode()
    assert device not in {reading["device"] for reading in site.readings(100, 8)}
    assert site.curl("https", "/", site.stolen(device))[0] == 403
    return by_command(site, device)


@pytest.mark.parametrize(
    ("device", "by"),
    [("lamp-000002", by_playbook), ("lamp-000003", on_the_pi_and_by_command)],
    ids=["device-ca by playbook", "factory-ca on the Pi and by command"],
)
def test_a_revoked_device_is_off_on_all_paths_within_seconds_and_the_others_go_on(site, device, by):
    thief = site.stolen(device)
    assert site.curl("https", "/", thief)[0] == 200
    wait_for(lambda: device in {reading["device"] for reading in site.readings(6, 15)}, 45)

    revoked = by(site, device)
    assert revoked.returncode == 0, revoked.stdout[-3000:] + revoked.stderr
    # The live session has ended, and the device does not come back.
    heard = site.readings(100, 12)
    assert device not in {reading["device"] for reading in heard}
    assert "lamp-000001" in {reading["device"] for reading in heard}
    assert site.publish("mqtt", thief, f"devices/{device}/out/x", "x").returncode != 0
    assert site.curl("https", "/", thief)[0] in (400, 401, 403)
    assert site.curl("https", "/", site.stolen("lamp-000001"))[0] == 200
    assert site.devices()[device]["status"] == "revoked"


def test_revoking_twice_changes_nothing(site):
    done = site.playbook("revoke.yml", "--extra-vars", "device=lamp-000002")
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(re.findall(r"changed=(\d+)", done.stdout)) == {"0"}, done.stdout
    # the gateway has seen to it in one step; what root would do otherwise costs seconds
    assert BY_ROOT not in done.stdout


def test_root_puts_in_force_what_the_service_cannot_have_published(site):
    units = "fleetmint-publish.path fleetmint-publish.socket"
    site.on_the_pi(f"{SETTLED}; cp {LIST} /root/whole.pem; systemctl stop {units}; rm {LIST}")
    try:
        done = by_playbook(site, "lamp-000002")
    finally:
        site.on_the_pi(f"systemctl start {units}")
    assert done.returncode == 0, done.stdout[-3000:]
    assert BY_ROOT in done.stdout
    site.on_the_pi(f"cmp {LIST} /root/whole.pem")
    assert not gets_in(site, site.stolen("lamp-000002"))


def test_registering_again_does_not_revive_a_revoked_device(site):
    assert site.playbook("factory.yml").returncode == 0
    assert site.devices()["lamp-000002"]["status"] == "revoked"


def test_an_unknown_device_is_told_in_one_sentence(site):
    done = site.playbook("revoke.yml", "--extra-vars", "device=lamp-999999")
    assert done.returncode != 0
    assert "lamp-999999" in done.stdout
    assert "Nothing was revoked at the site demo" in done.stdout


def test_the_console_of_a_revoked_device_gives_a_reason_and_it_does_not_hammer_the_gateway(site):
    before = len(site.console("lamp-000002").splitlines())
    time.sleep(10)
    lines = site.console("lamp-000002").splitlines()
    assert len(lines) - before < 20
    assert re.search(r"not accepted", "\n".join(lines[-20:]))


LIST = "/etc/mosquitto/fleetmint/devices.crl.pem"
# Seconds; half a minute more when the broker was just starting and could not be told to reload.
REPAIRED = f"for i in $(seq 200); do cmp -s {LIST} /root/whole.pem && exit 0; sleep 0.3; done; exit 1"

STATE = "$(systemctl show -P ActiveState fleetmint-publish)"
SETTLED = f"timeout 60 sh -c 'until [ {STATE} = inactive ]; do sleep 0.3; done'"


def gets_in(site, thief):
    return site.publish("mqtt", thief, f"devices/{thief.key.stem}/out/x", "x").returncode == 0


def test_a_damaged_list_opens_the_broker_to_the_revoked_until_the_gateway_starts(site):
    thief = site.stolen("lamp-000002")
    assert not gets_in(site, thief)
    # Without the watch it is what Mosquitto makes of garbage.
    open_it = f"cp {LIST} /root/whole.pem; systemctl stop fleetmint-publish.path; echo garbage > {LIST}"
    site.on_the_pi(f"{open_it}; systemctl reload mosquitto")
    wait_for(lambda: gets_in(site, thief), 10)

    container = (site.state / "pi/container").read_text().strip()
    subprocess.run(["podman", "restart", "--time", "20", container], check=True, capture_output=True)
    wait_for(lambda: site.curl("https", "/", site.stolen("lamp-000001"))[0] == 200, 60)
    for unit in ("fleetmint-publish-at-start", "fleetmint-publish.path", "mosquitto"):
        site.on_the_pi(f"systemctl is-active {unit}")
    assert not gets_in(site, thief)
    site.on_the_pi(f"cmp {LIST} /root/whole.pem")


@pytest.mark.parametrize(
    "damage", [f"echo garbage > {LIST}", f": > {LIST}", f"rm {LIST}"], ids=["garbage", "empty", "missing"]
)
def test_a_damaged_list_is_replaced_within_seconds_and_the_broker_refuses_the_revoked(site, damage):
    # What went before may have started the broker a moment ago, and what that owes be still on its way.
    site.on_the_pi(SETTLED)
    # A broker that starts refuses these files, one that runs has to reload them: what is new is in both.
    site.on_the_pi(f"cp {LIST} /root/whole.pem; {damage}; {REPAIRED}")
    # A server that is told to start anew just then would have it published once more, after half a minute.
    site.on_the_pi(SETTLED)
    assert not gets_in(site, site.stolen("lamp-000002"))
    site.on_the_pi("systemctl restart mosquitto")
    wait_for(lambda: gets_in(site, site.stolen("lamp-000001")), 10)
    assert not gets_in(site, site.stolen("lamp-000002"))
    # What publishing wrote did not start it again for ever.
    runs = "$(journalctl -u fleetmint-publish -o cat | grep -c Starting)"
    site.on_the_pi(f"sleep 8; first={runs}; sleep 5; test $first = {runs}")
