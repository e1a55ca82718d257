"""An ESP8266 as the C core meets it: the file system that the factory burns, mounted by littlefs itself."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import littlefs
import pytest

from fleetmint.batch.file_system import device_files
from fleetmint.flash.esp8266 import DEFAULT_LAYOUT, FileSystem, file_system, file_system_image
from fleetmint.nvs import keys
from tests.support.c_bearssl import PORT, program
from tests.support.c_build import CORE, Build
from tests.support.c_lines import Value, line

# What the shell says of a process that was killed.
POWER_CUT = 137
# What scripts/setup test puts there: the package has only what it made of them.
SOURCES = Path(sys.prefix) / "littlefs"


def with_littlefs(build: Build) -> tuple[list[Path], tuple[str, ...]]:
    """Return the objects that a program with the file system needs, and the flags for its own sources."""
    if not (SOURCES / "lfs.c").exists():
        pytest.skip("no littlefs: scripts/setup test brings its sources")
    # Somebody else's style is not ours to hold.
    loose = Build(build.directory, flags=("-O1", "-DLFS_MULTIVERSION", "-DLFS_NO_DEBUG", "-DLFS_NO_WARN"))
    objects = [loose.compiled(SOURCES / name) for name in ("lfs.c", "lfs_util.c")]
    return objects, ("-isystem", str(SOURCES), "-DLFS_MULTIVERSION")


@dataclass
class Esp8266:
    """The part of a flash that holds the file system of a layout."""

    flash: Path
    layout: str = DEFAULT_LAYOUT

    @classmethod
    def burned(cls, path: Path, values: Mapping[str, int | bytes], layout: str = DEFAULT_LAYOUT) -> "Esp8266":
        """Write what the factory writes for a device with these values."""
        board = cls(path, layout)
        board.write(file_system_image(device_files({keys.NAMESPACE: dict(values)}), layout))
        return board

    @property
    def place(self) -> FileSystem:
        return file_system(self.layout)

    @property
    def arguments(self) -> list[str]:
        """Where the file system is, as the programs want to be told."""
        return [str(part) for part in (self.flash, 0, self.place.size, self.place.block_size)]

    def write(self, data: bytes) -> None:
        """Put an image at the beginning of the file system; the rest of the flash is erased."""
        self.flash.write_bytes(data.ljust(self.place.size, b"\xff"))

    def values(self) -> dict[str, bytes]:
        """Return the files of our namespace, as the package reads them."""
        context = littlefs.UserContext(buffsize=self.place.size)
        context.buffer[:] = self.flash.read_bytes()
        mounted = littlefs.LittleFS(
            context, block_size=self.place.block_size, block_count=self.place.size // self.place.block_size,
            read_size=64, prog_size=64, cache_size=64, lookahead_size=64, name_max=32, disk_version=0x00020000,
        )  # fmt: skip
        found = {}
        for name in mounted.listdir(keys.NAMESPACE):
            with mounted.open(f"{keys.NAMESPACE}/{name}", "rb") as file:
                found[name] = file.read()
        return found

    def tell(
        self, tool: Path, questions: Iterable[tuple[Value, ...]], dies_at: int = 0, *, torn: bool = False
    ) -> list[list[str]] | None:
        """Return what the tool of its store answers; None when the power went, at a write or half-way through it."""
        command = [str(part) for part in (tool, *self.arguments, dies_at)]
        command += ["torn"] if torn else []
        given = "".join(line(question) for question in questions)
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
        if dies_at and done.returncode == POWER_CUT:
            return None
        assert done.returncode == 0, done.stderr
        return [answer.split() for answer in done.stdout.splitlines()]


def device(path: Path, values: Mapping[str, int | bytes]) -> Esp8266:
    """Write the flash of a device with these values into a file."""
    return Esp8266.burned(path, values)


def device_program(build: Build) -> Path:
    """Return the program that is a whole device."""
    objects, flags = with_littlefs(build)
    sources = [f"test/{name}.c" for name in ("device", "device_option", "device_bearssl")]
    return program(build, *sources, "port/host/files.c", flags=flags, objects=objects)


def files_tool(build: Build) -> Path:
    """Return the program that answers for a store."""
    objects, flags = with_littlefs(build)
    sources = ("test/files.c", "test/lines.c", CORE / "port" / "host" / "files.c")
    return build.program(*sources, flags=(*PORT, *flags), libraries=[str(path) for path in objects])
