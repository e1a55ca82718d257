"""What the C core is made of: C99 without a heap, without files and without a state of its own, for C and for C++."""

import subprocess

import pytest

from tests.support.c_build import CORE, STRICT, Build

SOURCES = sorted(path.relative_to(CORE) for path in CORE.glob("src/*.c"))
HEADERS = sorted(path.relative_to(CORE / "include") for path in CORE.glob("include/**/*.h"))
# All that it may want of a C library.
WANTED = {"memchr", "memcmp", "memcpy", "memmove", "memset", "strchr", "strcmp", "strlen", "strncmp"}


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_source_takes_no_memory_opens_no_file_and_keeps_nothing(build, source):
    plain = Build(build.directory, flags=(*STRICT, "-Os", "-fno-pie", "-fno-stack-protector", "-fno-builtin"))
    listed = subprocess.run(["nm", plain.compiled(source)], check=True, capture_output=True, text=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert {name for kind, name in symbols if kind == "U" and not name.startswith("fm_")} <= WANTED
    assert [name for kind, name in symbols if kind in "BbCDd"] == []
    # what is seen from elsewhere has the core's name
    assert [name for kind, name in symbols if kind.isupper() and kind != "U" and not name.startswith("fm_")] == []


@pytest.mark.parametrize("suffix", ["c", "cpp"])
def test_each_header_stands_alone(build, tmp_path, suffix):
    for header in HEADERS:
        source = tmp_path / f"{header.stem}.{suffix}"
        source.write_text(f'#include "{header}"\n#include "{header}"\nint main(void) {{ return 0; }}\n')
        build.compiled(source)
