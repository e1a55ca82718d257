"""Base64, PEM, UTF-8 and dates of the C core, as Python, cryptography and OpenSSL have them."""

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.support.c_lines import ask, chance_of, data

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SOME = [chance_of(size).randbytes(size) for size in (*range(70), 1000)]


def decoded(text):
    """What Python makes of a text that is exactly base64, or None."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return content if base64.b64encode(content) == text else None


def test_base64_is_that_of_python(parsers):
    answers = ask(parsers, [("base64-encode", content) for content in SOME])
    assert [data(word) for (word,) in answers] == [base64.b64encode(content) for content in SOME]
    answers = ask(parsers, [("base64-decode", base64.b64encode(content), len(content)) for content in SOME])
    assert [data(word) for _, word in answers] == SOME
    answers = ask(parsers, [("base64-in-place", base64.b64encode(content)) for content in SOME])
    assert [data(word) for _, word in answers] == SOME


def test_base64_that_is_damaged_is_refused(parsers):
    chance = chance_of(1)
    texts = [b"QQ=", b"QQ", b"Q===", b"====", b"QR==", b"QUJ=", b"QUI=QUI=", b"Q Q=", b"QQ\n=", b"_-==", b"="]
    for content in SOME:
        text = bytearray(base64.b64encode(content) or b"=")
        text[chance.randrange(len(text))] = chance.choice(b"A+/=\n\x00\xff")
        texts.append(bytes(text))
    answers = ask(parsers, [("base64-decode", text, 2000) for text in texts])
    assert [data(answer[1]) if answer[0] != "BAD" else None for answer in answers] == [decoded(text) for text in texts]


def test_base64_writes_nothing_behind_its_room(parsers):
    assert ask(parsers, [("base64-decode", b"QUJD", 2), ("base64-decode", b"QUI=", 2)]) == [["TOO_LONG"], ["2", "4142"]]


def test_pem_is_that_of_openssl(parsers, tmp_path):
    """Three keys in one file, among other things, with the line ends of Windows as well."""
    keys, everything = [], "A file of somebody\n-----BEGIN CERTIFICATE-----\nnot looked at\n-----END CERTIFICATE-----\n"
    for number in range(3):
        path = tmp_path / f"{number}.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", path], check=True)
        der = subprocess.run(["openssl", "ec", "-in", path, "-outform", "DER"], check=True, capture_output=True)
        keys.append(der.stdout)
        everything += path.read_text()
    for text in (everything, everything.replace("\n", "\r\n"), everything.rstrip("\n")):
        (answer,) = ask(parsers, [("pem-read", text, "EC PRIVATE KEY", 200)])
        assert [data(word) for word in answer[1::2]] == keys
        assert answer[-1] == "ABSENT"
    (answer,) = ask(parsers, [("pem-write", "EC PRIVATE KEY", keys[0], 400)])
    first = (tmp_path / "0.pem").read_text()
    assert data(answer[1]).decode() == first[first.index("-----BEGIN EC PRIVATE") :]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", "ABSENT"),
        ("-----BEGIN X-----\n", "BAD"),
        ("-----BEGIN X-----\nQUJD\n", "BAD"),
        ("-----BEGIN X-----\nQUJ\n-----END X-----\n", "BAD"),
        ("-----BEGIN X-----\nQUI=\nQUJD\n-----END X-----\n", "BAD"),
        ("-----BEGIN X-----\nQU!D\n-----END X-----\n", "BAD"),
        ("-----BEGIN X-----\nQUJD\n-----END Y-----\n", "BAD"),
        ("-----BEGIN X-----\nQUJDQUJDQUJDRA==\n-----END X-----\n", "TOO_LONG"),
        ("-----BEGIN X----\nQUJD\n-----END X-----\n", "ABSENT"),
    ],
)
def test_pem_that_is_damaged_is_refused(parsers, text, result):
    assert ask(parsers, [("pem-read", text, "X", 9)]) == [[result]]


def test_pem_that_does_not_fit_is_not_written(parsers):
    text = "-----BEGIN X-----\nQUJD\n-----END X-----\n"
    answers = ask(parsers, [("pem-write", "X", b"ABC", size) for size in range(len(text) - 2, len(text) + 2)])
    assert [answer[0] for answer in answers] == ["TOO_LONG"] * 3 + [str(len(text))]


def test_utf8_is_what_python_takes_for_it(parsers):
    chance = chance_of(8)
    texts = [chr(code).encode("utf-8", "surrogatepass") for code in (0, 127, 128, 0x7FF, 0x800, 0xD7FF, 0xD800, 0xDFFF)]
    texts += [chr(code).encode() for code in (0xE000, 0xFFFF, 0x10000, 0x10FFFF)]
    texts += [
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xe2\x82",
    ]
    texts += [bytes(chance.choice(b"\x80\x9f\xa0\xbf\xc3\xe0\xe2\xed\xf0\xf4a") for _ in range(4)) for _ in range(3000)]
    answers = ask(parsers, [("utf8", text) for text in texts])
    assert [answer == ["1"] for answer in answers] == [text.decode(errors="ignore").encode() == text for text in texts]


def test_dates_are_those_of_python(parsers):
    chance = chance_of(2)
    dates = [EPOCH + timedelta(seconds=chance.randrange(1 << 32)) for _ in range(2000)]
    dates += [EPOCH, datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2100, 3, 1, tzinfo=UTC)]
    seconds = [[str(int((date - EPOCH).total_seconds()))] for date in dates]
    assert ask(parsers, [("date-http", format_datetime(date, usegmt=True)) for date in dates]) == seconds
    assert ask(parsers, [("date-iso", f"{date:%Y-%m-%dT%H:%M:%SZ}") for date in dates]) == seconds
    assert ask(parsers, [("date-of", number) for (number,) in seconds]) == [
        [f"{date:%Y-%m-%dT%H:%M:%SZ}"] for date in dates
    ]


def test_a_date_that_there_is_not_is_refused(parsers):
    good = "Sun, 22 Nov 2026 01:28:00 GMT"
    bad = ["", good[:-1], good + " ", "Sun, 22 nov 2026 01:28:00 GMT", "Sun, 31 Nov 2026 01:28:00 GMT"]
    bad += ["Sun, 22 Nov 2026 24:28:00 GMT", "Sun, 22 Nov 2026 01:60:00 GMT", "Sun, 22 Nov 2026 01:28:00 CET"]
    bad += ["Sun, 00 Nov 2026 01:28:00 GMT", "Sun, -1 Nov 2026 01:28:00 GMT", "Sun, 29 Feb 2026 01:28:00 GMT"]
    bad += ["Sunday, 22-Nov-26 01:28:00 GMT", "Sun, 22 Nov 2026 01:28:61 GMT"]
    assert ask(parsers, [("date-http", text) for text in bad]) == [["BAD"]] * len(bad)
    bad = ["", "2027-07-28T00:00:00", "2027-13-28T00:00:00Z", "2027-07-28 00:00:00Z", "2027-7-028T00:00:00Z"]
    bad += ["2027-00-28T00:00:00Z", "2100-02-29T00:00:00Z", "2027-07-28T00:00:00+"]
    assert ask(parsers, [("date-iso", text) for text in bad]) == [["BAD"]] * len(bad)


def test_a_date_beyond_what_the_core_counts_is_the_nearest_that_it_has(parsers):
    assert ask(parsers, [("date-iso", "1999-12-31T23:59:59Z"), ("date-iso", "9999-12-31T23:59:59Z")]) == [
        ["0"], [str(0xFFFFFFFF)],
    ]  # fmt: skip
