"""The machine below the gateway: asked of apt, systemd and Avahi themselves."""

import re

SECURITY = "origin=Debian,codename=trixie-security,label=Debian-Security"
PI_OS = "origin=Raspberry Pi Foundation,codename=trixie,label=Raspberry Pi Foundation"


def test_unattended_upgrades_takes_what_is_for_security_and_nothing_else(gateway):
    said = gateway.inside("sh", "-c", "unattended-upgrade --dry-run --verbose 2>&1")
    assert f"Allowed origins are: {SECURITY}, {PI_OS}\n" in said


def test_upgrades_begin_in_the_first_half_of_their_window_and_at_no_other_time(gateway):
    said = gateway.inside("systemctl", "show", "apt-daily-upgrade.timer")
    assert re.findall("OnCalendar=(.*?) ;", said) == ["*-*-* 03:00:00"]
    assert "RandomizedDelayUSec=1h\n" in said
    assert "Persistent=no\n" in said
    assert gateway.inside("systemctl", "is-active", "apt-daily-upgrade.timer").strip() == "active"


def test_a_replaced_library_is_taken_up_by_what_uses_it(gateway):
    units = ("nginx", "mosquitto", "fleetmint")

    def processes():
        return [gateway.inside("systemctl", "show", "--property=MainPID", unit) for unit in units]

    script = "/usr/local/lib/fleetmint/restart-outdated"
    gateway.inside(script)  # since the packages were installed, others came, too
    before = processes()
    replace = 'for each in /usr/lib/*/libssl.so.3; do cp -p "$each" "$each.new" && mv "$each.new" "$each"; done'
    gateway.inside("sh", "-c", replace)
    said = gateway.inside(script)
    assert [unit for unit in units if f"{unit}.service uses libraries that were replaced" not in said] == []
    assert not set(before) & set(processes())
    assert gateway.inside(script) == ""


def test_the_journal_has_its_limits(gateway):
    said = gateway.inside("systemd-analyze", "cat-config", "systemd/journald.conf")
    assert re.findall("^SystemMaxUse=(.*)", said, re.MULTILINE)[-1] == "200M"
    told = gateway.inside("journalctl", "--unit=systemd-journald", "--boot", "--output=cat")
    assert re.findall("System Journal .*max ([0-9.]+M)|Runtime Journal .*max ([0-9.]+M)", told)[-1] in (
        ("200M", ""), ("", "32M"),
    )  # fmt: skip


def test_systemd_asks_the_hardware_to_watch_it(gateway):
    said = gateway.inside("systemctl", "show", "--property=RuntimeWatchdogUSec", "--property=RebootWatchdogUSec")
    assert said.split() == ["RuntimeWatchdogUSec=15s", "RebootWatchdogUSec=2min"]


def test_what_is_for_the_next_start_is_understood(gateway):
    assert "tmp.mount" in gateway.inside("systemctl", "show", "--property=Wants", "local-fs.target")
    said = gateway.inside("sh", "-c", "systemd-analyze verify --man=no /usr/local/lib/systemd/system/tmp.mount 2>&1")
    assert said == ""
    assert gateway.inside("systemctl", "is-active", "logrotate.timer").strip() == "active"


def test_what_the_kernel_is_told_it_knows(gateway):
    said = gateway.inside("systemd-analyze", "cat-config", "sysctl.d/60-fleetmint.conf")
    keys = re.findall(r"^([a-z0-9_.]+) =", said, re.MULTILINE)
    assert "net.ipv4.conf.all.accept_redirects" in keys
    known = gateway.inside("sh", "-c", "cd /proc/sys && find . -type f 2>/dev/null").replace("/", ".").split()
    assert [key for key in keys if f"..{key}" not in known] == []
