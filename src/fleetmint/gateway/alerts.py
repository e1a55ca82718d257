"""Who is told of what is due on this gateway: operators over MQTT, systemd, and a command of the site's choosing.

    due.json     what is due; the watch on the broker keeps it retained for operators (broker/announcement.py)
    told.json    what the command was told last, and when
    alert.json   {"command": [word, …]}; without a word nobody is told

A unit of its own runs the command (fleetmint-alert@.service). It gets the text on its standard input and words as
they are: no shell reads either. It is run when something has changed, and every week while something is due; one that
fails is run again on the next day.
"""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fleetmint import files
from fleetmint.documents.times import text_time, time_text
from fleetmint.errors import AlertError, StateError
from fleetmint.gateway import local_socket
from fleetmint.gateway.config import Config
from fleetmint.gateway.expiries import Due
from fleetmint.gateway.local_socket import NoAnswerError
from fleetmint.printable import printable

AGAIN = timedelta(days=7)
# So that whoever tries it over HTTPS has the answer before uWSGI gives the request up.
_SECONDS = 20
_MARGIN = 4
_KEPT = 500
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Answer:
    """What the command said: `ok` is whether its exit code was 0, `said` the end of what it printed."""

    ok: bool
    said: str


def due_file(config: Config) -> Path:
    """Return the file that says what is due, for everybody on this machine."""
    return config.alerts / "due.json"


def write_due(config: Config, found: Sequence[Due], now: datetime) -> None:
    """Write what is due where the watch on the broker looks for it."""
    told = [{"what": each.text, "remedy": list(each.remedy)} for each in found]
    values = {"gateway": config.gateway, "site": config.site, "at": f"{now:%Y-%m-%dT%H:%M:%SZ}", "due": told}
    files.write_atomically(due_file(config), json.dumps(values).encode() + b"\n", files.PUBLIC_FILE)


def text_of(config: Config, found: Sequence[Due]) -> str:
    """Return what a person is told, a summary in the first line."""
    who = f"Gateway {config.gateway} of {config.site}"
    if not found:
        return f"{who}: nothing is due any more.\n"
    what = "one thing needs you" if len(found) == 1 else f"{len(found)} things need you"
    lines = [f"{who}: {what}.", ""]
    for each in found:
        lines.append(f"- {printable(each.text)}")
        lines += [f"    {printable(line)}" for line in each.remedy]
    return "\n".join(lines) + "\n"


def tell(config: Config, found: Sequence[Due], now: datetime, say: Callable[[str], Answer]) -> bool:
    """Have the text said if there is something new in it, or a week has passed; return whether it was.

    Raises AlertError when the command fails, StateError when its file cannot be read.
    """
    keys = sorted(each.key for each in found)
    if not alert_command(config.alert) or not _is_news(config, keys, now):
        return False
    answer = say(text_of(config, found))
    if not answer.ok:
        raise AlertError(f"alert_command of {config.gateway} failed: {answer.said}")
    told = {"keys": keys, "at": time_text(now)}
    files.write_atomically(config.alerts / "told.json", json.dumps(told).encode() + b"\n")
    return True


def ask(config: Config, text: str) -> Answer:
    """Have the command run by its own unit, which may reach the network and nothing of this gateway."""
    try:
        answer = local_socket.ask(config.alert_socket, text.encode(), _SECONDS + _MARGIN)
        return Answer(bool(answer["ok"]), str(answer["said"]))
    except (NoAnswerError, KeyError, TypeError) as error:
        hint = "`systemctl status 'fleetmint-alert*'` on the gateway says why"
        return Answer(False, f"{config.alert_socket} does not answer ({error}): {hint}")


def test(config: Config) -> Answer:
    """Have the command told that this is a test; without a command that is a failure."""
    return ask(config, f"Gateway {config.gateway} of {config.site}: this is a test, nothing is due.\n")


def alert_command(file: Path) -> list[str]:
    """Return the words of the command, none when there is none; raise StateError when their file is damaged."""
    if not file.exists():
        return []
    try:
        words = json.loads(files.read(file, "alert_command"))["command"]
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{file} is damaged: run the gateway's play again") from error
    return [str(word) for word in words]


def run(file: Path, text: bytes) -> Answer:
    """Run the command in `file` with `text` on its standard input, for a limited time, without this environment.

    The account that runs it is in no group of the gateway's, so that file is all that it has.
    """
    command = alert_command(file)
    if not command:
        return Answer(False, "this gateway has no alert_command: set fleet_alert_command in the inventory")
    return run_command(command, text)


def run_command(command: Sequence[str], text: bytes) -> Answer:
    """Run the words of a command with `text` on its standard input, for a limited time; no shell reads either."""
    environment = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
    try:
        done = subprocess.run(  # noqa: S603 - the site's own words, and no shell
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            env=environment,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, f"{command[0]} took longer than {_SECONDS} s")
    except (OSError, ValueError) as error:
        return Answer(False, f"{command[0]} cannot be run: {getattr(error, 'strerror', None) or error}")
    said = printable(done.stdout.decode(errors="replace").strip())[-_KEPT:]
    if done.returncode == 0:
        return Answer(True, said)
    return Answer(False, f"{command[0]} ended with {done.returncode}: {said or 'it said nothing'}")


def _is_news(config: Config, keys: list[str], now: datetime) -> bool:
    try:
        told = json.loads(files.read(config.alerts / "told.json", "what was told"))
        before, at = list(told["keys"]), text_time(told["at"])
    except (StateError, ValueError, KeyError, TypeError):
        return bool(keys)  # nobody has been told of anything yet
    return keys != before or (bool(keys) and now - at >= AGAIN)
