"""The reader of JSON in the C core, as Python's has it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.c_lines import ask, data

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | NAMES
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))


def loads(text):
    """What strict JSON means, or ValueError: no NaN, no half of a pair of surrogates, only UTF-8."""

    def refuse(constant):
        raise ValueError(constant)

    found = json.loads(text.decode(), parse_constant=refuse)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def told(value):
    """A value in the words of the program."""
    if value is None or isinstance(value, bool):
        return [json.dumps(value)]
    if isinstance(value, dict | list):
        return ["object" if isinstance(value, dict) else "array"]
    if isinstance(value, str):
        return ["text", str(len(value.encode())), value.encode().hex() or "-"] if "\0" not in value else ["other"]
    if isinstance(value, int) and -(2**31) <= value < 2**31:
        return ["number", str(value % 2**32)]
    return ["other"]


def ways(value, way=()):
    """Each value in `value` with the way to it."""
    yield way, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ways(inner, (*way, f"={name}"))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ways(inner, (*way, f"#{index}"))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(value=VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_every_value_is_found_where_python_has_put_it(parsers, value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    found = [(way, inner) for way, inner in ways(value) if len(way) < 6]
    answers = ask(parsers, [("json", text, *way, 100) for way, _ in found])
    assert answers == [told(inner) for _, inner in found]


# one on each line; no text has a blank at its ends
TEXTS = rb"""
{
}
[
]
{}
[ ]
[,]
[1,]
[1 2]
{,}
{"a"}
{"a":}
{"a":1,}
{"a":1 "b":2}
{a:1}
{1:1}
[]]
{}{}
[}
{]
nul
null
nulls
True
true
NaN
-Infinity
0
-0
00
01
-
+1
1.
.5
1.5
1e
1e5
1E+5
1e-
1.5e-3
0x10
1_000
2147483648
-2147483648
"
"\"
"a	b"
"\x41"
"\u12"
"\u12g4"
"\ud83d"
"\ud83d\ude00"
"\ude00\ud83d"
"\ud83dx"
"\/\b\f\n\r\t\\\""
'a'
[1]x
/**/1
[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]
""".strip().split(b"\n")
TEXTS += [b"", b" ", b"\t[\r\n1 ]", b'"\xff"', b'"\xc3\xa4"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"[1]\0", b'"a\nb"']


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_json_is_refused(parsers, text):
    try:
        wanted = told(loads(text))
    except ValueError:
        wanted = ["BAD"]
    assert ask(parsers, [("json", text, 50)]) == [wanted]


def test_a_text_that_goes_too_deep_is_refused(parsers):
    assert ask(parsers, [("json", b"[" * 17 + b"]" * 17, 1), ("json", b"[" * 100_000, 1)]) == [["BAD"], ["BAD"]]


def test_what_is_not_there_and_what_is_there_twice_is_told_apart(parsers):
    text = b'{"a": 1, "b": {"a": 2}, "\\u0063": 3, "d": 1, "d": 2, "e": [5]}'
    asked = [
        ("=a",),
        ("=b", "=a"),
        ("=c",),
        ("=d",),
        ("=x",),
        ("=",),
        ("=a", "=a"),
        ("=e", "#1"),
        ("=e", "=a"),
        ("#0",),
    ]
    answers = ask(parsers, [("json", text, *way, 10) for way in asked])
    assert [" ".join(answer) for answer in answers] == [
        "number 1", "number 2", "number 3", "BAD", "ABSENT", "ABSENT", "BAD", "ABSENT", "BAD", "BAD",
    ]  # fmt: skip


def test_a_string_is_written_whole_or_not_at_all(parsers):
    text = '"grün"'
    answers = ask(parsers, [("json", text, room) for room in range(7)])
    assert answers[:6] == [["text", "TOO_LONG"]] * 6
    assert data(answers[6][2]) == "grün".encode()
