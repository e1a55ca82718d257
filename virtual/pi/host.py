"""What this host lets podman do, found out before anything is made."""

import getpass
import os
import resource
import shutil
from pathlib import Path

from virtual.pi.command import PiError

# Several of podman's companions are only recommended by its package, so they are named here.
PACKAGES = (
    "podman runc netavark aardvark-dns iptables uidmap slirp4netns mmdebstrap debian-archive-keyring openssh-client"
)
CAP_SYS_RESOURCE = 24


def require() -> None:
    """Raise PiError with what is missing and what to do, when this host cannot run the virtual Pi."""
    if not shutil.which("podman"):
        raise PiError(f"podman is not installed: run `sudo apt-get install {PACKAGES}`")
    if os.geteuid() != 0:
        _require_rootless()


def _require_rootless() -> None:
    user, reasons = getpass.getuser(), []
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        reasons.append("the kernel uses cgroup v1 (boot with systemd.unified_cgroup_hierarchy=1)")
    if not all(_has_range(Path(file), user) for file in ("/etc/subuid", "/etc/subgid")):
        reasons.append(
            f"{user} has no subordinate ids "
            f"(`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`)"
        )
    if not shutil.which("newuidmap"):
        reasons.append("newuidmap is missing (`sudo apt-get install uidmap`)")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        reasons.append("/dev/net/tun cannot be opened (`sudo modprobe tun`)")
    if reasons:
        raise PiError(f"podman cannot run here without root, because {'; and '.join(reasons)}: mend that or use root")


def _has_range(file: Path, user: str) -> bool:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in (user, str(os.geteuid())) for line in lines)


def run_flags() -> list[str]:
    """Return the flags that `podman run` needs on this host beyond the usual."""
    # root on a Pi may set up its firewall
    flags = ["--cap-add=NET_ADMIN"]
    if os.geteuid() != 0:
        return flags
    if Path("/sys/fs/cgroup/unified/cgroup.controllers").exists():
        # crun refuses a layout that mixes cgroup v1 and v2
        if not shutil.which("runc"):
            raise PiError("this host mixes cgroup v1 and v2, where podman needs runc: `apt-get install runc`")
        flags += ["--runtime", "runc"]
    if not _capable(CAP_SYS_RESOURCE):
        # podman's defaults lie above our hard limits, and this root may not raise them
        flags += _limit("nofile", resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        # podman itself lowers its limit of processes to the number of pids
        pids = int(Path("/proc/sys/kernel/pid_max").read_text())
        flags += _limit("nproc", min(pids, resource.getrlimit(resource.RLIMIT_NPROC)[1] % 2**64))
    return flags


def _limit(name: str, hard: int) -> list[str]:
    return [] if hard == resource.RLIM_INFINITY else [f"--ulimit={name}={hard}:{hard}"]


def _capable(capability: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> capability & 1)
