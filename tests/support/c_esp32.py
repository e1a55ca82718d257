"""An ESP32 as the C core meets it: a flash file as the factory leaves it, and the double of ESP-IDF over it."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetmint.flash.table import TABLE_OFFSET, Partition, PartitionTable, stock
from fleetmint.nvs import keys
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from fleetmint.nvs.layout import PAGE_SIZE, page_sequence
from fleetmint.nvs.values import Entries
from scripts.arduino_library import library
from tests.support.c_build import CORE, Build

IDF = Path(__file__).parents[1] / "c" / "esp_idf"
NVS = [IDF / name for name in ("board.c", "nvs_pages.c", "nvs_store.c", "nvs_repair.c", "nvs_api.c")]
# Headers of ESP-IDF by our own; what the double itself needs of POSIX.
HEADERS = (
    *(f"-I{IDF / 'include'}", f"-I{IDF}", "-D_DEFAULT_SOURCE"),
    *(f"-I{CORE / 'port' / port}" for port in ("mbedtls", "esp32")),
)
LIBRARIES = ("-lmbedtls", "-lmbedx509", "-lmbedcrypto")
POWER_CUT = 137
_KEYS = Partition("nvs_keys", 1, 4, 0xF000, 0x1000, flags=1)


@dataclass
class Esp32:
    """A flash, and how its NVS is encrypted: not at all, by keys in the flash, or by an HMAC key in an eFuse."""

    flash: Path
    keys: NvsKeys | None = None
    hmac_key: Path | None = None
    # What each line of its store's tool answered at the last run, without the count of writes.
    answers: list[str] | None = None
    writes: int = 0

    @classmethod
    def burned(
        cls, directory: Path, values: Entries, encryption: str = "none", *, hmac_key: bytes = bytes(range(32))
    ) -> "Esp32":
        """Write a flash with a partition table and an NVS of these values."""
        board = cls(directory / "flash.bin")
        table = table_with_keys() if encryption == "flash" else stock("4MiB")
        flash = bytearray(b"\xff" * 0x20000)
        flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = table.to_bytes()
        if encryption == "flash":
            board.keys = NvsKeys.new()
            flash[_KEYS.offset : _KEYS.end] = board.keys.to_partition(_KEYS.size)
        elif encryption == "hmac":
            board.keys = NvsKeys.of_hmac_key(hmac_key)
            board.hmac_key = directory / "efuse.bin"
            board.hmac_key.write_bytes(hmac_key)
        nvs = table.find("nvs")
        flash[nvs.offset : nvs.end] = encode(values, nvs.size, board.keys)
        board.flash.write_bytes(flash)
        return board

    @property
    def image(self) -> bytes:
        """Its NVS partition as it lies in the flash."""
        flash = self.flash.read_bytes()
        nvs = PartitionTable.from_bytes(flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00]).find("nvs")
        return flash[nvs.offset : nvs.end]

    def nvs(self, *, skip_damaged: bool = False) -> Mapping[str, int | bytes]:
        """What it has stored, read by the station's decoder.

        A head of a page that a power cut left half-written is damage to that, and a free page to ESP-IDF.
        """
        return decode(self.image, keys=self.keys, skip_damaged=skip_damaged).get(keys.NAMESPACE, {})

    def values(self) -> dict[str, bytes]:
        """What it has stored as an ESP8266 has it, in files: numbers in decimal."""
        return {key: value if isinstance(value, bytes) else b"%d" % value for key, value in self.nvs().items()}

    @property
    def newest_page(self) -> int:
        """The highest sequence number of a page: how many have been taken into use since it was burned."""
        starts = range(0, len(self.image), PAGE_SIZE)
        return max(page_sequence(self.image[start : start + PAGE_SIZE]) or 0 for start in starts)

    @property
    def arguments(self) -> list[str]:
        """How the board is named to a program of the double: its flash and its eFuse key."""
        return [str(self.flash), str(self.hmac_key or "-")]

    def run(self, tool: Path, lines: list[str], cut_at: int = 0) -> int:
        """Let the board do this with its store, and go without power at a write; returns how the program ended."""
        done = subprocess.run(
            [tool, *self.arguments, str(cut_at)], input="".join(f"{line}\n" for line in lines),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1, POWER_CUT), done.stderr
        self.answers = done.stdout.splitlines()
        if done.returncode == 0:
            self.writes = int(self.answers.pop().removesuffix(" writes"))
        return done.returncode


def table_with_keys() -> PartitionTable:
    """The stock table with a partition nvs_keys behind its NVS."""
    rows = [
        Partition("nvs", 1, 2, 0x9000, 0x6000, 0),
        _KEYS,
        *(row for row in stock("4MiB").partitions if row.name not in ("nvs", "phy_init")),
    ]
    return PartitionTable(tuple(rows))


def require_mbedtls() -> None:
    """Skip the test where there is no mbedTLS to build with."""
    if not Path("/usr/include/mbedtls/version.h").exists():
        pytest.skip("no mbedTLS: scripts/setup test installs libmbedtls-dev")


def kv_tool(build: Build) -> Path:
    """The store of an ESP32 at a prompt, see kv_tool.c."""
    return build.program(
        IDF / "kv_tool.c", *NVS, "port/esp32/kv.c", flags=HEADERS, libraries=["-lmbedcrypto"]
    )  # fmt: skip


def program(build: Build, *sources: str | Path) -> Path:
    """Return a program of these sources with the port for mbedTLS, that for an ESP32, and all of the core."""
    require_mbedtls()
    rest = [CORE / "test" / "board_mbedtls.c", CORE / "test" / "trickle.c", IDF / "radio.c"]
    for place in ("port/mbedtls", "port/esp32", "src"):
        rest += sorted(CORE.glob(f"{place}/*.c"))
    return build.program(*sources, *rest, *NVS, flags=HEADERS, libraries=LIBRARIES)


def device(directory: Path, values: Mapping[str, int | bytes]) -> Esp32:
    """Write the flash of a device with these values, encrypted by a key in its eFuse, into a directory of its own."""
    directory.mkdir(exist_ok=True)
    return Esp32.burned(directory, {keys.NAMESPACE: values}, "hmac")


def device_program(build: Build) -> Path:
    """Return the program that is a whole device."""
    return program(build, "test/device.c", "test/device_option.c", IDF / "device_esp32.c")


def sketch(build: Build, name: str) -> Path:
    """Return the program that is this example, its console on stdin and stdout.

    It is built as Arduino's builder does it: of the library alone, of which all files are compiled for this board.
    """
    require_mbedtls()
    place = build.directory / "arduino"
    for path, data in library(CORE.parents[1]).items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        # another process may be reading it
        if not (place / path).exists():
            own = (place / path).with_name(f"{os.getpid()}")
            own.write_bytes(data)
            own.rename(place / path)
    flags = (*HEADERS[:3], f"-I{place / 'src'}", "-DARDUINO=10819", "-DARDUINO_ARCH_ESP32")
    sources = [place / "examples" / name / f"{name}.ino", IDF / "arduino.cpp", IDF / "radio.c", *NVS]
    alone = Build(build.directory, core=place / "examples")
    return alone.program(*sources, *sorted((place / "src").glob("*.c*")), flags=flags, libraries=LIBRARIES)
