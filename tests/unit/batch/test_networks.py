"""Wi-Fi profiles as YAML or JSON gave them: text that a station and an access point can use, or a reason."""

import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetmint.batch.networks import Wifi, WifiRefusedError, checked_wifi, read_networks

KEY = "0123456789abcdefABCDEF" * 3
# Letters and symbols of which fonts show nothing are among them, too.
UNSEEN = "\u115f\u1160\u2800\u3164\uffa0\ufffd"
SEEN = st.text(
    st.characters(categories=["L", "N", "P", "S"], include_characters=" ", exclude_characters=UNSEEN), min_size=1
).filter(str.strip)
GOOD = {"name": "default", "ssid": "workshop", "psk": "correct horse"}


@pytest.mark.parametrize(
    "psk", ["", "12345678", " blanks ", "ä" * 31 + "b", "a" * 63, KEY[:64], "{{x}}{#y#}", "pässwörd", "\U0001f4a1" * 2]
)
def test_a_passphrase_is_taken_to_the_last_character(psk):
    assert read_networks([GOOD | {"psk": psk}]) == {"default": Wifi("workshop", psk)}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(psk=SEEN)
def test_visible_text_of_8_to_63_bytes_is_a_passphrase_and_no_other(psk):
    if 8 <= len(psk.encode()) <= 63:
        assert checked_wifi("default", Wifi("net", psk)).psk == psk
    else:
        with pytest.raises(WifiRefusedError, match="8 to 63 characters"):
            checked_wifi("default", Wifi("net", psk))


@pytest.mark.parametrize("seen", ["\U0001f468\u200d\U0001f469", "\u2764\ufe0f", "\u0645\u06cc\u200c\u062e", "a\u00a0b"])
def test_people_write_names_with_joiners_and_blanks_of_their_own(seen):
    assert checked_wifi("default", Wifi(seen, "correct horse")).ssid == seen


@pytest.mark.parametrize(
    "code", [0xAD, 0x180E, 0x200B, 0x202E, 0x2066, 0x3164, 0xFEFF, 0xFDD0, 0xFFFE, 0x10FFFF, 0xE0001]
)
@pytest.mark.parametrize("field", ["name", "ssid", "psk"])
def test_characters_that_fonts_leave_out_are_in_no_field(code, field):
    with pytest.raises(WifiRefusedError, match=rf"{field} of the network .* holds the character U\+{code:04X}"):
        read_networks([GOOD | {field: f"correct{chr(code)}horse"}])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(character=st.characters(categories=["Cc", "Cs", "Zl", "Zp"]), field=st.sampled_from(["name", "ssid", "psk"]))
def test_what_nobody_sees_is_in_no_field(character, field):
    for text in (f"correct{character}horse", f"correct horse{character}", f"{character}correct horse"):
        with pytest.raises(WifiRefusedError, match=rf"{field} of the network .* holds (a|half|the character)") as error:
            read_networks([GOOD | {field: text}])
        assert field != "psk" or "horse" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([GOOD | {"psk": "g" * 64}], "64 hex digits"),
        ([GOOD | {"psk": KEY[:63] + "ä"}], "8 to 63 characters"),
        (
            [GOOD | {"psk": 612345670}],
            "psk of the network 'default' is a number to YAML, and has to be text: put it in",
        ),
        ([GOOD | {"psk": True}], "psk of .* is yes or no to YAML"),
        ([GOOD | {"psk": 1.5}], "psk of .* is a number"),
        ([GOOD | {"psk": datetime.date(2018, 1, 1)}], "psk of .* is a date"),
        ([GOOD | {"psk": b"12345678"}], "psk of .* is binary data"),
        ([GOOD | {"psk": None}], "psk of the network 'default' is empty: .* psk: \"\" for an open network"),
        ([{"name": "default", "ssid": "net"}], "lacks psk: .* for an open network"),
        ([GOOD | {"ssid": ""}], "ssid of .* 1 to 32 bytes .*not 0"),
        ([GOOD | {"ssid": "ä" * 17}], "ssid of .* 1 to 32 bytes .*not 34"),
        ([GOOD | {"ssid": 83}], "ssid of .* is a number"),
        ([GOOD | {"ssid": None}], "ssid of .* is empty, and has to be text: write it, in quotes"),
        ([GOOD | {"ssid": "  "}], "ssid of .* is nothing but blanks"),
        ([GOOD | {"psk": " " * 8}], "psk of .* is nothing but blanks"),
        ([GOOD | {"psk": "correct\u00a0horse"}], r"psk of .* holds the blank U\+00A0"),
        ([GOOD | {"psk": "correct\u3000horse"}], r"psk of .* holds the blank U\+3000"),
        ([GOOD | {"name": False}], "name of the network 'number 1' is yes or no"),
        ([GOOD | {"name": ""}], "name of .* is empty"),
        ([GOOD | {"pks": "x"}], "has no field 'pks': it has name, ssid, psk"),
        ([GOOD, GOOD | {"ssid": "other"}], "the network 'default' is there twice"),
        ([GOOD | {"psk": 1}, GOOD | {"ssid": 2}], "psk .*\nssid "),
        ({"default": GOOD}, "has to be a list of networks"),
        ([["default"]], "has to be a list of networks"),
        ("[{name: default}]", "-e takes it as JSON"),
        (None, "has to be a list of networks"),
    ],
)
def test_what_cannot_be_what_was_meant_is_refused(rows, reason):
    with pytest.raises(WifiRefusedError, match=reason) as error:
        read_networks(rows)
    assert "612345670" not in str(error.value)


def test_the_place_of_a_field_stands_before_its_problem():
    with pytest.raises(WifiRefusedError) as error:
        read_networks([{"name": "a", "ssid": 3, "psk": None}], lambda number, key: f"{key}@{number}: ")
    assert [line.split(" of ")[0] for line in str(error.value).splitlines()] == ["ssid@1: ssid", "psk@1: psk"]
