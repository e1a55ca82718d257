"""Passphrases of networks from a file or a descriptor: every character of them, or a reason."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetmint import passphrases
from fleetmint.cli.bench.wifi import open_wifi_source
from fleetmint.errors import FleetmintError

# What WPA takes and people see, in at most 63 bytes.
SEEN = st.text(
    st.characters(
        categories=["L", "N", "P", "S"],
        include_characters=" ",
        exclude_characters="\ufffd\u115f\u1160\u2800\u3164\uffa0",
    ),
    min_size=8,
    max_size=15,
).filter(str.strip)


@pytest.fixture(scope="module", params=["file", "fd"])
def give(request, tmp_path_factory):
    """Return the passphrase of a profile from these bytes."""
    path = tmp_path_factory.mktemp("networks") / "networks"

    def run(data, profile="default", known=()):
        path.write_bytes(data)
        if request.param == "file":
            return open_wifi_source(f"file:{path}", known)(profile, "net")
        descriptor = os.open(path, os.O_RDONLY)
        return open_wifi_source(f"fd:{descriptor}", known)(profile, "net")

    return run


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(passphrase=SEEN)
def test_everything_behind_the_one_blank_is_the_passphrase(give, passphrase):
    for end in ("", "\n", "\r\n"):
        for mark in ("", "\ufeff"):
            text = f"{mark}default {passphrase}{end}"
            assert give(text.encode()) == passphrase


def test_each_profile_has_its_line(give):
    for end in (b"\n", b"\r\n", b"\r"):
        data = b"\ndefault  blanks around \n\n# guests nobody\nguests hidden place\n".replace(b"\n", end)
        assert (give(data), give(data, "guests")) == (" blanks around ", "hidden place")


def test_a_line_that_two_profiles_can_mean_is_refused(give):
    data = b"home 5g geheim12\n"
    assert give(data, "home") == "5g geheim12"
    with pytest.raises(FleetmintError, match="line 1 can be of the profile 'home' or 'home 5g'") as error:
        give(data, "home", ["home", "home 5g"])
    assert "geheim" not in str(error.value)
    assert give(data, "home 5g", ["home", "home 5g"]) == "geheim12"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("default pässwörd12\n".encode("latin-1"), r"line 1: it has to be text in UTF-8"),
        ("# networks\ndefault geheim12\n".encode("utf-16"), r"line 1: .* and this is UTF-16"),
        (b"# networks\ndefault geheim\x0c12\n", r"line 2, holds a form feed"),
        (b"default\tgeheim12\n", r"line 1, holds a tab"),
        (b"guests x\ndefault geheim\n", r"line 2: psk of the network 'default': a passphrase of WPA has 8 to 63"),
        (b"guests x\ndefault          \n", r"line 2: psk of the network 'default' is nothing but blanks"),
        (
            "default geheim\u00a0geheim\n".encode(),
            r"line 1: .* the blank U\+00A0, which looks like one of the keyboard",
        ),
        ("default geheim\u00adgeheim\n".encode(), r"line 1, holds the character U\+00AD"),
        (b"default geheim12\0\n", r"line 1, holds a zero byte"),
        ("default geheim\u0085guests x\n".encode(), r"line 1, holds the character U\+0085"),
        ("default geheim\u2028guests x\n".encode(), r"line 1, holds the character U\+2028"),
        ("a b\ndefault \ufeffgeheim\n".encode(), r"line 2, holds the character U\+FEFF"),
        (b"default geheim12\nguests x\ndefault geheim12\n", "default, which is there twice"),
        (b"default\n", "has no line `default PASSPHRASE`"),
        (b"default \n", "has no line `default PASSPHRASE`"),
        (b" default geheim12\n", "has no line `default PASSPHRASE`"),
        (b"", "has no line `default PASSPHRASE`"),
    ],
)
def test_what_may_not_be_the_passphrase_is_refused_and_not_shown(give, data, reason):
    with pytest.raises(FleetmintError, match=reason) as error:
        give(data)
    assert "geheim" not in str(error.value)


def test_a_descriptor_that_never_ends_is_no_file_of_passphrases():
    with open("/dev/zero", "rb") as zero, pytest.raises(FleetmintError, match="more than 65536 bytes"):  # noqa: PTH123
        open_wifi_source(f"fd:{os.dup(zero.fileno())}")("default", "net")
    with pytest.raises(FleetmintError, match="no source of Wi-Fi"):
        open_wifi_source("fd:" + "9" * 30)


def test_nothing_typed_makes_no_network_an_open_one(monkeypatch):
    monkeypatch.setattr(passphrases, "typed", lambda what, instead: "")
    with pytest.raises(FleetmintError, match="'net' is no open network"):
        open_wifi_source("prompt:")("default", "net")
