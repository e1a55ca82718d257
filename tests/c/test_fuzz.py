"""A short cut of the fuzzer over each reader of the C core; `make fuzz` is the long one."""

import pytest

from tests.support.c_build import run
from tests.support.c_fuzz import TARGETS, fuzz, program, seeds

# A fault that is reached by chance once in 2 to the power of 64 runs.
PLANTED = """
#include <string.h>
#include "fuzz.h"
uint8_t room[4];
static void planted(const uint8_t *data, size_t size) {
    uint32_t number;
    if (size < 9 || memcmp(data, "good", 4) != 0) return;
    memcpy(&number, data + 4, 4);
    if (number == 0x12345678) room[data[8] & 7] = 1;
}
const struct fuzz_target fuzz_targets[] = {{"planted", planted}, {NULL, NULL}};
"""


@pytest.fixture(scope="module")
def fuzzer(build):
    return program(build)


@pytest.fixture(scope="module")
def begin(tmp_path_factory):
    return seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_is_read_does_no_harm(fuzzer, begin, tmp_path, target):
    assert fuzz(fuzzer, target, "4000", 1, begin[target], tmp_path).startswith(f"{target}: 4000 runs")


def test_no_reader_is_left_out(fuzzer):
    assert tuple(run(fuzzer).decode().split()) == TARGETS


def test_a_fault_behind_comparisons_is_found_and_its_input_kept(build, tmp_path):
    (tmp_path / "planted.c").write_text(PLANTED)
    planted = program(build, tmp_path / "planted.c")
    with pytest.raises(AssertionError, match="out of bounds for type"):
        fuzz(planted, "planted", "400000", 1, [], tmp_path)
    assert (tmp_path / "planted.fault").read_bytes().startswith(b"good\x78\x56\x34\x12")
    with pytest.raises(AssertionError, match="out of bounds for type"):
        fuzz(planted, "planted", "0", 1, [tmp_path / "planted.fault"], tmp_path)
