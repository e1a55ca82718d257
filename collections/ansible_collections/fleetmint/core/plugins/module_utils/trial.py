"""Files on trial: what was there before is kept, and comes back by itself unless somebody confirms.

It runs on the gateway, with nothing but Python and systemd. Whoever renames the directory of the trial first has
decided: a confirmation renames it away, the way back renames it to `.back` and goes on from there after a cut, too.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/var/lib/fleetmint-trial")
UNITS = Path("/etc/systemd/system")
SYSTEMCTL = "/usr/bin/systemctl"
# What reads files that are on trial, so that a machine that starts has the old ones when these begin.
BEFORE = "nftables.service fleetmint-firewall.service network-pre.target ssh.service ssh.socket"


class TrialError(Exception):
    """A command of the trial failed, or there is no such trial any more."""


@dataclass(frozen=True)
class Trial:
    """A trial by name; `apply` puts files in force, `withdraw` runs before the old ones come back.

    Both are lists of shell commands. On the way back each is run even when one before it has failed.
    """

    name: str
    apply: Sequence[str]
    withdraw: Sequence[str]

    @property
    def _directory(self) -> Path:
        return ROOT / self.name

    @property
    def _returning(self) -> Path:
        return ROOT / f"{self.name}.back"

    @property
    def _unit(self) -> Path:
        return UNITS / f"fleetmint-trial-{self.name}.service"

    @property
    def _wanted(self) -> Path:
        return UNITS / "sysinit.target.wants" / self._unit.name

    @property
    def _timer(self) -> str:
        return f"fleetmint-trial-{self.name}-timeout"

    def is_open(self) -> bool:
        """Whether a trial was begun that is neither confirmed nor taken back."""
        return self._directory.is_dir() or self._returning.is_dir()

    def begin(self, paths: Sequence[Path], seconds: int) -> None:
        """Keep what is at `paths`, and have it come back in `seconds` or at the next start of the machine."""
        ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = ROOT / f"{self.name}.new"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        for number, path in enumerate(paths):
            if path.exists():
                shutil.copy2(path, making / str(number))
                owner = path.stat()
                os.chown(making / str(number), owner.st_uid, owner.st_gid)
        (making / "revert").write_text(self._script(paths))
        # Its start-up unit comes first and is nothing without the directory.
        self._unit.write_text(self._at_the_next_start())
        self._wanted.parent.mkdir(exist_ok=True)
        self._wanted.unlink(missing_ok=True)
        self._wanted.symlink_to(self._unit)
        os.sync()
        making.rename(self._directory)
        os.sync()
        # a minute late is what systemd would call punctual
        when = (f"--on-active={seconds}", "--timer-property=AccuracySec=1s")
        revert = ("/bin/sh", str(self._directory / "revert"), "now")
        _run("/usr/bin/systemd-run", "--quiet", "--collect", f"--unit={self._timer}", *when, *revert)

    def put_in_force(self) -> None:
        """Run what puts the new files in force; raise TrialError at the first command that fails."""
        for command in self.apply:
            _run("/bin/sh", "-c", command)

    def confirm(self) -> None:
        """Keep the new files; raise TrialError when the old ones have come back already."""
        done = ROOT / f"{self.name}.done"
        shutil.rmtree(done, ignore_errors=True)
        try:
            self._directory.rename(done)
        except FileNotFoundError as error:
            raise TrialError("the time was over, and the old files have come back") from error
        _attempt(SYSTEMCTL, "stop", f"{self._timer}.timer")
        self._wanted.unlink(missing_ok=True)
        self._unit.unlink(missing_ok=True)
        shutil.rmtree(done)

    def revert(self) -> None:
        """Bring the old files back now."""
        for directory in (self._returning, self._directory):
            if (directory / "revert").exists():
                _attempt("/bin/sh", str(directory / "revert"), "now")
        _attempt(SYSTEMCTL, "stop", f"{self._timer}.timer")

    def _script(self, paths: Sequence[Path]) -> str:
        kept, returning, link, unit = (
            shlex.quote(str(path)) for path in (self._directory, self._returning, self._wanted, self._unit)
        )
        lines = [
            "#!/bin/sh",
            f"[ -d {returning} ] || mv -T {kept} {returning} || exit 0",
            f"cd {returning} || exit 1",
            # A machine that starts has nothing running yet, and would wait here for what waits for this.
            'if [ "$1" = now ]; then',
            *(f"    {command}" for command in self.withdraw or [":"]),
            "fi",
        ]
        for number, path in enumerate(paths):
            target = shlex.quote(str(path))
            beside = shlex.quote(f"{path}.fleetmint-back")
            lines += [
                f"if [ -e {number} ]; then cp -p {number} {beside} && mv -f {beside} {target}; else rm -f {target}; fi"
            ]
        lines += [
            f"rm -f {link} {unit}",
            "sync",
            f"{SYSTEMCTL} daemon-reload",
            'if [ "$1" = now ]; then',
            *(f"    {command}" for command in self.apply or [":"]),
            "fi",
            "cd /",
            f"rm -rf {returning}",
            "exit 0",
        ]
        return "\n".join(lines) + "\n"

    def _at_the_next_start(self) -> str:
        either = f"for d in {self._returning} {self._directory}; do [ ! -d $$d ] || exec /bin/sh $$d/revert boot; done"
        return (
            "[Unit]\n"
            f"Description=Bring back what was before the trial of {self.name}\n"
            "DefaultDependencies=false\n"
            "After=local-fs.target\n"
            f"Before={BEFORE}\n"
            "\n"
            "[Service]\n"
            "Type=oneshot\n"
            f"ExecStart=/bin/sh -c '{either}'\n"
        )


def _attempt(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603


def _run(*command: str) -> None:
    done = _attempt(*command)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"it ended with {done.returncode} and said nothing"
        raise TrialError(f"{command[-1]}: {said}")
