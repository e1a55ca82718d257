"""The device in C on the processor of an ESP8266, in qemu: it enrols, and holds one session with a broker.

`make xtensa` prints what that takes of flash, stack and instructions. BearSSL is built from Debian's source package;
the gateway is the double of the tests, and TCP goes through the pipes of qemu's semihosting.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from platform import freedesktop_os_release
from typing import IO

from tests.support.firmware_gateway import Gateway, gateway_of
from tests.support.firmware_site import make_site

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "firmware" / "c"
HERE = ROOT / "benchmarks" / "xtensa"
# Made once, since it takes a minute.
BEARSSL = Path(sys.prefix) / "bearssl-xtensa"
PREFIX = "xtensa-lx106-elf-"
PACKAGES = "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf libbearssl-dev qemu-system-misc dpkg-dev"
SYSTEM = Path("/usr/lib/xtensa-lx106-elf")
FLAGS = (
    "-Os",
    "-mlongcalls",
    "-mtext-section-literals",
    "-ffunction-sections",
    "-fdata-sections",
    "-isystem",
    f"{SYSTEM}/include",
)
# Of BearSSL: nothing of an operating system, and no multiplication of 64 bits.
PLAIN = ("-w", "-DBR_USE_UNIX_TIME=0", "-DBR_USE_URANDOM=0", "-DBR_USE_GETENTROPY=0", "-DBR_64=0", "-DBR_LOMUL=1")
SECONDS = 120


def call(*command: str | Path, cwd: Path | None = None) -> str:
    """Return what a program prints; what it has against it is on stderr."""
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, cwd=cwd, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - our own


def compile_all(sources: Sequence[Path], place: Path, *flags: str) -> list[str]:
    """Compile into `place`; return the objects."""

    def compiled(source: Path) -> str:
        made = place / f"{source.parent.name}_{source.name}.o"
        call(f"{PREFIX}gcc", *FLAGS, *flags, "-c", source, "-o", made)
        return str(made)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compiled, sources))


def bearssl() -> Path:
    """Return the library, built from Debian's source package."""
    library = BEARSSL / "libbearssl.a"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "lists/partial").mkdir(parents=True)
        suite = freedesktop_os_release()["VERSION_CODENAME"]
        (place / "list").write_text(f"deb-src http://deb.debian.org/debian {suite} main\n")
        options = [f"Dir::Etc::sourcelist={place}/list", "Dir::Etc::sourceparts=-", f"Dir::State::lists={place}/lists"]
        # as root it would be another user that has no way into this directory
        options.append("APT::Sandbox::User=root")
        apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
        call(*apt, "update")
        call(*apt, "source", "bearssl", cwd=place)
        (source,) = place.glob("bearssl-*")
        objects = compile_all(sorted(source.glob("src/**/*.c")), place, *PLAIN, f"-I{source}/inc", f"-I{source}/src")
        BEARSSL.mkdir(exist_ok=True)
        call(f"{PREFIX}ar", "rcs", place / "made.a", *objects)
        shutil.move(place / "made.a", library)
    return library


def program(place: Path, values: Mapping[str, int | bytes]) -> Path:
    """Return the device as a program, with what its factory has given it."""
    rows = []
    for key, value in values.items():
        data = value.to_bytes(4, "little", signed=True) if isinstance(value, int) else value
        escaped = "".join(f"\\x{byte:02x}" for byte in data)
        rows.append(f'    {{"{key}", {len(data)}, "{escaped}"}},')
    head = "static const struct {\n    const char *key;\n    size_t size;\n    const char *data;\n} given[] = {"
    (place / "values.h").write_text("\n".join([head, *rows, "};\n"]))
    # what is for this machine, not for that one, stays out of sight
    (place / "bearssl").symlink_to("/usr/include/bearssl")
    sources = [*HERE.glob("*.S"), *HERE.glob("*.c"), *CORE.glob("src/*.c"), *CORE.glob("port/bearssl/*.c")]
    include = [f"-I{CORE / 'include'}", f"-I{CORE / 'port/bearssl'}", f"-I{place}"]
    objects = compile_all(sources, place, "-std=gnu99", *include)
    made = place / "device.elf"
    link = ["-nostdlib", "-T", str(HERE / "link.ld"), "-Wl,--gc-sections,--no-warn-rwx-segments", f"-L{SYSTEM}/lib"]
    libraries = [str(bearssl()), "-Wl,--start-group", "-lc", "-lgcc", "-Wl,--end-group"]
    call(f"{PREFIX}gcc", *link, "-o", made, *objects, *libraries)
    return made


