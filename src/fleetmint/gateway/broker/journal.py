"""The broker's log in the journal: what it said before the watch began, and from there on without a gap."""

import subprocess

JOURNAL = ("journalctl", "--output=cat", "--unit=mosquitto")
# Who is connected, and what they have subscribed to, is in the latest ones.
_LINES = 5000
_CURSOR = "-- cursor: "


def past(journal: tuple[str, ...] = JOURNAL) -> tuple[list[str], str | None]:
    """Return the latest lines, and the cursor behind them (journalctl(1)), None where there is no line yet."""
    command = [*journal, f"--lines={_LINES}", "--show-cursor"]
    said = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout  # noqa: S603
    lines = said.decode(errors="replace").split("\n")[:-1]
    # always the last one, so that no device can write a cursor into the log
    if lines and lines[-1].startswith(_CURSOR):
        return lines[:-1], lines[-1].removeprefix(_CURSOR)
    return lines, None


def following(cursor: str | None, journal: tuple[str, ...] = JOURNAL) -> list[str]:
    """Return the command that writes every line behind `cursor`, and all that are to come."""
    return [*journal, "--follow", "--no-tail", *([] if cursor is None else [f"--after-cursor={cursor}"])]
