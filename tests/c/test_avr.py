"""The programmer of an ATmega in the C core, on a double of our own of the chip's serial programming interface."""

import hashlib
import subprocess

import pytest

from tests.support.c_lines import ask, chance_of, data

SMALL = (b"\x1e\x93\x0f", 64, 0x2000)
LARGE = (b"\x1e\x98\x01", 256, 0x40000)
OLD = chance_of(1).randbytes(0x2000)


@pytest.fixture(scope="module")
def avr(build):
    return build.program("test/avr.c", "test/avr_double.c", "test/memory_kv.c", "test/lines.c", *build.sources)


def image_of(size, seed=2):
    # zeros and ones as well, as in a program
    return (chance_of(seed).randbytes(size) + b"\xff" * 70 + bytes(70))[-size:]


def begin(image, chip=SMALL, flash=OLD):
    return [("chip", *chip), ("flash", flash), ("image", image, hashlib.sha256(image).digest())]


@pytest.mark.parametrize(
    ("chip", "size"), [(SMALL, 1), (SMALL, 64), (SMALL, 1000), (SMALL, 0x2000), (LARGE, 0x20000 + 300)]
)
def test_an_image_gets_onto_the_chip_and_is_not_written_twice(avr, chip, size):
    image = image_of(size)
    story = [*begin(image, chip), ("has",), ("run",), ("has",), ("read", size), ("run",)]
    *_, before, (result, erased, written, held, in_step, *_), after, (flash,), again = ask(avr, story)
    assert (before, result, erased, held, after) == (["ABSENT"], "0", "1", "0", ["0"])
    assert int(written) == -(-size // chip[1])
    # 32 instructions of 32 bits take 8 ms at 125 kHz
    assert int(in_step) <= 33
    assert data(flash) == image
    assert again[:4] == ["0", "0", "0", "0"]


def test_another_image_takes_the_place_of_the_first(avr):
    first, second = image_of(500), image_of(300, 3)
    story = [
        *begin(first),
        ("run",),
        ("image", second, hashlib.sha256(second).digest()),
        ("has",),
        ("run",),
        ("read", 512),
    ]
    *_, has, run, (flash,) = ask(avr, story)
    assert (has, run[:2]) == (["ABSENT"], ["0", "1"])
    assert data(flash) == second + b"\xff" * 212


@pytest.mark.parametrize("survives", [0, 1])
def test_a_cut_at_any_write_of_the_store_costs_nothing_but_time(avr, survives):
    image = image_of(200)
    for write in range(1, 6):
        story = [
            *begin(image),
            ("cut", 0, write, survives),
            ("run",),
            ("cut", 0, 0, 0),
            ("has",),
            ("run",),
            ("has",),
            ("read", 200),
        ]
        *_, cut, _, between, after, has, (flash,) = ask(avr, story)
        # the erasing is noted, forgotten, and the image noted
        assert (cut == ["CUT"]) == (write <= 3)
        if between == ["0"]:
            assert write >= 3
        assert (after[0], has, data(flash)) == ("0", ["0"], image)


def test_a_cut_at_any_instruction_costs_nothing_but_time(avr):
    image = image_of(200)
    *_, whole = ask(avr, [*begin(image), ("run",)])
    count = int(whole[5])
    assert count > 500
    cuts = range(1, count + 1, 3)
    stories = [
        [*begin(image), ("cut", cut, 0, 0), ("run",), ("cut", 0, 0, 0), ("has",), ("run",), ("has",), ("read", 200)]
        for cut in cuts
    ]
    answers = iter(ask(avr, [question for story in stories for question in story]))
    resumed = 0
    for story in stories:
        *_, cut, _, between, after, has, (flash,) = [next(answers) for _ in story]
        assert (cut, between) == (["CUT"], ["ABSENT"])
        assert (after[0], after[3], has, data(flash)) == ("0", "0", ["0"], image)
        resumed += after[1] == "0"
    # some of them went on where they were
    assert resumed > 20


def test_what_was_written_before_a_cut_is_not_written_again_but_for_the_last_page(avr):
    image = image_of(64 * 20)
    *_, whole = ask(avr, [*begin(image), ("run",)])
    # in the loading of a page towards the end: erasing, twenty pages and the verifying are all that there is
    late = int(whole[5]) - len(image) - 64 * 3
    *_, cut, _, after = ask(avr, [*begin(image), ("cut", late, 0, 0), ("run",), ("cut", 0, 0, 0), ("run",)])
    assert (cut, after[:2]) == (["CUT"], ["0", "0"])
    assert 2 <= int(after[2]) <= 5


def test_an_erasing_that_was_cut_is_done_again_even_when_all_looks_erased(avr):
    image = image_of(200)
    story = [
        *begin(image),
        ("cut", 0, 2, 0),
        ("run",),
        ("cut", 0, 0, 0),
        ("flash", b"\xff" * 0x2000),
        ("run",),
        ("read", 200),
    ]
    *_, cut, _, _, after, (flash,) = ask(avr, story)
    assert (cut, after[:2], data(flash)) == (["CUT"], ["0", "1"], image)


@pytest.mark.parametrize(
    ("what", "result"),
    [(("other",), "REFUSED"), (("deaf", 0), "ABSENT"), (("deaf", 5), "ABSENT")],
)
def test_a_chip_that_is_another_one_or_silent_is_left_as_it_was_and_runs(avr, what, result):
    *_, run, (flash,) = ask(avr, [*begin(image_of(300)), what, ("run",), ("read", 0x2000)])
    assert (run[0], run[3], data(flash)) == (result, "0", OLD)


def test_a_chip_that_is_out_of_step_at_first_is_programmed(avr):
    *_, run, (flash,) = ask(avr, [*begin(image_of(300)), ("deaf", 4), ("run",), ("read", 300)])
    assert (run[0], data(flash)) == ("0", image_of(300))


@pytest.mark.parametrize(("what", "result"), [(("stuck", 130), "BAD"), (("hangs",), "TIMEOUT")])
def test_a_chip_with_half_of_a_program_is_held_in_reset(avr, what, result):
    image = image_of(300)[:130] + b"\0" + image_of(300)[131:]
    *_, run, has = ask(avr, [*begin(image), what, ("run",), ("has",)])
    assert (run[0], run[3], has) == (result, "1", ["ABSENT"])


def test_an_image_that_does_not_fit_is_refused_before_the_chip_is_touched(avr):
    for image, result in ((image_of(0x2001), "TOO_LONG"), (b"", "BAD")):
        *_, run, (flash,) = ask(avr, [*begin(image), ("run",), ("read", 0x2000)])
        assert (run[0], run[5], data(flash)) == (result, "0", OLD)


@pytest.mark.parametrize("instruction", ["aca00000", "aca40000", "aca80000", "ace00000", "c0000000"])
def test_the_double_ends_a_programmer_that_writes_fuses_lock_bits_or_the_eeprom(build, tmp_path, instruction):
    """The judge judged: whatever the core sends but what it needs would fail every test above."""
    bytes_of = ", ".join(f"0x{instruction[at : at + 2]}" for at in range(0, 8, 2))
    (tmp_path / "bad.c").write_text(
        '#include "avr_double.h"\nstatic struct avr_double chip;\nint main(void) {\n'
        "uint8_t enable[4] = {0xAC, 0x53, 0, 0}, bad[4] = {" + bytes_of + "}, in[4];\n"
        "chip.flash_size = 0x2000; chip.page = 64;\navr_double_hold(&chip, true);\nchip.now = 30;\n"
        "avr_double_transfer(&chip, enable, in);\navr_double_transfer(&chip, bad, in);\nreturn 0;\n}\n"
    )
    program = build.program(tmp_path / "bad.c", "test/avr_double.c", flags=(f"-I{build.core / 'test'}",))
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "another instruction than those that it needs" in done.stderr


def test_any_four_pins_are_spi_in_mode_0(build):
    """The slave sends each byte back during the next one."""
    sent = [chance_of(seed).randbytes(4) for seed in range(20)] + [bytes(4), b"\xff" * 4]
    answers = ask(build.program("test/avr_pins.c", "test/lines.c", *build.sources), [("send", each) for each in sent])
    before = [0, *(each[-1] for each in sent)]
    assert [(result, data(word)) for result, word in answers] == [
        ("0", bytes([last]) + each[:3]) for last, each in zip(before, sent, strict=False)
    ]