class Bridge:
    """TCP for a board that has a pipe: frames of the number of a connection, a kind, and data."""

    def __init__(self, to: IO[bytes], from_: IO[bytes]):
        self._to, self._from = to, from_
        self._writing = threading.Lock()
        self._connections: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Carry what there is to carry until the board ends."""
        while len(head := self._from.read(4)) == 4:
            number, kind, size = head[0], chr(head[1]), int.from_bytes(head[2:], "big")
            data = self._from.read(size)
            if kind == "O":
                host, port = data.decode().split()
                self._connections[number] = made = socket.create_connection((host, int(port)))
                threading.Thread(target=self._listen, args=(number, made), daemon=True).start()
            elif kind == "D" and number in self._connections:
                with contextlib.suppress(OSError):
                    self._connections[number].sendall(data)
            elif kind == "C" and number in self._connections:
                with contextlib.suppress(OSError):
                    self._connections[number].shutdown(socket.SHUT_RDWR)
                self._connections.pop(number).close()

    def _listen(self, number: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(1500):
                self._send(number, b"D", data)
        with contextlib.suppress(OSError):
            self._send(number, b"E", b"")

    def _send(self, number: int, kind: bytes, data: bytes) -> None:
        with self._writing:
            self._to.write(bytes((number,)) + kind + len(data).to_bytes(2, "big") + data)
            self._to.flush()


def run(place: Path, gateway: Gateway) -> str:
    """Have a new device enrol and work on the board; return what it has said. An instruction takes a nanosecond."""
    elf, console = program(place, gateway.nvs()), place / "console"
    machine = ["-M", "sim", "-cpu", "lx106", "-semihosting", "-icount", "shift=0"]
    command = [
        "qemu-system-xtensa",
        *machine,
        *(["-display", "none", "-serial", "none", "-monitor", "none"]),
        "-kernel",
        str(elf),
    ]
    with console.open("w") as heard:
        board = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=heard)  # noqa: S603
        watchdog = threading.Timer(SECONDS, board.kill)
        watchdog.start()
        with board:
            if board.stdin and board.stdout:
                Bridge(board.stdin, board.stdout).run()
        watchdog.cancel()
    said = console.read_text()
    if board.returncode:
        sys.exit(f"the board ended with {board.returncode}:\n{said}")
    if len(gateway.enrolled) != 1 or len(gateway.broker.messages) != 1 or gateway.broker.farewells != 1:
        sys.exit(f"the gateway has seen something else than an enrolment and a session:\n{said}")
    return said


def main() -> None:
    """Build, run, and print."""
    if not all(shutil.which(name) for name in (f"{PREFIX}gcc", "qemu-system-xtensa", "dpkg-source")):
        sys.exit(f"There is no compiler or no machine for it. Install: apt-get install {PACKAGES}")
    begun = time.monotonic()
    site = make_site(datetime.now(UTC).replace(microsecond=0))
    with tempfile.TemporaryDirectory() as directory, gateway_of(site, Path(directory) / "gateway") as gateway:
        said = run(Path(directory), gateway)
        text = call(f"{PREFIX}size", f"{directory}/device.elf").splitlines()[1].split()[0]
    sys.stdout.write(f"{said}{text} bytes of code and constants, BearSSL included; {time.monotonic() - begun:.0f} s\n")


if __name__ == "__main__":
    main()
