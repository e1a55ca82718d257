"""Being a tool among others: any locale, Ctrl-C, and a pipe whose reader has seen enough."""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fleetmint.errors import FleetmintError

# What a shell makes of SIGINT and SIGPIPE.
INTERRUPTED, HUNG_UP = 130, 141
_ESCAPED = "fleetmint-escaped"
# What we draw ourselves and not every character set has.
_PLAIN = {"←": "<-", "→": "->", "…": "..."}


def prepare() -> None:
    """Let stdout and stderr write every text: what their character set lacks becomes an escape, not a traceback."""
    codecs.register_error(_ESCAPED, _escape)
    codecs.register(_plain_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None when it is closed
            encoding = codecs.lookup(stream.encoding).name
            # click takes ASCII for a mistake and writes UTF-8; whoever asked for ASCII gets it, under another name
            stream.reconfigure(encoding="plain_ascii" if encoding == "ascii" else encoding, errors=_ESCAPED)


@contextmanager
def ending_like_a_tool() -> Iterator[None]:
    """Exit with 130 on Ctrl-C and with 141 when the reader of the output has gone, both without a word."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except click.Abort as error:  # Ctrl-C at a prompt, or the end of its input
        if isinstance(error.__context__, KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        raise
    except UnicodeEncodeError as error:
        raise FleetmintError(
            f"{error.object!a} cannot be written in {error.encoding}, which this locale uses: try again in a UTF-8"
            " locale, such as LC_ALL=C.UTF-8"
        ) from error
    except OSError as error:
        gone = _without_reader() if error.errno == errno.EPIPE else []
        if gone:
            _silence(gone)
            raise SystemExit(HUNG_UP) from None
        if error.errno in (errno.ENOSPC, errno.EIO) and error.filename is None:
            _silence([1])
            raise FleetmintError(f"the output cannot be written: {error.strerror}") from error
        raise


def _without_reader() -> list[int]:
    """Which of stdout and stderr nobody reads: a worker or a gateway that hung up is another matter."""
    poll = select.poll()
    for handle in (1, 2):
        poll.register(handle, 0)
    return [handle for handle, event in poll.poll(0) if event & select.POLLERR]


def _silence(handles: list[int]) -> None:
    """Throw away what is still buffered: Python would try to write it at its end and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for handle in handles:
        os.dup2(nowhere, handle)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or each.encode("unicode_escape").decode() for each in lacking), error.end


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name != "plain_ascii":
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_.encode,
        ascii_.decode,
        incrementalencoder=ascii_.incrementalencoder,
        incrementaldecoder=ascii_.incrementaldecoder,
        name=name,
    )
