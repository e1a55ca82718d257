"""Whatever the disk and the power do to one enrolment, or to many at once: nothing acknowledged is lost or doubled.

    PYTHONPATH=. python -m tests.support.broken_disk     every write and sync, 1,000 tokens shared, 100 kills under load

strace makes one system call on the ledger's files end the process, or fail, as a card does that is full or broken: the
rest is the kernel's, SQLite's and ours.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.support.gateway_site import GatewaySite, environ, make_csr, make_gateway_site, new_key

# Each ends the process, or makes the call fail once, or it and all that follow.
FAULTS = {
    "kill": "signal=SIGKILL:when={at}",
    "full": "error=ENOSPC:when={at}+",
    "full for a moment": "error=ENOSPC:when={at}",
    "broken": "error=EIO:when={at}+",
    "broken for a moment": "error=EIO:when={at}",
}
CALLS = ("pwrite64", "fdatasync")
_INJECTED = "(INJECTED)"

# One process of the service: answers one request for each line, in threads, and says what came of it.
WORKER = """
import json, sys, threading
from pathlib import Path
from fleetmint import timekeeping
from fleetmint.gateway.config import load_config
from fleetmint.service.app import create_app

timekeeping._is_guest = lambda: True  # the clock of this machine is right
app = create_app(load_config(Path(sys.argv[1])))
said = threading.Lock()

def answer(line):
    body, nginx = json.loads(line)
    got = app.test_client().post("/v1/enrol", json=body, environ_overrides=nginx)
    with said:
        print(json.dumps([body["device"], got.status_code, got.get_json().get("certificate")]), flush=True)

