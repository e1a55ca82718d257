"""What the service writes to the journal."""

import io
import logging

from fleetmint.service.journal import OneLine


def written(*arguments, **options):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine())
    log = logging.Logger("service")
    log.addHandler(handler)
    log.error(*arguments, **options)
    return stream.getvalue()


def test_an_event_is_one_line_whatever_a_stranger_put_into_it():
    said = written("document from %s refused: %s", "192.0.2.1", "no\nINFO enrolled lamp-000001\x1b[2J\u202e\ud83d")
    assert said == r"ERROR document from 192.0.2.1 refused: no\nINFO enrolled lamp-000001\x1b[2J\u202e\ud83d" + "\n"


def test_no_line_of_a_traceback_looks_like_an_event():
    try:
        raise KeyError("x\nINFO enrolled lamp-000001") from ValueError("y\nINFO enrolled lamp-000002\r")
    except KeyError as error:
        first, *rest = written("a mistake", exc_info=error).splitlines()
    assert first == "ERROR a mistake"
    assert "INFO enrolled lamp-000002" in "".join(rest)
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
