"""The image of the virtual Pi: built once from Debian's mirror, shared by every checkout."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fleetmint.files import make_private_dir
from virtual.pi.command import PiError, attempt, last_line, run, say

# what Pi OS is made of: today's, and the one before
SUITES = ("trixie", "bookworm")
SUITE = SUITES[0]
# what Pi OS Lite has and the roles rely on; everything else is the roles' to install
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,python3,python3-apt,openssh-server,sudo,iproute2,ca-certificates,tzdata"
)
CUSTOMIZE = Path(__file__).with_name("customize.sh")
# PID 1 is systemd, and this signal makes it shut down
CHANGES = ("--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3")

KNOWN_FAILURES = (
    (("resolv", "could not connect", "failed to fetch"), "Debian's mirror cannot be reached: check the network"),
    (("no_pubkey", "not signed"), "Debian's keys are missing: `sudo apt-get install debian-archive-keyring`"),
    (("no space left",), "the disk is full"),
    (("unshare", "newuidmap"), "this host restricts user namespaces (see `man mmdebstrap`, mode unshare): use root"),
)


def name(suite: str = SUITE) -> str:
    """Return the name of the image, which changes with what is in it."""
    recipe = "\n".join((suite, PACKAGES, CUSTOMIZE.read_text(), *CHANGES))
    return f"localhost/fleetmint-pi:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure(suite: str = SUITE) -> str:
    """Return the name of the image after building it where it is missing; raises PiError."""
    image = name(suite)
    if _exists(image):
        return image
    with _one_build_at_a_time():
        if not _exists(image):  # another checkout may have built it while we waited
            _build(image, suite)
    return image


def _exists(image: str) -> bool:
    asked = attempt("podman", "image", "exists", image)
    if asked.returncode > 1:
        raise PiError(f"podman does not work here: {last_line(asked.stderr)}")
    return asked.returncode == 0


def _build(image: str, suite: str) -> None:
    if not shutil.which("mmdebstrap"):
        raise PiError("mmdebstrap is not installed: `sudo apt-get install mmdebstrap debian-archive-keyring`")
    say(f"Building the image of the virtual Pi (Debian {suite}, once, about 40 s)")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetmint-pi-") as scratch:
        archive = Path(scratch) / "image.tar"
        _bootstrap(suite, archive)
        say("  storing the image")
        run("podman", "import", "--quiet", *CHANGES, str(archive), image, timeout=600)
    say(f"  built in {time.monotonic() - started:.0f} s")


def _bootstrap(suite: str, archive: Path) -> None:
    # The archive is our stdout and the hook a text: in an unprivileged build the inner root can read neither our home
    # nor our temporary directory.
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={PACKAGES}",
        "--skip=cleanup/apt",  # done in the hook
        f"--customize-hook={CUSTOMIZE.read_text()}",
        suite,
        "-",
    ]
    said = []
    with (
        archive.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, errors="replace") as process,  # noqa: S603
    ):
        for line in process.stderr or ():
            said.append(line)
            if line.startswith("I: ") and line.rstrip().endswith("..."):
                say(f"  {line[3:].rstrip()}")
    if process.returncode:
        raise PiError(f"mmdebstrap could not build the image: {_explain(said)}")


def _explain(said: list[str]) -> str:
    text = "".join(said).lower()
    for signs, sentence in KNOWN_FAILURES:
        if any(sign in text for sign in signs):
            return sentence
    errors = [line for line in said if line.startswith("E: ")]
    return last_line("".join(errors or said)).removeprefix("E: ")


@contextlib.contextmanager
def _one_build_at_a_time() -> Iterator[None]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetmint"
    make_private_dir(cache)
    with (cache / "image.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
