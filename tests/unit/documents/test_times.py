from datetime import UTC, datetime, timedelta, timezone

import pytest

from fleetmint.documents.times import text_time, time_text

TIME = datetime(2031, 5, 7, 6, 3, 0, 40, tzinfo=UTC)
TEXT = "2031-05-07T06:03:00.000040Z"


def test_a_time_is_utc_text_of_one_width_whose_order_is_that_of_time():
    assert time_text(TIME) == TEXT
    assert time_text(TIME.astimezone(timezone(timedelta(hours=5)))) == TEXT
    assert text_time(TEXT) == TIME
    assert time_text(TIME.replace(microsecond=0)) == "2031-05-07T06:03:00.000000Z"


@pytest.mark.parametrize(
    "other",
    [
        "2031-05-07T06:03:00Z",
        "2031-05-07T06:03:00.000040+00:00",
        "2031-05-07T06:03:00.000040",
        "2031-05-07 06:03:00.000040Z",
        "2031-W19-3T06:03:00.000040Z",
        "2031-05-07T06:03:00,000040Z",
        "2031-05-07T06:03:00.000040z",
        "٢031-05-07T06:03:00.000040Z",
        "",
    ],
)
def test_another_form_of_a_time_is_none(other):
    with pytest.raises(ValueError, match=r"time|isoformat"):
        text_time(other)