print("ready", flush=True)
if len(sys.argv) > 2:
    todo, taking = iter(sys.stdin), threading.Lock()
    def work():
        while True:
            with taking:
                line = next(todo, None)
            if line is None:
                return
            answer(line)
    threads = [threading.Thread(target=work) for _ in range(int(sys.argv[2]))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
else:
    for line in sys.stdin:
        answer(line)
"""


@dataclass(frozen=True)
class Enrolling:
    """A gateway, and devices with what they ask: always the same."""

    site: GatewaySite
    lines: dict[str, str]

    def issued(self) -> dict[str, str]:
        """Return the certificate of each device in the ledger, base64 of DER; raise when one has two."""
        with self.site.reading() as connection:
            rows = connection.exec_driver_sql("SELECT device, der FROM certificates WHERE status = 'active'").all()
        found = {row.device: base64.b64encode(bytes(row.der)).decode() for row in rows}
        assert len(found) == len(rows), "a device has two certificates"
        return found


def enrolling(root: Path, count: int) -> Enrolling:
    """Return a gateway with that many devices which can enrol."""
    root.mkdir(parents=True, exist_ok=True)
    site = make_gateway_site(root / "gateway", root / "template")
    names = [f"lamp-{number:06}" for number in range(count)]
    tokens = site.register(datetime.now(UTC), *names)
    lines = {}
    for name in names:
        csr = base64.b64encode(make_csr(new_key())).decode()
        body = {"device": name, "token": tokens[name], "csr": csr}
        lines[name] = json.dumps([body, environ("devices")]) + "\n"
    return Enrolling(site, lines)


def _worker(at: Enrolling, *, before: Sequence[str] = (), threads: int | None = None) -> subprocess.Popen[str]:
    more = [] if threads is None else [str(threads)]
    return subprocess.Popen(
        [*before, sys.executable, "-c", WORKER, str(at.site.config_path), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def hit(root: Path, call: str, fault: str, number: int) -> bool:
    """Let the call `number` of an enrolment fail, and ask again; return whether there was such a call.

    Raises AssertionError when something was lost or doubled.
    """
    at = enrolling(root, 1)
    (device,), (line,) = at.lines, at.lines.values()
    log = root / "strace.log"
    ledger = str(at.site.root / "ledger.sqlite")
    files = [f"--trace-path={ledger}{kind}" for kind in ("", "-wal")]
    inject = f"--inject={call}:{FAULTS[fault].format(at=number)}"
    worker = _worker(at, before=["strace", "-f", "-qq", f"--output={log}", f"--trace={call}", *files, inject])
    said, _ = worker.communicate(line)
    answers = [json.loads(each) for each in said.splitlines()[1:]]
    was_hit = _INJECTED in log.read_text() or worker.returncode != 0
    for _, status, certificate in answers:
        assert status == 200 if certificate else status == 503, answers
    _check(at, {name: certificate for name, _, certificate in answers if certificate})
    again, _ = _worker(at).communicate(line)
    _, status, certificate = json.loads(again.splitlines()[1])
    assert status == 200
    known = {each[0]: each[2] for each in answers if each[2]}
    assert known.get(device, certificate) == certificate, "another certificate than the one acknowledged"
    _check(at, {device: certificate})
    return was_hit


def shared_tokens(root: Path, tokens: int, *, times: int = 20) -> None:
    """Have each token used so many times at once, each time with another key; raise unless one of them gets it."""
    at = enrolling(root, tokens)
    lines = []
    for line in at.lines.values():
        body, nginx = json.loads(line)
        for _ in range(times):
            body["csr"] = base64.b64encode(make_csr(new_key())).decode()
            lines.append(json.dumps([body, nginx]) + "\n")
    said, _ = _worker(at, threads=times).communicate("".join(lines))
    answers = [json.loads(line) for line in said.splitlines()[1:]]
    acknowledged = {name: certificate for name, status, certificate in answers if status == 200}
    # what is too much for the limiter is refused as well
    assert {status for _, status, _ in answers} <= {200, 403, 429}
    assert [status for _, status, _ in answers].count(200) == len(acknowledged) == tokens
    assert at.issued() == acknowledged
    assert at.site.findings() == ()


def _check(at: Enrolling, acknowledged: dict[str, str]) -> None:
    assert at.site.findings() == ()
    issued = at.issued()
    lost = [name for name, certificate in acknowledged.items() if issued.get(name) != certificate]
    assert lost == [], f"acknowledged and not in the ledger: {lost}"


def killed_under_load(root: Path, kills: int, *, seed: int, devices: int = 400, threads: int = 16) -> int:
    """Kill the service at random times while many enrol, until each has its certificate; return how many were killed.

    Raises AssertionError when something was lost or doubled.
    """
    chance = random.Random(seed)  # noqa: S311
    killed = 0
    acknowledged: dict[str, str] = {}
    at = enrolling(root, devices)
    while len(acknowledged) < devices:
        worker = _worker(at, threads=threads)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        left = [line for name, line in at.lines.items() if name not in acknowledged]
        saying = threading.Thread(target=_say, args=(worker, left))
        saying.start()
        if killed < kills:
            threading.Timer(chance.uniform(0.0, 0.5), worker.kill).start()
            killed += 1
        for name, status, certificate in map(json.loads, _whole(worker.stdout)):
            assert status == 200
            assert acknowledged.setdefault(name, certificate) == certificate
        worker.wait()
        saying.join()
        worker.stdout.close()
        _check(at, acknowledged)
        if killed < kills and len(acknowledged) == devices:  # faster than it was killed: others go on
            at = enrolling(root / str(killed), devices)
            acknowledged = {}
    assert at.issued() == acknowledged
    return killed


def _say(worker: subprocess.Popen[str], lines: Sequence[str]) -> None:
    assert worker.stdin is not None
    with suppress(OSError):  # it was killed
        worker.stdin.writelines(lines)
    with suppress(OSError):
        worker.stdin.close()


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Leave out the line in which it was killed: nobody has had that answer."""
    return (line for line in lines if line.endswith("\n"))


def main() -> None:
    """Run from the command line."""
    begun, seen = time.monotonic(), 0
    for fault in FAULTS:
        for call in CALLS:
            number = 0
            while True:
                number += 1
                with tempfile.TemporaryDirectory(prefix="fleetmint-disk-") as directory:
                    if not hit(Path(directory), call, fault, number):
                        break
            seen += number - 1
            sys.stdout.write(f"{fault}, {call}: {number - 1} times\n")
            sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="fleetmint-disk-") as directory:
        shared_tokens(Path(directory), 1000)
        sys.stdout.write("1,000 tokens, each used 20 times at once: 1,000 certificates\n")
    with tempfile.TemporaryDirectory(prefix="fleetmint-disk-") as directory:
        killed = killed_under_load(Path(directory), 100, seed=int.from_bytes(os.urandom(4)))
    sys.stdout.write(
        f"{seen} calls that failed and {killed} kills under load: nothing lost, nothing doubled"
        f" ({time.monotonic() - begun:.0f} s)\n"
    )


if __name__ == "__main__":
    main()
