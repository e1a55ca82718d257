"""PKCS #11 URLs: what RFC 7512 writes, what is refused, and that no PIN is taken."""

from pathlib import Path

import pytest

from fleetmint.errors import StateError
from fleetmint.gateway.ca_key.url import parse


def test_a_url_says_token_key_module_and_where_the_pin_is():
    found = parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0"
        ";object=my-ca;type=private;id=%69%95%00?module-path=/usr/lib/x.so&pin-source=file:/etc/token_pin"
    )
    assert found.token == (
        ("token", "The Software PKCS#11 Softtoken"),
        ("manufacturer", "Snake Oil, Inc."),
        ("model", "1.0"),
    )
    assert (found.label, found.id) == ("my-ca", b"i\x95\0")
    assert (found.module, found.pin_file) == (Path("/usr/lib/x.so"), Path("/etc/token_pin"))


def test_the_shortest_url_names_token_and_module():
    found = parse("pkcs11:serial=0123?module-path=/x.so")
    assert (found.label, found.id, found.pin_file) == ("fleetmint-device-ca", None, None)


@pytest.mark.parametrize(("url", "words"), [
    ("pkcs11:token=x?module-path=/x.so&pin-value=1234", "holds a PIN"),
    ("pkcs11:token=x;pin-value=1234?module-path=/x.so", "holds a PIN"),
    ("pkcs11:?module-path=/x.so", "names no token"),
    ("pkcs11:token=?module-path=/x.so", "names no token"),
    ("pkcs11:token=x", "module-path=FILE"),
    ("pkcs11:token=x?module-path=x.so", "whole path"),
    ("pkcs11:token=x?module-path=/x.so&pin-source=|/bin/pin", "whole path"),
    ("pkcs11:token=x;slot-id=1?module-path=/x.so", "'slot-id', which is not understood"),
    ("pkcs11:token=x;token=y?module-path=/x.so", "token twice"),
    ("pkcs11:token=x y?module-path=/x.so", "percent-encoding"),
    ('pkcs11:token=x"?module-path=/x.so', "percent-encoding"),
    ("pkcs11:token=x;type=cert?module-path=/x.so", "signs with a private key"),
    ("pkcs11:token=x;object?module-path=/x.so", "'object', which is not understood"),
])  # fmt: skip
def test_what_is_no_such_url_or_not_understood_is_refused_without_repeating_a_pin(url, words):
    with pytest.raises(StateError) as refused:
        parse(url)
    assert words in str(refused.value)
    assert "1234" not in str(refused.value)
