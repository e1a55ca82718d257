"""Playbooks that begin with a look at the inventory: what is wrong is said with its line, and nothing is made."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.passphrases import open_source
from fleetmint.preflight.variables import OTHERS
from tests.support import ansible_site
from tests.support.ansible_site import HOSTS, NETWORK, ROOT, VARIABLES, write_site


@pytest.fixture
def site(tmp_path):
    return write_site(tmp_path)


def play(site, playbook, *flags, inventory=None, **variables):
    """Run a playbook; return its exit code and what it printed."""
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = ansible_site.environment(site / "ansible", **variables)
    if not variables:
        environment.pop("ANSIBLE_VAULT_PASSWORD_FILE", None)
    command = [program, f"--inventory={inventory or site / 'hosts.yml'}", *flags, ROOT / "playbooks" / playbook]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def change(site, old, new):
    path = site / "group_vars/all.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(("playbook", "flags"), [
    ("ca.yml", []), ("gateway.yml", ["--tags=certificates"]), ("factory.yml", ["--tags=batch"]), ("handover.yml", []),
    ("revoke.yml", ["-e", "device=lamp-1"]), ("gateway_backup.yml", []), ("ca_rollover.yml", ["--tags=nothing"]),
    ("site.yml", []),
])  # fmt: skip
def test_every_play_says_all_that_is_wrong_with_its_line_and_makes_nothing(site, playbook, flags):
    change(site, "192.0.2.7", "192.0.2.300")
    change(site, "fleet_mqtt_port: 8883", "fleet_mqtt_prot: 8883")
    code, printed = play(site, playbook, *flags)
    assert code != 0
    assert "group_vars/all.yml:4: fleet_gateway_names[1] of gateway: '192.0.2.300' is no IPv4 address" in printed
    assert re.search(r"all.yml:7: fleet_mqtt_prot .*did you mean fleet_mqtt_port\?", printed)
    assert "fleet_mqtt_port of gateway: it is not set" in printed
    assert not (site / "state").exists()
    assert "UNREACHABLE" not in printed  # nobody was asked


def test_a_site_in_order_gets_its_cas_and_its_secrets_stay_its_own(site):
    code, printed = play(site, "ca.yml", "-vvv", "--diff")
    assert code == 0, printed
    assert (site / "state/ca/root/ca.crt").exists()
    assert "canary" not in printed


def test_a_site_one_of_whose_gateways_does_not_answer_is_told_why_before_its_cas_are_made(site):
    ready = {"ansible_connection": "local", "ansible_become": False, "fleet_gateway_names": ["other.example"]}
    (site / "hosts.yml").write_text(
        HOSTS.replace("        gateway:\n", f"        gateway:\n        other: {json.dumps(ready)}\n")
    )
    code, printed = play(site, "site.yml", "-e", "ansible_user=pi")
    assert code != 0
    assert re.search(r"SSH does not reach pi@127.0.0.1 \(.*Connection refused\): turn on SSH there", printed)
    assert "Make the certificate authorities" not in printed
    assert not (site / "state").exists()


def test_networks_are_read_too_and_no_passphrase_is_shown(site):
    change(site, "psk: canary-long-enough}", "psk: canary!}")
    change(site, "192.0.2.7", "192.0.2.300")
    code, printed = play(site, "ca.yml", "-vvv", "--diff")
    assert code != 0
    assert "2 things have to be mended" in printed
    assert re.search(
        r"all.yml, line 14: psk of the network 'default': a passphrase of WPA has 8 to 63 characters", printed
    )
    assert "canary" not in printed


def test_a_clock_before_what_was_signed_is_refused_unless_somebody_attests_it(site):
    assert play(site, "ca.yml")[0] == 0
    root = site / "state/ca/root/ca.crt"
    source = open_source(f"file:{site / 'state/passphrases'}")
    cas = Hierarchy(site / "state/ca", "test", source)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    plan_authority_crl(cas, "factory", [0xABCDEF], tomorrow).apply()
    code, printed = play(site, "ca.yml")
    assert code != 0
    assert "factory/crl.pem was signed" in printed
    assert root.exists()
    assert "was signed" not in play(site, "ca.yml", "-e", "preflight_clock_is_right=true")[1]


def test_a_look_ahead_at_a_gateway_alone_does_not_foresee_cas_that_nobody_would_make(site):
    code, printed = play(
        site, "factory.yml", "--check", "--tags=batch", "-e", f"batch={ROOT}/inventory/virtual/batch.yml"
    )
    assert code != 0
    assert "trust bundle, which playbooks/ca.yml makes" in printed


def test_what_a_role_would_refuse_later_is_refused_now(site):
    code, printed = play(site, "ca.yml", "-e", json.dumps({"mosquitto_max_devices": "many", "ca_root": "elsewhere"}))
    assert code != 0
    assert "mosquitto_max_devices" in printed
    assert "value of ca_root must be one of: controller, ceremony" in printed
    assert not (site / "state").exists()


@pytest.mark.parametrize(("given", "taken"), [("0443", 291), ("7:23", 443), ("0x1bb", 443), ("4_43", 443)])
def test_a_number_that_yaml_reads_as_another_is_refused(site, given, taken):
    change(site, "fleet_https_port: 443", f"fleet_https_port: {given}")
    code, printed = play(site, "ca.yml")
    assert code != 0
    assert f"group_vars/all.yml:5: fleet_https_port of gateway: YAML takes {given} for {taken}: write it in" in printed
    assert not (site / "state").exists()


def test_a_line_that_says_yes_where_a_port_belongs_is_named(site):
    change(site, "fleet_https_port: 443", "fleet_https_port: yes")
    code, printed = play(site, "ca.yml")
    assert code != 0
    assert "group_vars/all.yml:5: fleet_https_port of gateway: True is no port number" in printed


def test_an_inventory_without_the_controller_is_told_so_and_not_what_follows_from_it(site):
    (site / "hosts.yml").write_text("gateways: {hosts: {gateway: {ansible_host: 127.0.0.1, ansible_port: 1}}}\n")
    code, printed = play(site, "ca.yml")
    assert code != 0
    assert "One thing has to be mended" in printed
    assert "localhost: the inventory has to name it" in printed


def test_an_inventory_in_ini_is_read_as_well(site):
    (site / "hosts.yml").rename(site / "hosts.old")
    lines = "localhost ansible_connection=local\n\n[gateways]\ngateway ansible_port=1 fleet_mqtt_port=08883\n"
    (site / "hosts").write_text(lines)
    code, printed = play(site, "ca.yml", inventory=site / "hosts")
    assert code != 0
    assert re.search(r"/hosts:4: fleet_mqtt_port of gateway: '08883' is no port number", printed)
    assert "One thing has to be mended" in printed


def test_a_misspelt_word_on_the_command_line_is_none_of_ones_own(site):
    code, printed = play(site, "ca.yml", "-e", "bacth=spring.yml")
    assert code != 0
    assert "bacth of localhost, gateway: nothing reads a variable of this name: did you mean batch?" in printed


def test_a_template_that_fails_is_named_by_its_variable(site):
    change(site, "fleet_site: test", 'fleet_site: "{{ nobodys }}"')
    code, printed = play(site, "ca.yml")
    assert code != 0
    assert "fleet_site of localhost: it cannot be read: 'nobodys' is undefined" in printed


@pytest.mark.parametrize(
    "given",
    ["fleet_site: te{#x#}st", 'operators_names: ["al{#x#}ice@test"]', 'fleet_gateway_names: ["pi{#x#}.example"]'],
)
def test_what_a_template_would_cut_out_is_refused_with_its_line(site, given):
    (site / "group_vars/all.yml").write_text(f"{VARIABLES}{NETWORK}operators_names: []\n")
    (site / "host_vars").mkdir()
    for host in ("localhost", "gateway"):
        (site / f"host_vars/{host}.yml").write_text(f"---\n{given}\n")
    code, said = play(site, "ca.yml")
    assert code != 0
    assert re.search(rf"yml:2: {given.split(':')[0]}.*: Ansible would cut {{#…#}} out of it: write !unsafe", said), said
    assert not (site / "state").exists()


def test_the_vault_password_is_missed_before_there_is_anything_to_open(site):
    change(site, "file:{{ fleet_state_dir }}/passphrases", "vault:{{ inventory_dir }}/passphrases")
    code, printed = play(site, "ca.yml")
    assert code != 0
    assert "there is no vault password: export ANSIBLE_VAULT_PASSWORD_FILE=" in printed
    assert not (site / "state").exists()
    right, wrong = site / "right", site / "wrong"
    right.write_text("right\n")
    wrong.write_text("wrong\n")
    assert play(site, "ca.yml", ANSIBLE_VAULT_PASSWORD_FILE=str(right))[0] == 0
    code, printed = play(site, "ca.yml", ANSIBLE_VAULT_PASSWORD_FILE=str(wrong))
    assert code != 0
    assert f"the vault password does not open {site}/passphrases/" in printed


def test_every_variable_that_a_role_takes_from_elsewhere_is_known():
    used = set()
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):
        used |= set(re.findall(r"{{ \(?(\w+) \| default", path.read_text()))
    own = {path.name for path in (ROOT / "roles").iterdir()}
    assert {name for name in used if not name.startswith(tuple(f"{role}_" for role in own))} <= OTHERS
