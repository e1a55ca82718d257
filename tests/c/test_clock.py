"""The clock of the C core: it starts at the floor, is told the time, and keeps only what the gateway confirmed."""

import pytest

from tests.support.c_lines import ask

DAY = 86_400
# 2026-11-22 12:00 UTC
FLOOR = 848_664_000 + DAY // 2
HOST = ("adjust", "gateway.local")


@pytest.fixture(scope="session")
def clock(build):
    sources = ("timekeeping", "calendar", "text", "base64")
    return build.program("test/clock.c", "test/lines.c", *(f"src/{name}.c" for name in sources))


def told(program, *questions, now=0):
    """What the last of these lines answers, in a dict; before them the device starts at `now`."""
    *_, answer = ask(program, [("begin", FLOOR, now), *questions])
    names = ("result", "now", "floor", "confirmed", "questions", "writes")
    return {name: value if name == "result" else int(value) for name, value in zip(names, answer, strict=True)}


def test_a_clock_that_nobody_has_set_starts_at_the_floor(clock):
    assert told(clock)["now"] == FLOOR


def test_a_clock_that_ran_on_is_kept_and_nobody_is_asked(clock):
    found = told(clock, HOST, now=FLOOR + 3 * DAY)
    assert (found["result"], found["now"], found["questions"]) == ("0", FLOOR + 3 * DAY, 0)


def test_a_clock_far_ahead_is_set_to_the_floor(clock):
    assert told(clock, now=FLOOR + 3000 * DAY)["now"] == FLOOR


def test_a_store_without_a_floor_stops(clock):
    assert ask(clock, [("begin", 0, FLOOR)])[0][0] == "ABSENT"


@pytest.mark.parametrize(("days", "taken"), [(0, True), (400, True), (1800, True), (-1, False), (1900, False)])
def test_the_network_is_believed_from_the_floor_on_for_a_few_years(clock, days, taken):
    moment = FLOOR + days * DAY
    found = told(clock, ("ntp", moment), HOST)
    assert (found["result"], found["now"]) == ("0", moment if taken else FLOOR)


def test_the_network_is_asked_once_and_what_it_says_is_not_written_down(clock):
    found = told(clock, ("ntp", FLOOR + 400 * DAY), HOST, HOST)
    assert (found["questions"], found["writes"], found["confirmed"]) == (1, 0, 0)


@pytest.mark.parametrize("rubbish", [0, 1])
def test_without_an_answer_to_its_question_the_device_waits_two_seconds_and_works_from_the_floor(clock, rubbish):
    found = told(clock, ("ntp", rubbish), HOST, ("later", 1900), HOST)
    assert (found["result"], found["now"]) == ("1", FLOOR)
    found = told(clock, ("ntp", rubbish), HOST, ("later", 2100), HOST)
    assert (found["result"], found["now"], found["questions"]) == ("0", FLOOR, 1)


def test_a_server_that_is_not_there_keeps_nobody_waiting(clock):
    found = told(clock, ("adjust", ""))
    assert (found["result"], found["now"]) == ("0", FLOOR)


def test_a_lie_of_the_network_is_undone_and_then_asked_again(clock):
    lie = [("ntp", FLOOR + 400 * DAY), HOST, ("doubt",)]
    assert told(clock, *lie)["now"] == FLOOR
    assert told(clock, *lie, HOST, ("doubt",), HOST)["questions"] == 2


def test_a_confirmed_clock_is_not_doubted(clock):
    now = FLOOR + 10 * DAY
    found = told(clock, ("confirm", now), ("doubt",), HOST, now=now)
    assert (found["now"], found["questions"], found["confirmed"]) == (now, 0, 1)


@pytest.mark.parametrize(("days", "writes"), [(29, 0), (31, 1)])
def test_a_confirmed_time_becomes_the_new_floor_but_not_often(clock, days, writes):
    now = FLOOR + days * DAY
    found = told(clock, ("confirm", now), now=now)
    assert (found["floor"], found["writes"]) == (now if writes else FLOOR, writes)


def test_a_date_far_from_the_clock_sets_it_but_has_to_be_confirmed_by_another_connection(clock):
    date = FLOOR + 60 * DAY
    found = told(clock, ("confirm", date), now=FLOOR)
    assert (found["now"], found["confirmed"], found["writes"]) == (date, 0, 0)
    found = told(clock, ("confirm", date), ("confirm", date), now=FLOOR)
    assert (found["confirmed"], found["floor"]) == (1, date)


@pytest.mark.parametrize("days", [-1, 1900])
def test_a_date_out_of_reach_of_the_floor_changes_nothing(clock, days):
    found = told(clock, ("confirm", FLOOR + days * DAY), now=FLOOR + DAY)
    assert (found["now"], found["confirmed"]) == (FLOOR + DAY, 0)


def test_the_count_of_seconds_that_starts_again_in_2036_is_read_on(clock):
    # 2036-02-07 06:28:16 UTC is second 0 of NTP's second era
    era = 1_139_293_696
    found = ask(clock, [("begin", era - DAY, 0), ("ntp", era + 5), HOST])[-1]
    assert found[:2] == ["0", str(era + 5)]
