"""The core and the port for BearSSL, built for the processor of an ESP8266: what they take of its flash and stack."""

import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.c_build import CORE

_log = logging.getLogger(__name__)

GCC = "xtensa-lx106-elf-gcc"
LIBC = Path("/usr/lib/xtensa-lx106-elf/include")
# What Debian's libgcc and picolibc have, and Arduino's too.
WANTED = {
    "memchr", "memcmp", "memcpy", "memmove", "memset", "strchr", "strcmp", "strlen", "strncmp",
    "__divsi3", "__modsi3", "__muldi3", "__udivsi3", "__umodsi3",
}  # fmt: skip
# KiB of flash, bytes of RAM for an agent with its TLS, bytes of stack in one function.
FLASH, MEMORY, FRAME = 44, 22_000, 900
SIZES = """
#include "fleetmint/agent.h"
#include "fm_bearssl.h"
char memory[sizeof(struct fm_agent) + sizeof(struct fm_bearssl_tls) + sizeof(struct fm_bearssl_crypto)];
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The directory of the objects, each with a .su that says what its functions take of the stack."""
    if shutil.which(GCC) is None or not LIBC.exists():
        pytest.skip("no compiler for it: scripts/setup test installs gcc-xtensa-lx106 and picolibc-xtensa-lx106-elf")
    place = tmp_path_factory.mktemp("xtensa")
    # what is for this machine, not for that one, stays out of sight
    (place / "bearssl").symlink_to("/usr/include/bearssl")
    (place / "sizes.c").write_text(SIZES)
    include = ["-isystem", LIBC, f"-I{CORE / 'include'}", f"-I{CORE / 'port/bearssl'}", f"-I{place}"]
    flags = [
        "-std=c99",
        "-Os",
        "-mlongcalls",
        "-mtext-section-literals",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fstack-usage",
    ]
    for source in [*CORE.glob("src/*.c"), *CORE.glob("port/bearssl/*.c"), place / "sizes.c"]:
        made = place / f"{source.parent.name}_{source.stem}.o"
        done = subprocess.run([GCC, *flags, *include, "-c", source, "-o", made], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return place


def listed(tool, *arguments):
    command = [f"xtensa-lx106-elf-{tool}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_it_fits_into_the_flash_and_keeps_nothing_of_its_own(built):
    objects = [path for path in built.glob("*.o") if "sizes" not in path.name]
    rows = [line.split()[:3] for line in listed("size", *objects)[1:]]
    flash = sum(int(text) for text, _, _ in rows)
    _log.info("core and port: %d bytes of flash", flash)
    assert flash < FLASH << 10
    assert {(data, bss) for _, data, bss in rows} == {("0", "0")}


def test_an_agent_with_its_connection_fits_into_memory(built):
    (sizes,) = built.glob("*_sizes.o")
    (size,) = (int(line.split()[1], 16) for line in listed("nm", "-S", sizes) if line.endswith(" memory"))
    _log.info("agent, TLS and randomness: %d bytes of RAM", size)
    assert size < MEMORY


def test_no_function_takes_much_of_the_stack(built):
    frames = {}
    for path in built.glob("*.su"):
        for name, size in re.findall(r":(\w+)\t(\d+)\t", path.read_text()):
            frames[name] = int(size)
    _log.info("largest frames: %s", sorted(frames.items(), key=lambda each: -each[1])[:5])
    assert {name: size for name, size in frames.items() if size > FRAME} == {}


def test_it_wants_nothing_but_the_smallest_of_c(built):
    wanted = {line.split()[-1] for line in listed("nm", "--undefined-only", *built.glob("*.o")) if " U " in line}
    assert {name for name in wanted if not name.startswith(("fm_", "br_"))} <= WANTED
