"""A factory's day on virtual boards: many boards, several stations on one PostgreSQL, a tenth of the boards bad.

    python benchmarks/campaign.py [--boards N] [--stations N] [--slots N] [--faults PERCENT] [--seed N]

Each station is the real command `fleetmint burn` in a process of its own; a hand takes out what is done and puts the
next board in. A board that was pulled out is put in again, anywhere. In the end: as many different identities as good
boards, each burned once and into the board that the ledger names, every bad board in quarantine with its reason, and
the invariant checker finds nothing. Exits with 1 when not.
"""

import argparse
import collections
import json
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from fleetmint.batch.common import Gateway, site_common
from fleetmint.batch.create import BatchLocation, plan_batch
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import read_batch
from fleetmint.burn_codes import BurnCode
from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.flash.table import stock
from fleetmint.ledger import create_schema, open_ledger, reading
from fleetmint.ledger.attempts import list_refused
from fleetmint.ledger.factory import list_units
from fleetmint.ledger.factory_audit import findings
from fleetmint.nvs.decode import decode
from fleetmint.passphrases import open_source
from virtual import postgres
from virtual.esp32.faults import Faults
from virtual.esp32.rack import Blank, Slot

NVS = stock("4MiB").find("nvs")
# fault → what the ledger has to say of such a board: the code of a refusal, a state, or nothing
FAULTS: dict[str, BurnCode | None] = {
    "unplug": None,
    "rot": BurnCode.MD5,
    "silent": BurnCode.NO_ANSWER,
    "duplicate": BurnCode.DUPLICATE,
    "wrong-chip": BurnCode.WRONG_CHIP,
    "too-small": BurnCode.TOO_SMALL,
    "secured": BurnCode.SECURED,
}
_END = ("burned", "kept", "failed")


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign, print what came of it, and return the exit code."""
    parser = argparse.ArgumentParser(description="Many virtual boards through several stations.")
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--stations", type=int, default=4)
    parser.add_argument("--slots", type=int, default=3, help="of each station")
    parser.add_argument("--faults", type=float, default=10, help="per cent of bad boards")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="fleetmint-campaign-", dir="/dev/shm"))
    try:
        with postgres.cluster() as url:
            return Campaign(options, directory, url).run()
    finally:
        shutil.rmtree(directory)


class Campaign:
    """One run: the pile of boards, the stations, and what was found."""

    def __init__(self, options: argparse.Namespace, directory: Path, url: str) -> None:
        self.options, self.directory, self.url = options, directory, url
        self.random = random.Random(options.seed)  # noqa: S311 - a campaign that can be repeated
        self.kinds: dict[str, str] = {}
        self.found: dict[str, str] = {}
        self.pile: queue.Queue[tuple[Blank, str]] = queue.Queue()
        self.lock = threading.Lock()
        self.number = 0

    def run(self) -> int:
        """Burn all boards and judge."""
        started = time.monotonic()
        boards = self._boards()
        # one is left over: a batch that is done would end the stations while bad boards wait
        self._site(1 + sum(kind in ("", "unplug", "rot") for _board, kind in boards))
        for board in boards:
            self.pile.put(board)
        stations = [self._station(number) for number in range(self.options.stations)]
        threads = [threading.Thread(target=self._hand, args=station, daemon=True) for station in stations]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process, slots in stations:
            if process.poll() is None:
                process.terminate()
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()
            for slot in slots.values():
                slot.take()
        seconds = time.monotonic() - started
        return self._judge(boards, seconds)

    def _boards(self) -> list[tuple[Blank, str]]:
        bad = round(self.options.boards * self.options.faults / 100)
        kinds = [list(FAULTS)[index % len(FAULTS)] for index in range(bad)]
        kinds += [""] * (self.options.boards - bad)
        self.random.shuffle(kinds)
        boards = [(self._blank(number, kind), kind) for number, kind in enumerate(kinds, 1)]
        good = [board.mac for board, kind in boards if not kind]
        clones = [board for board, kind in boards if kind == "duplicate"]
        # whichever of the two comes second is refused
        for clone, mac in zip(clones, self.random.sample(good, len(clones)), strict=True):
            clone.mac = mac
        return boards

    def _blank(self, number: int, kind: str) -> Blank:
        board = Blank(f"24:0a:c4:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}", self._flash())
        if kind == "unplug":
            board.faults = Faults(unplug=self.random.randrange(4))
        elif kind == "rot":
            board.faults = Faults(rot=1000)
        elif kind == "silent":
            board.faults = Faults(silent=True)
        elif kind == "wrong-chip":
            board.chip = "esp32c3"
        elif kind == "too-small":
            board.size = 0x200000
        elif kind == "secured":
            board.registers = {0x3FF5A000: 1 << 20}
        return board

    def _flash(self) -> Path:
        with self.lock:
            self.number += 1
            return self.directory / f"flash-{self.number}"

    def _site(self, devices: int) -> None:
        now = datetime.now(UTC)
        hierarchy = Hierarchy(self.directory / "ca", "campaign", open_source(f"file:{self.directory / 'secret'}"))
        plan_hierarchy(hierarchy, ["gateway"], now).apply()
        path = self.directory / "batch.yml"
        path.write_text(f"batch: big\nprefix: lamp\ndevices:\n  - count: {devices}\n")
        wifi = {"default": Wifi("workshop", "correct horse")}
        common = site_common(hierarchy.directory, Gateway("localhost", 443, 8883), wifi)
        place = BatchLocation(self.directory / "batches/big", self.url, "gateway")
        engine = open_ledger(self.url)
        create_schema(engine, site="campaign", owner="factory")
        engine.dispose()
        plan_batch(read_batch(path), common, place, hierarchy, now).apply()
        # A program of one line: what is to be seen is the bench, not the time on the wire.
        (self.directory / "app/agent").mkdir(parents=True)
        for name in ("boot.py", "main.py", "agent/device.py"):
            (self.directory / "app" / name).write_text("pass\n")
        (self.directory / "esptool.cfg").write_text("[esptool]\ntimeout = 3\nsync_timeout = 0.05\n")

    def _station(self, number: int) -> tuple["subprocess.Popen[str]", dict[str, Slot]]:
        slots = {}
        for index in range(self.options.slots):
            path = self.directory / f"port-{number}-{index}"
            slots[str(path)] = Slot(path)
        command = [sys.executable, "-c", "from fleetmint.cli import main; main()", "burn", "--state"]
        command += [str(self.directory), "big", "--ledger", self.url, "--app-dir", str(self.directory / "app")]
        command += ["--passphrases", f"file:{self.directory / 'secret'}", "--unregistered", "--json"]
        for port in slots:
            command += ["--port", port]
        environment = {"PATH": "/usr/bin:/bin", "ESPTOOL_CFGFILE": str(self.directory / "esptool.cfg")}
        with (self.directory / f"station-{number}.log").open("w") as log:
            process = subprocess.Popen(  # noqa: S603 - this interpreter
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        return process, slots

    def _hand(self, process: "subprocess.Popen[str]", slots: dict[str, Slot]) -> None:
        """Serve the slots of one station: put boards in, and take out what has come to an end."""
        inside: dict[str, tuple[Blank, str]] = {}
        for port in slots:
            self._next(port, slots, inside)
        for line in process.stdout or ():
            outcome = json.loads(line)
            port = outcome["port"]
            if outcome["state"] in _END and port in inside:
                board, kind = inside.pop(port)
                slots[port].take()
                self._note(board, kind, outcome)
            if port not in inside and outcome["state"] in (*_END, "waiting"):
                self._next(port, slots, inside)
            if not inside and self.pile.empty():
                process.terminate()

    def _next(self, port: str, slots: dict[str, Slot], inside: dict[str, tuple[Blank, str]]) -> None:
        try:
            board, kind = self.pile.get_nowait()
        except queue.Empty:
            return
        inside[port] = board, kind
        slots[port].put(board)

    def _note(self, board: Blank, kind: str, outcome: dict[str, str]) -> None:
        """Read a board that was taken out, and put one that was pulled out on the pile again."""
        if outcome["state"] == "failed" and kind == "unplug":
            board.faults = Faults()
            self.pile.put((board, kind))
            return
        content = board.flash.read_bytes()
        values = decode(content[NVS.offset : NVS.end], skip_damaged=True).get("fleetmint", {})
        identity = values.get("device_id")
        with self.lock:
            self.kinds[str(board.flash)] = f"{kind or 'good'}: {outcome.get('code') or outcome['state']}"
            if outcome["state"] == "burned" and isinstance(identity, bytes):
                self.found[board.mac] = identity.decode()
        board.flash.unlink()

    def _judge(self, boards: list[tuple[Blank, str]], seconds: float) -> int:
        engine = open_ledger(self.url)
        with reading(engine) as connection:
            units, refused = list_units(connection, "big"), list_refused(connection, "big")
            broken = [str(finding) for finding in findings(connection) if "never registered" not in str(finding)]
        engine.dispose()
        burned = {unit.mac: unit.device for unit in units if unit.state == "burned"}
        aside = {board.mac: board.code for board in refused if board.mac}
        aside |= {unit.mac or "": BurnCode.MD5 for unit in units if unit.state == "quarantined" and unit.reason}
        problems = list(broken)
        for board, kind in boards:
            wanted = FAULTS.get(kind)
            if wanted is None and burned.get(board.mac) != self.found.get(board.mac, "nothing"):
                problems.append(
                    f"{board.mac} holds {self.found.get(board.mac)}, the ledger has {burned.get(board.mac)}"
                )
            elif wanted not in (None, BurnCode.NO_ANSWER) and aside.get(board.mac) != wanted:
                problems.append(f"{board.mac} ({kind}) is not set aside as {wanted}: {aside.get(board.mac)}")
        silent = sum(kind == "silent" for _board, kind in boards)
        if sum(board.code is BurnCode.NO_ANSWER for board in refused) != silent:
            problems.append(f"{silent} boards never answered, and the ledger does not know as many")
        if len(set(self.found.values())) != len(self.found):
            problems.append("an identity is in two boards")
        write = sys.stdout.write
        for text, count in sorted(collections.Counter(self.kinds.values()).items()):
            write(f"{count:6} {text}\n")
        write(
            f"{len(boards)} boards, {self.options.stations} stations with {self.options.slots} slots, one PostgreSQL:"
            f" {len(set(self.found.values()))} different identities in {len(self.found)} boards, {len(aside)} set aside"
            f" and {silent} silent, in {seconds:.0f} s\n"
        )
        for path in sorted(self.directory.glob("station-*.log")) if problems else ():
            write(path.read_text())
        for problem in problems:
            write(f"WRONG: {problem}\n")
        return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
