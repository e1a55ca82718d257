"""What keeps a Pi from becoming or being a gateway, out of what it says about itself and of what SSH and sudo say."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fleetmint.preflight.problem import Problem
from fleetmint.preflight.variables import ADDRESSES, SSH_PORT

NO_FAMILY = "EAFNOSUPPORT"
RELEASES = ("12", "13")
ARCHITECTURES = ("amd64", "arm64")
_OF_32_BITS = ("armhf", "armel", "i386")
_LISTENER = re.compile(r'^\S+ +\S+ +\S+ +\S+:(\d+) .*users:\(\("([^"]+)"', re.MULTILINE)
# What ssh says, and what to do about it.
_SSH = (
    # ssh ends that with the words below, too
    (
        "IDENTIFICATION HAS CHANGED",
        "if it is a new Pi, remove the old key with `ssh-keygen -R {known}`, and log in once with `ssh {port}{at}`",
    ),
    ("Host key verification failed", "log in once with `ssh {port}{at}`, and compare the host key that you are shown"),
    ("Permission denied", "bring your key to it with `ssh-copy-id {port}{at}`"),
    ("Could not resolve hostname", "set ansible_host in hosts.yml to a name or an address that this machine knows"),
    ("Connection refused", "turn on SSH there (`sudo raspi-config`, or `sudo systemctl enable --now ssh`)"),
    ("No route to host", "turn it on, and see that it is in this network"),
    ("timed out", "turn it on, and see that it is in this network"),
)
_SUDO_SAYS = re.compile(r"\bsudo: ")
_NOT_LOOKED = (
    (
        "sudo: (command )?not found",
        "there is no sudo",
        "install it as root (`apt install sudo`), with this account in it",
    ),
    ("python3: .*(not found|No such file)", "there is no /usr/bin/python3", "`sudo apt install python3` there"),
    ("Missing", "sudo there asks for a password", "run this again with -K, and type it"),
    ("Incorrect", "sudo there refuses the password", "run this again with -K, and type the one of this account"),
    ("password is required", "sudo there asks for a password", "run this again with -K, and type it"),
    (
        "(?i)sorry, try again",
        "sudo there refuses the password",
        "run this again with -K, and type the one of this account",
    ),
    ("not in the sudoers", "this account may not use sudo there", "add it to the group sudo, or use another account"),
    ("not allowed to", "this account may not use sudo there", "add it to the group sudo, or use another account"),
)


def check_gateway(
    said: Mapping[str, Any], ports: Mapping[str, Collection[int]], now: datetime, most: timedelta
) -> list[Problem]:
    """Return what is wrong with a Pi: `ports` are those of each program, `most` may its clock differ from `now`."""
    return [*_clock(said, now, most), *_release(said), *_addresses(said), *_taken(said, ports)]


def unreachable(message: str, host: str, user: str, port: int = SSH_PORT) -> Problem:
    """Return the problem of a Pi that SSH did not reach."""
    at = f"{user}@{host}" if user else host
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reason = re.sub(r"^.*(host via|over) ssh: (ssh: )?", "", lines[-1] if lines else "no reason given")
    if "privilege escalation" in message:
        return Problem("", f"{at} does not become root ({reason})", "try `sudo true` there; -K gives a password to it")
    remedy = next((text for key, text in _SSH if key.lower() in message.lower()), "try `ssh {port}{at}` by hand")
    words = {"at": at, "port": "", "known": host}
    if port != SSH_PORT:
        words |= {"port": f"-p {port} ", "known": f"'[{host}]:{port}'"}
    return Problem("", f"SSH does not reach {at} ({reason})", remedy.format(**words))


def not_looked(message: str) -> Problem:
    """Return the problem of a Pi that SSH reached and that did not say anything about itself, but `message`."""
    known = next((Problem("", what, remedy) for key, what, remedy in _NOT_LOOKED if re.search(key, message)), None)
    if known is not None:
        return known
    if _SUDO_SAYS.search(message):  # in the language of that account
        remedy = "if that is because it wants a password, run this again with -K; or try `sudo true` there by hand"
        return Problem("", f"sudo there refuses ({message})", remedy)
    return Problem("", f"it cannot say anything about itself ({message})", "see that its /usr/bin/python3 works")


def _clock(said: Mapping[str, Any], now: datetime, most: timedelta) -> Iterator[Problem]:
    there = datetime.fromtimestamp(said["time"], UTC)
    if abs(there - now) > most:
        form = "%Y-%m-%d %H:%M:%S"
        what = f"its clock says {there:{form}}Z, and that of this machine {now:{form}}Z"
        remedy = "set the wrong one (`sudo timedatectl set-ntp true`, or by hand where there is no internet)"
        yield Problem("", what, remedy)


def _release(said: Mapping[str, Any]) -> Iterator[Problem]:
    fields = dict(re.findall(r"""^(\w+)=["']?([^"'\n]*)["']?$""", said["release"], re.MULTILINE))
    family = {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}
    remedy = "write Raspberry Pi OS (64-bit) or Debian, 12 or 13, to its card"
    if "debian" not in family or "ubuntu" in family or fields.get("VERSION_ID") not in RELEASES:
        yield Problem("", f"it runs {fields.get('PRETTY_NAME') or 'an unknown system'}", remedy)
    elif said["architecture"] in _OF_32_BITS:
        what = f"it runs a 32-bit system ({said['architecture']}), on which nobody has tried this"
        yield Problem("", what, f"{remedy}; a Pi 3, a Zero 2 W and later ones can run it")
    elif said["architecture"] not in ARCHITECTURES:
        yield Problem(
            "", f"it is a machine that nobody has tried ({said['architecture']})", f"{remedy} of a Pi or a PC"
        )


def _addresses(said: Mapping[str, Any]) -> Iterator[Problem]:
    refused = said["refused"]
    if families := [address for address, reason in refused.items() if reason == NO_FAMILY]:
        kind = "IPv6" if ":" in families[0] else "IPv4"
        rest = "[0.0.0.0]" if kind == "IPv6" else '["[::]"]'
        yield Problem("", f"it has no {kind}, and nginx could not listen on {families[0]}", f"set {ADDRESSES}: {rest}")
    for address, reason in refused.items():
        if reason != NO_FAMILY:
            yield Problem(ADDRESSES, f"it cannot listen on {address} ({reason})", "name addresses of this machine only")


def _taken(said: Mapping[str, Any], ports: Mapping[str, Collection[int]]) -> Iterator[Problem]:
    held = {int(port): program for port, program in _LISTENER.findall(said["listening"])}
    for program, wanted in ports.items():
        for port in sorted(wanted):
            holder = held.get(port, program)
            if holder != program:
                remedy = "stop that program, or choose another port in the site's variables"
                yield Problem("", f"port {port}, which {program} needs, is taken by {holder}", remedy)
