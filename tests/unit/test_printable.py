"""What strangers say, made fit for a person's eyes."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetmint.printable import json_line, printable, printable_lines, shortened

FORGED = "1\n02:33:50  lamp-000001  temperature 99"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain words, Ünicode, 電球, 💡", "plain words, Ünicode, 電球, 💡"),
        (FORGED, r"1\n02:33:50  lamp-000001  temperature 99"),
        ("a\r\tb\0\x7f", r"a\r\tb\x00\x7f"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\ud83d and \udcff", r"\ud83d and \udcff"),
        ("\u202eexe.\u2066\u200f\u061c", r"\u202eexe.\u2066\u200f\u061c"),
        ("\u2028\u2029\u00a0\u3000", r"\u2028\u2029\xa0\u3000"),
        ("\U000e0041\ufeff", r"\U000e0041\ufeff"),
        (b"\xff\xfe\xed\xa0\xbd caf\xc3\xa9", r"\xff\xfe\xed\xa0\xbd café"),
        ("", ""),
    ],
)
def test_what_a_terminal_obeys_or_nobody_sees_is_an_escape(said, shown):
    assert printable(said) == shown


@given(st.text(st.characters(exclude_categories=[])) | st.binary())
def test_whatever_is_said_is_one_line_that_any_terminal_takes(said):
    shown = printable(said)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(each)[0] for each in shown.replace(" ", "")} & {"C", "Z"}
    assert printable(shown) == shown
    shown.encode()


@given(st.text(st.characters(exclude_categories=[])))
def test_lines_of_ours_stay_lines(said):
    assert printable_lines(said).split("\n") == [printable(line) for line in said.split("\n")]


def test_what_is_too_long_says_how_long_it_is():
    assert shortened("x" * 10, 10) == "x" * 10
    assert shortened("x" * 11, 10) == "x" * 10 + "... (11 characters)"


@given(st.dictionaries(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[]))))
def test_json_is_one_line_of_ascii_without_controls_and_loses_nothing(values):
    line = json_line(values)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == json.loads(json.dumps(values))
