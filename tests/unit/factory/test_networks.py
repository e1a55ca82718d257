"""Wi-Fi profiles as YAML or JSON gave them: text that a station and an access point can use, or a reason."""

import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetmint.factory.networks import Wifi, WifiRefusedError, checked_wifi, read_networks

KEY = "0123456789abcdefABCDEF" * 3
GOOD = {"name": "default", "ssid": "workshop", "psk": "correct horse"}


@pytest.mark.parametrize(
    "psk", ["", "12345678", " blanks ", "ä" * 31 + "b", "a" * 63, KEY[:64], "{{x}}{#y#}", "pässwörd", "\U0001f4a1" * 2]
)
def test_a_passphrase_is_taken_to_the_last_character(psk):
    assert read_networks([GOOD | {"psk": psk}]) == {"default": Wifi("workshop", psk)}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(psk=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\ufffd"), min_size=1))
def test_visible_text_of_8_to_63_bytes_is_a_passphrase_and_no_other(psk):
    if 8 <= len(psk.encode()) <= 63:
        assert checked_wifi("default", Wifi("net", psk)).psk == psk
    else:
        with pytest.raises(WifiRefusedError, match="8 to 63 characters"):
            checked_wifi("default", Wifi("net", psk))


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
        ([GOOD | {"ssid": None}], "ssid of .* is empty to YAML"),
        ([GOOD | {"name": False}], "name of the network 'number 1' is yes or no"),
        ([GOOD | {"name": ""}], "name of .* is empty"),
        ([GOOD | {"pks": "x"}], "has no field 'pks': it has name, ssid, psk"),
        ([GOOD, GOOD | {"ssid": "other"}], "the network 'default' is there twice"),
        ([GOOD | {"psk": 1}, GOOD | {"ssid": 2}], "psk .*\nssid "),
        ({"default": GOOD}, "is a list of networks"),
        ([["default"]], "is a list of networks"),
        (None, "is a list of networks"),
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
