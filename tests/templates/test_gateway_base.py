"""The machine below a gateway: its upgrades, its journal, what spares its card, and the name that it tells."""

import os
import shutil
import subprocess
from xml.etree import ElementTree

import pytest
import yaml

from tests.templates.conftest import ROOT, Role

APT = "etc/apt/apt.conf.d/52fleetmint.j2"
AVAHI = "etc/avahi/fleetmint.conf.j2"
SERVICE = "etc/avahi/services/fleetmint.service.j2"
OUTDATED = "usr/local/lib/fleetmint/restart-outdated.j2"
JOURNAL = "etc/systemd/journald.conf.d/fleetmint.conf.j2"
# what a play works out with Ansible's own filters
WORKED_OUT = {
    "__gateway_base_updates_spread": 60,
    "__gateway_base_version": "1.2.3",
    "gateway_base_mdns_name": "gateway",
}


@pytest.fixture
def role() -> Role:
    return Role("gateway_base")


def options(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="there is no apt here")
def test_apt_takes_security_upgrades_alone_whatever_debian_has_set(role, tmp_path):
    theirs, ours = tmp_path / "50unattended-upgrades", tmp_path / "52fleetmint"
    theirs.write_text('Unattended-Upgrade::Origins-Pattern { "origin=Debian,label=Debian"; };\n')
    ours.write_text(role.render(APT))
    (tmp_path / "apt.conf").write_text(f'Dir::Etc::Parts "{tmp_path}";\n')
    said = subprocess.run(
        ["apt-config", "dump"],
        env={**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    origins = [
        line.split(" ", 1)[1] for line in said.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern::")
    ]
    assert origins == [
        '"origin=Debian,codename=${distro_codename}-security,label=Debian-Security";',
        '"origin=Raspberry Pi Foundation,codename=${distro_codename},label=Raspberry Pi Foundation";',
    ]
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in said
    assert 'APT::Periodic::Unattended-Upgrade "1";' in said


def test_a_reboot_has_to_be_asked_for_and_waits_for_the_end_of_the_window(role):
    text = role.render(APT, gateway_base_updates_reboot=True, gateway_base_updates_until="04:30")
    assert 'Automatic-Reboot "true";' in text
    assert 'Automatic-Reboot-Time "04:30";' in text


def test_what_is_restarted_is_what_the_site_names(role, tmp_path):
    script = tmp_path / "restart-outdated"
    script.write_text(role.render(OUTDATED, gateway_base_updates_restart=["one.service", "two.service"]))
    assert "for unit in one.service two.service; do" in script.read_text()
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_the_journal_stays_where_the_system_has_it_unless_somebody_says_so(role):
    limits = options(role.render(JOURNAL))
    assert "Storage" not in limits
    assert (limits["SystemMaxUse"], limits["RuntimeMaxUse"]) == ("200M", "32M")
    assert options(role.render(JOURNAL, gateway_base_journal_storage="volatile"))["Storage"] == "volatile"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_units(role, tmp_path):
    mount = tmp_path / "tmp.mount"
    mount.write_text(role.render("usr/local/lib/systemd/system/tmp.mount.j2"))
    timer = tmp_path / "upgrade.timer"
    drop_in = role.render("etc/systemd/system/apt-daily-upgrade.timer.d/fleetmint.conf.j2", **WORKED_OUT)
    timer.write_text(f"{drop_in}Unit=multi-user.target\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", mount, timer], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "tmp.mount" in line] == []
    assert "RandomizedDelaySec=60min" in drop_in


def test_tmp_is_not_mounted_over_what_running_programs_have_there(role):
    unit = role.render("usr/local/lib/systemd/system/tmp.mount.j2")
    assert "ConditionPathExists=!/run/dbus/system_bus_socket" in unit.splitlines()


@pytest.mark.parametrize(("names", "reached", "told"), [
    (["gateway.local", "192.0.2.7"], "192.0.2.7", "host-name=gateway"),
    (["gateway.local", "192.0.2.7"], "Gateway.local", "host-name=gateway"),
    (["gateway.example.net", "Workshop.local", "other.local"], "192.0.2.7", "host-name=workshop"),
    (["gateway.example.net", "a.b.local"], "192.0.2.7", None),
    # the next run of the play has to find it
    (["gateway.local"], "raspberrypi.local", None),
])  # fmt: skip
def test_the_name_is_the_one_that_devices_use_unless_ansible_comes_by_another(names, reached, told, tmp_path):
    """Ansible itself works it out: its filters are not Jinja's alone."""
    play = tmp_path / "play.yml"
    role = ROOT / "roles/gateway_base"
    tasks = [{"ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.template', template) }}"}}]
    variables = {
        "template": str(role / "templates" / AVAHI),
        "fleet_gateway_names": names,
        "ansible_host": reached,
        "ansible_connection": "local",
    }
    files = [str(role / each / "main.yml") for each in ("defaults", "vars")]
    play.write_text(
        yaml.safe_dump(
            [{"hosts": "all", "gather_facts": False, "vars_files": files, "vars": variables, "tasks": tasks}]
        )
    )
    command = ["ansible-playbook", "-i", "gateway,", play]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = [line.strip() for line in done.stdout.splitlines() if "host-name=" in line]
    assert said == ([told] if told else [])


def test_what_is_told_is_what_a_connection_would_show(role):
    text = role.render(SERVICE, **WORKED_OUT, fleet_site="a&b")
    service = ElementTree.fromstring(text).find("service")  # noqa: S314 - our own
    assert service.findtext("type") == "_fleetmint._tcp"
    assert service.findtext("port") == "443"
    assert [each.text for each in service.findall("txt-record")] == [
        "version=1.2.3", "site=a&b", "gateway=gateway", "operators=8443", "mqtt=8883", "operators-mqtt=8884",
    ]  # fmt: skip


def test_avahi_asks_nobody_far_away_and_offers_nothing_for_others(role):
    said = options(role.render(AVAHI, **WORKED_OUT))
    assert said["enable-wide-area"] == "no"
    assert said["disable-user-service-publishing"] == "yes"
    assert said["publish-workstation"] == "no"


def test_each_file_belongs_to_a_part_that_can_be_switched_off(role):
    parts = {
        name.removeprefix("__gateway_base_"): [each["path"] for each in value]
        for name, value in role.read("vars/main.yml").items()
        if isinstance(value, list) and value and isinstance(value[0], dict) and "content" in value[0]
    }
    assert all(role.options[f"gateway_base_{part}"]["type"] == "bool" for part in parts)
    written = sorted(path for paths in parts.values() for path in paths)
    templates = role.templates.rglob("*.j2")
    assert written == sorted(f"/{path.relative_to(role.templates).with_suffix('')}" for path in templates)
    for choice in ("files", "unwanted"):
        said = role.read("vars/main.yml")[f"__gateway_base_{choice}"]
        assert [part for part in parts if f"__gateway_base_{part}" not in said] == []
