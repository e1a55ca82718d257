"""Times as text, in the documents that travel and in the ledgers: UTC with microseconds."""

from datetime import UTC, datetime

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def time_text(time: datetime) -> str:
    """Return an aware time as UTC text of fixed width, so that text order is time order."""
    if time.tzinfo is None:
        raise ValueError("a time without a time zone")
    return time.astimezone(UTC).strftime(_FORMAT)


def text_time(text: str) -> datetime:
    """Return the aware UTC time of a text made by `time_text`."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
