"""A network typed at a console: every name and passphrase can be typed, and what is wrong is said."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.c_build import run

OK = "0"
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(
    lambda name: len(name.encode()) <= 32
)
ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
PASSPHRASES = (
    st.just("") | st.text(ASCII, min_size=8, max_size=63) | st.text("0123456789abcdefABCDEF", min_size=64, max_size=64)
)


@pytest.fixture(scope="session")
def typed(build):
    program = build.program("test/typed.c", "src/typed.c", "src/utf8.c")

    def answers(given):
        return run(program, given=given).decode().splitlines()

    return answers


def network(answer):
    result, name, passphrase, *kept = answer.split(" ")
    assert result == OK, answer
    name, passphrase = bytes.fromhex(name), bytes.fromhex(passphrase)
    # at no moment the new name with the old passphrase
    assert kept == ["-wifi_ssid", f"wifi_psk:{len(passphrase)}", f"wifi_ssid:{len(name)}", "-wifi_list"]
    return name.decode(), passphrase.decode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fleet correct-horse", ("fleet", "correct-horse")),
        ("  fleet \t correct-horse  ", ("fleet", "correct-horse")),
        ('"The Office" "correct horse"', ("The Office", "correct horse")),
        ("'The \"Office\"' 'correct \\ horse'", ('The "Office"', "correct \\ horse")),
        ('"a \\"b\\" \\\\ c" 12345678', ('a "b" \\ c', "12345678")),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE} 12345678", ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "12345678")),
        ("O'Brien's 12345678", ("O'Brien's", "12345678")),
        ("back\\slash 12345678", ("back\\slash", "12345678")),
        ("open", ("open", "")),
        ('open ""', ("open", "")),
        ("fleet " + "aB" * 32, ("fleet", "aB" * 32)),
    ],
)
def test_a_name_and_a_passphrase_are_read(typed, line, expected):
    assert network(typed(f"{line}\n".encode())[0]) == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"   ", "type NAME PASSPHRASE"),
        (b'"The Office correct-horse', "a quote is not closed"),
        (b'"The Office"correct-horse', "right behind a quote"),
        (b"The Office correct-horse", "more than two words"),
        (b'"" 12345678', "1 to 32 bytes"),
        (b"n" * 33 + b" 12345678", "1 to 32 bytes"),
        (b"fleet short77", "8 to 63 characters"),
        (b"fleet " + b"x" * 64, "8 to 63 characters"),
        (b"fleet " + b"x" * 200, "8 to 63 characters"),
        (b"fleet pass\x1b[Aword", "characters in it"),
        (b"fleet \xc3\xa912345678", "characters in it"),
        (b"fl\xffet 12345678", "characters in it"),
        (b"fl\0et 12345678", "characters in it"),
        (b"x" * 500, "the line is too long"),
    ],
)
def test_what_is_no_network_is_told_without_what_was_typed(typed, line, why):
    (answer,) = typed(line + b"\r\n")
    assert why in answer
    assert not answer.startswith(OK)
    assert b"horse" not in answer.encode()


def test_ends_of_lines_are_those_of_every_terminal_and_backspace_takes_back(typed):
    lines = typed(b"\r\n\nfleetx\b 12345678\r\nfl\xc3\xa9\x7feet 123456789\b\r\n" + b"x" * 400 + b"\nopen\r")
    assert [network(lines[0]), network(lines[1]), network(lines[3])] == [
        ("fleet", "12345678"), ("fleet", "12345678"), ("open", "")
    ]  # fmt: skip
    assert "too long" in lines[2]
    assert len(lines) == 4


@given(NAMES, PASSPHRASES)
def test_every_network_can_be_typed_in_quotes(typed, name, passphrase):
    quoted = ['"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in (name, passphrase)]
    assert network(typed(f"{' '.join(quoted)}\n".encode())[0]) == (name, passphrase)


@given(st.binary(max_size=300))
def test_whatever_is_typed_gets_an_answer_for_each_line(typed, line):
    expected = [part for part in line.replace(b"\r", b"\n").split(b"\n") if part]
    assert len(typed(line + b"\n")) <= len(expected)


def test_quotes_are_those_of_a_shell_where_both_know_them(typed):
    line = "'a b' \"c d e f g\""
    assert list(network(typed(f"{line}\n".encode())[0])) == shlex.split(line)
