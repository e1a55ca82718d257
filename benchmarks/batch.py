"""What a batch costs from its file to the images of its boards, beside what makers do with one command a device.

    python benchmarks/batch.py [--rounds N] [--count N] [--large N] [--peers N]

Ours is `fleetmint batch new` for devices whose keys the factory makes, the most expensive kind: keys, certificates,
encryption at rest, a durable ledger and the registration. The same fresh process then opens all of it again and makes
each device's NVS image, as the bench does before it burns. The peers are commands, once for each device: openssl
(key, request, certificate) with Espressif's NVS generator, and cfssl gencert, where it is installed, with the same.
Measured in turns, in CPU time of the processes with their children, so neither another process nor a slower machine
moves a ratio of medians. Peak memory is that of the process. Exits 1 when a ratio is above its limit.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import end_to_end  # beside this file
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.passphrases import Source, open_source
from fleetmint.x509 import keys

BIN = Path(sys.executable).parent
END_TO_END = Path(end_to_end.__file__)
COLLECTIONS = Path(__file__).resolve().parents[1] / "collections"
PSK = end_to_end.PSK


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a process and its children, and the peak memory of the largest of them in bytes."""

    cpu: float
    memory: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line for each ratio, and return the exit code."""
    parser = argparse.ArgumentParser(description="CPU time and memory of a batch, against commands for each device.")
    parser.add_argument("--rounds", type=int, default=3, help="turns of everything [3]")
    parser.add_argument("--count", type=int, default=1000, help="devices of a batch [1000]")
    parser.add_argument("--large", type=int, default=10, help="how many times as many in a large batch [10]")
    parser.add_argument("--peers", type=int, default=8, help="devices that the peers make in a turn [8]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fleetmint-bench-") as name:
        return _Report(_measure(Path(name), options), options.count, options.count * options.large).print()


def _source(state: Path) -> Source:
    return open_source(f"file:{state / 'passphrases'}")


def _measure(scratch: Path, options: argparse.Namespace) -> Mapping[str, list[Cost]]:
    state = _site(scratch)
    large = options.count * options.large
    turns: dict[str, Callable[[], Cost]] = {
        "openssl": lambda: _each(_openssl(state, scratch), options.peers),
        "one": lambda: _ours(state, 1),
        "hundred": lambda: _ours(state, 100),
        "batch": lambda: _ours(state, options.count),
        "ansible": lambda: _ansible(state, scratch, options.count),
        "cli": lambda: _cli(state, options.count),
        "large": lambda: _ours(state, large),
        "bare": lambda: _bare(state),
    }
    if shutil.which("cfssl"):
        turns["cfssl"] = lambda: _each(_cfssl(state, scratch), options.peers)
    found: dict[str, list[Cost]] = {name: [] for name in turns}
    for turn in range(options.rounds):
        for name, measure in turns.items():
            sys.stderr.write(f"\rturn {turn + 1} of {options.rounds}: {name:10}")
            sys.stderr.flush()
            found[name].append(measure())
    sys.stderr.write("\r" + " " * 40 + "\r")
    return found


# --- ours ---


def _site(scratch: Path) -> Path:
    state = scratch / "state"
    hierarchy = Hierarchy(state / "ca", "bench", _source(state))
    plan_hierarchy(hierarchy, ["gateway"], datetime.now(UTC)).apply()
    listeners = {"host": "gateway.local", "https_port": 8443, "mqtt_port": 8884}
    site = {
        "site": "bench",
        "station": "bench@bench",
        "ca": {"directory": str(state / "ca"), "passphrases": f"file:{state / 'passphrases'}"},
        "gateways": {"gateway": {**listeners, "devices_https_port": 443, "devices_mqtt_port": 8883}},
        "wifi": [{"name": "default", "ssid": "workshop", "open": False}],
    }
    files.write_atomically(state / "site.json", json.dumps(site).encode())
    files.write_atomically(state / "networks", f"default {PSK}\n".encode())
    return state


def _batch_file(state: Path, count: int) -> Path:
    """Write the file of a batch that does not exist yet, with ids of its own."""
    for path in (*state.glob("ledger.sqlite*"), *state.glob("batches/*/*")):
        path.unlink()
    shutil.rmtree(state / "batches", ignore_errors=True)
    path = state / "spring.yml"
    path.write_text(f"batch: spring\nprefix: lamp\ndevices: [{{count: {count}, key_origin: factory}}]\n")
    return path


def _cli(state: Path, count: int) -> Cost:
    _batch_file(state, count)
    return _run([BIN / "fleetmint", *end_to_end.new(state)])


def _ours(state: Path, count: int) -> Cost:
    _batch_file(state, count)
    return _run([sys.executable, END_TO_END, state])


def _ansible(state: Path, scratch: Path, count: int) -> Cost:
    task = {
        "fleetmint.core.batch": {
            "directory": str(state / "ca"),
            "site": "bench",
            "passphrases": f"file:{state / 'passphrases'}",
            "file": str(_batch_file(state, count)),
            "into": str(state / "batches"),
            "ledger": f"sqlite:///{state / 'ledger.sqlite'}",
            "gateways": [{"name": "gateway", "host": "gateway.local", "https_port": 443, "mqtt_port": 8883}],
            "wifi": [{"name": "default", "ssid": "workshop", "psk": PSK}],
        }
    }
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
    play["vars"] = {"ansible_python_interpreter": sys.executable}
    files.write_atomically(scratch / "play.json", json.dumps([play]).encode())
    return _run(
        [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", scratch / "play.json"],
        {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)},
    )


# --- what it cannot do without ---


def _bare(state: Path, count: int = 400) -> Cost:
    ca = keys.load_key((state / "ca/factory/ca.key").read_bytes(), _source(state).read("issuing"), "the CA's key")
    start = process_time()
    for _ in range(count):
        ec.generate_private_key(ec.SECP256R1())
        ca.sign(bytes(400), ec.ECDSA(hashes.SHA256()))
    return Cost((process_time() - start) / count, 0)


# --- the peers ---


def _each(make: Callable[[int], Cost], count: int) -> Cost:
    """Return the cost of one device, as the mean of `count`."""
    return Cost(sum(make(number).cpu for number in range(count)) / count, 0)


def _openssl(state: Path, scratch: Path) -> Callable[[int], Cost]:
    ca = _plain_ca(state, scratch)

    def make(number: int) -> Cost:
        at = scratch / "peer"
        subject = f"/O=bench/OU=devices/CN=lamp-{number:06d}"
        costs = [
            _run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{at}.key"]),
            _run(["openssl", "req", "-new", "-key", f"{at}.key", "-subj", subject, "-out", f"{at}.csr"]),
            _run(
                ["openssl", "x509", "-req", "-in", f"{at}.csr", "-CA", ca.with_suffix(".crt"), "-CAkey", ca,
                 "-days", "365", "-out", f"{at}.crt"]
            ),
            _nvs(state, scratch, number),
        ]  # fmt: skip
        return Cost(sum(cost.cpu for cost in costs), 0)

    return make


def _cfssl(state: Path, scratch: Path) -> Callable[[int], Cost]:
    ca = _plain_ca(state, scratch)
    config = {"signing": {"default": {"expiry": "8760h", "usages": ["digital signature", "client auth"]}}}
    (scratch / "cfssl.json").write_text(json.dumps(config))

    def make(number: int) -> Cost:
        request = {"CN": f"lamp-{number:06d}", "key": {"algo": "ecdsa", "size": 256}, "names": [{"O": "bench"}]}
        (scratch / "peer.json").write_text(json.dumps(request))
        cost = _run(
            ["cfssl", "gencert", "-ca", ca.with_suffix(".crt"), "-ca-key", ca, "-config", scratch / "cfssl.json",
             scratch / "peer.json"]
        )  # fmt: skip
        return Cost(cost.cpu + _nvs(state, scratch, number).cpu, 0)

    return make


def _plain_ca(state: Path, scratch: Path) -> Path:
    path = scratch / "ca.key"
    if not path.exists():
        key = keys.load_key((state / "ca/factory/ca.key").read_bytes(), _source(state).read("issuing"), "the CA's key")
        files.write_atomically(path, keys.plain_pem(key))
        shutil.copy(state / "ca/factory/ca.crt", scratch / "ca.crt")
    return path


def _nvs(state: Path, scratch: Path, number: int) -> Cost:
    lines = [
        "key,type,encoding,value", "fleetmint,namespace,,", f"device_id,data,string,lamp-{number:06d}",
        "wifi_ssid,data,string,workshop", f"wifi_psk,data,string,{PSK}", "gateway,data,string,gateway.local",
        "https_port,data,i32,443", "mqtt_port,data,i32,8883", f"bundle,file,binary,{state / 'ca/bundle.bin'}",
    ]  # fmt: skip
    for name in ("key", "crt"):
        if (scratch / f"peer.{name}").exists():
            lines.append(f"{name}0,file,binary,{scratch / f'peer.{name}'}")
    (scratch / "peer.csv").write_text("\n".join(lines) + "\n")
    program = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate"]
    return _run([*program, scratch / "peer.csv", scratch / "peer.bin", "0x6000"])


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command and return what it cost; stop when it fails."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603
            [*map(str, command)], env={**os.environ, **(environment or {})}, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{command[0]} failed: {output.read().decode(errors='replace')[-2000:]}")
    return _cost(usage)


def _cost(usage: resource.struct_rusage) -> Cost:
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


@dataclass(frozen=True)
class _Report:
    found: Mapping[str, list[Cost]]
    count: int
    large: int

    def cpu(self, name: str) -> float:
        return statistics.median(cost.cpu for cost in self.found[name])

    def memory(self, name: str) -> float:
        return statistics.median(cost.memory for cost in self.found[name])

    def print(self) -> int:
        """Print each figure with its limit; return the exit code."""
        batch, large, peer = self.cpu("batch"), self.cpu("large"), self.cpu("openssl")
        device = large / self.large
        _say(f"{self.count} devices {batch:.2f} s, {self.large} devices {large:.2f} s: {device * 1e6:.0f} us a device")
        _say(f"openssl and nvs_partition_gen {peer * 1e3:.0f} ms a device")
        good = [
            _limit(f"openssl and NVS generator for {self.count}", peer * self.count / batch, least=150),
            _limit(f"openssl and NVS generator for {self.large}", peer * self.large / large, least=250),
            _limit("a device, in bare P-256 keys and signatures", device / self.cpu("bare"), most=12),
            _limit(f"CPU of {self.large} against {self.count}", large / batch, most=12 * self.large / self.count / 10),
            _limit(f"memory of {self.large} against 100", self.memory("large") / self.memory("hundred"), most=1.25),
            _limit("seconds of the Ansible call beyond the command", self.cpu("ansible") - self.cpu("cli"), most=4),
        ]
        if "cfssl" in self.found:
            ratio = self.cpu("cfssl") * self.count / batch
            _say(f"cfssl and NVS generator {self.cpu('cfssl') * 1e3:.0f} ms a device: {ratio:.0f} times a batch")
        # SQLAlchemy's import alone takes as long as all the commands of one device; the aim is at most 2.
        good.append(_limit("one device, against the commands", self.cpu("one") / peer, most=4))
        return 0 if all(good) else 1


def _limit(what: str, value: float, *, least: float | None = None, most: float | None = None) -> bool:
    good = (least is None or value >= least) and (most is None or value <= most)
    bound = f"at least {least:g}" if least is not None else f"at most {most:g}"
    _say(f"{what}: {value:.3g} ({bound}){'' if good else '  TOO MUCH' if most is not None else '  TOO LITTLE'}")
    return good


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
