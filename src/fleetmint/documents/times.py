"""Times as text, in the documents that travel and in the ledgers: UTC with microseconds."""

from datetime import UTC, datetime


def time_text(time: datetime) -> str:
    """Return an aware time as UTC text of fixed width, so that text order is time order."""
    if time.tzinfo is None:
        raise ValueError("a time without a time zone")
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def text_time(text: str) -> datetime:
    """Return the aware UTC time of a text made by `time_text`; raise ValueError for any other."""
    time = datetime.fromisoformat(text)
    # the standard has other forms of the same time, and these texts are compared as texts
    if time.tzinfo is None or time_text(time) != text:
        raise ValueError(f"{text!r} is no time like 2031-05-17T16:30:00.000000Z")
    return time
