# What makes a plain Debian a bare Raspberry Pi. mmdebstrap runs this with the new root directory as $1.
set -eu

# As on a Pi: one unprivileged user who may become root without a password.
chroot "$1" useradd --create-home --shell /bin/bash --password '*' pi
printf 'pi ALL=(ALL) NOPASSWD: ALL\n' >"$1/etc/sudoers.d/010_pi-nopasswd"
chmod 0440 "$1/etc/sudoers.d/010_pi-nopasswd"

# Host keys baked into an image would be shared by every container of it: make them at the first boot, as Pi OS does.
rm -f "$1"/etc/ssh/ssh_host_*
cat >"$1/etc/systemd/system/ssh-host-keys.service" <<'UNIT'
[Unit]
Description=Make the SSH host keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=ssh.service
UNIT
chroot "$1" systemctl enable --quiet ssh-host-keys.service

# Translations of package descriptions are most of what apt would download for its lists.
printf 'Acquire::Languages "none";\n' >"$1/etc/apt/apt.conf.d/20languages"

# A Pi that never fetched package lists, and whose date says so: apt would take the day of the build for their age.
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
touch -d @0 "$1/var/lib/apt/lists"
