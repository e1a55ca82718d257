"""Canaries: what is secret in a batch is in its sealed files only, whatever is printed, passed or left behind."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleetmint import passphrases
from fleetmint.batch import secrets
from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from tests.support import ansible_site, canaries
from tests.support.ansible_site import ROOT, VARIABLES, write_site

PSK, SHORT, VALUE = "canary-of-the-network", "canary!", "canary-of-the-maker"
SPRING = "serial,prefix,key_origin,value:app:apikey:string\n1,lamp,device,%s\n2,lamp,factory,\n"


@pytest.fixture
def site(tmp_path):
    """A site with its CAs, a network and a batch file, without a gateway that answers."""
    root = write_site(tmp_path / "site", VARIABLES, name="all/fleet.yml")
    set_network(root, PSK)
    (root / "spring.csv").write_text(SPRING % VALUE)
    source = passphrases.open_source(f"file:{root / 'state/passphrases'}")
    plan_hierarchy(Hierarchy(root / "state/ca", "test", source), ["gateway"], datetime.now(UTC)).apply()
    return root


def set_network(root, psk):
    wifi = [{"name": "default", "ssid": "workshop", "psk": psk}]
    (root / "group_vars/all/site.yml").write_text(json.dumps({"fleet_wifi": wifi}))


@pytest.fixture
def watched(tmp_path):
    """Run a command; return its exit code, what it printed, and each place where a process or a file had a canary."""
    places = [tmp_path / "ansible", tmp_path / "tmp"]
    for place in places:
        place.mkdir()

    def run(*command, code=0):
        temporary = {"ANSIBLE_REMOTE_TEMP": str(places[0] / "remote"), "TMPDIR": str(places[1])}
        environment = ansible_site.environment(places[0], **temporary)
        with canaries.watched(places, [text.encode() for text in (PSK, SHORT, VALUE)]) as seen:
            done = subprocess.run(
                [*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
        printed = done.stdout + done.stderr
        assert done.returncode == code, printed
        return printed, seen

    return run


def factory(site, *flags):
    program = Path(sys.executable).with_name("ansible-playbook")
    return [program, f"--inventory={site}", "playbooks/factory.yml", "--extra-vars=batch=spring.csv", *flags]


def forms(secret):
    return [secret, base64.b64encode(secret), secret.hex().encode()]


def test_secrets_of_a_batch_are_in_its_sealed_files_only(site, watched, tmp_path):
    said, seen = watched(*factory(site, "--tags=batch", "-vvv", "--diff"))
    assert "make 2 identities for spring" in said
    directory = site / "state/batches/spring"
    known = secrets.load(directory, passphrases.open_source(f"file:{site / 'state/passphrases'}"))
    own = [secret.token.encode() if secret.token else secret.key for secret in known.devices.values()]
    shapes = [form for secret in (*own, PSK.encode(), VALUE.encode()) for form in forms(secret)]
    fleetmint = [Path(sys.executable).with_name("fleetmint"), "batch"]
    state = ["--state", site / "state"]
    for command in (
        ["list"],
        ["show", "spring", "--json"],
        ["export", "spring"],
        ["shred", "spring", "--yes", "--unburnt"],
    ):
        printed, more = watched(*fleetmint, *command, *state)
        said, seen = said + printed, seen | more
        for path in (path for path in tmp_path.rglob("*") if path.is_file()):
            if path.name not in ("spring.csv", "site.yml"):  # the maker's own
                assert [form for form in shapes if form in path.read_bytes()] == [], path
    assert [form for form in shapes if form in said.encode()] == []
    assert seen == set()
    assert not (directory / "secrets.bin").exists()


def test_a_dry_run_of_a_new_batch_ends_well_makes_nothing_and_shows_no_secret(site, watched):
    # no gateway answers here: one that has nothing to take up is not asked
    said, seen = watched(*factory(site, "--check", "--diff", "-vvv", "--extra-vars=factory_ports=/dev/ttyUSB9"))
    assert "make 2 identities for spring" in said
    assert [canary for canary in (PSK, VALUE) if canary in said] == []
    assert seen == set()
    assert not (site / "state/batches").exists()


def test_a_batch_that_is_refused_shows_no_secret_either(site, watched):
    said, seen = "", set()
    for psk, reason in (
        (SHORT, "8 to 63 characters"),
        (SHORT + "{{ canary", "holds {{, {% or {#"),
        ("{{ canary }}" + PSK, "holds {{, {% or {#"),
        (None, 'write its passphrase, or psk: "" for an open network'),
    ):
        set_network(site, psk)
        for tags in ("batch", "batch,register"):
            printed, more = watched(*factory(site, f"--tags={tags}", "-vvv", "--diff"), code=2)
            assert "group_vars/all/site.yml: psk of" in printed
            assert reason in printed
            said, seen = said + printed, seen | more
    assert not (site / "state/batches").exists()
    set_network(site, PSK)
    (site / "spring.csv").write_text((SPRING % VALUE).replace("apikey:string", "apikey:u8"))
    printed, more = watched(*factory(site, "--tags=batch", "-vvv", "--diff"), code=2)
    assert "spring.csv, line 2: app:apikey: the value is no whole number" in printed
    for canary in (PSK, SHORT, VALUE):
        assert canary not in said + printed
    assert seen | more == set()
    assert not (site / "state/batches").exists()
