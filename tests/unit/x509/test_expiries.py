"""What has to be said before it ends, and the line that says it."""

from datetime import UTC, datetime, timedelta

import pytest

from fleetmint.x509.expiries import Ending, is_due, sentence

NOW = datetime(2031, 5, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("life", "left", "due"),
    [
        (365, 91, False),
        (365, 90, True),
        (365, -1, True),
        (800, 91, False),
        (7, 3, False),
        (7, 2, True),
        (47, 16, False),
    ],
)
def test_what_lasts_long_is_due_ninety_days_before_its_end_and_what_lasts_short_when_a_third_is_left(life, left, due):
    ends = NOW + timedelta(days=left)
    assert is_due(ends - timedelta(days=life), ends, NOW) is due


def test_what_nobody_knows_the_beginning_of_is_due_ninety_days_before_its_end():
    assert is_due(None, NOW + timedelta(days=89), NOW)
    assert not is_due(None, NOW + timedelta(days=91), NOW)


def test_the_line_names_the_earliest_and_counts_the_rest():
    def ending(name, days):
        return Ending("operator", name, NOW + timedelta(days=days))

    said = sentence([ending("c", 3), ending("d", 4), ending("a", -1), ending("b", 2), ending("e", 5)], NOW)
    assert said == (
        "operator a ended on 2031-05-16, operator b ends on 2031-05-19, operator c ends on 2031-05-20, and 2 more"
    )
    assert sentence([], NOW) == ""
