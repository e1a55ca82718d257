"""The trust bundle: what it holds, when a new one is signed, and what a device would say to it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.errors import StateError
from fleetmint.trust import bundle, release_key
from fleetmint.x509.keys import new_key


@pytest.fixture
def path(hierarchy):
    return hierarchy.directory / "bundle.bin"


def plan(hierarchy, now, **options):
    return bundle.plan_bundle(hierarchy.directory, hierarchy.site, hierarchy.source, now, **options)


def test_it_names_both_server_cas_and_the_release_keys_and_is_small(hierarchy, path):
    found = bundle.load(path)
    assert (found.site, found.label) == ("test", "0.1")
    serials = [x509.load_der_x509_certificate(anchor).serial_number for anchor in found.anchors]
    wanted = [hierarchy.directory / name / "ca.crt" for name in ("server", "server-next")]
    assert serials == [x509.load_pem_x509_certificate(ca.read_bytes()).serial_number for ca in wanted]
    assert found.keys == release_key.load(hierarchy.directory)
    assert len(path.read_bytes()) < 1400
    assert path.read_bytes() == found.encode()


def test_a_second_run_signs_nothing_and_needs_no_passphrase(hierarchy, now, path):
    before = path.read_bytes()
    blind = Hierarchy(hierarchy.directory, hierarchy.site, None)
    later = plan(blind, now + timedelta(days=900))
    assert later.reasons == ()
    later.apply()
    assert path.read_bytes() == before


def test_another_server_ca_is_a_reason_for_the_next_version(hierarchy, now, path):
    held = bundle.load(path)
    for name in ("ca.crt", "ca.key"):
        (hierarchy.directory / "server-next" / name).unlink()
    made = plan_hierarchy(hierarchy, ["gateway"], now)
    assert made.reasons == ("make the next server CA", "sign the next trust bundle")
    made.apply()
    found = bundle.load(path)
    assert found.label == "0.2"
    assert found.anchors != held.anchors
    assert bundle.refusal(held, found) is None
    assert bundle.refusal(found, held) == "0.1 is not newer than 0.2"


def test_a_new_version_is_signed_when_asked_for_and_skips_where_told(hierarchy, now, path):
    assert plan(hierarchy, now, force=True).reasons == ("sign the trust bundle 0.2: asked for",)
    plan(hierarchy, now, force=True, above=40).apply()
    assert bundle.load(path).label == "0.41"
    path.unlink()
    plan(hierarchy, now, above=41).apply()
    assert bundle.load(path).label == "0.42"


def test_a_plan_that_is_not_applied_writes_nothing(hierarchy, now, path):
    before = path.read_bytes()
    assert plan(hierarchy, now, force=True).changed
    assert path.read_bytes() == before


def test_the_bundle_of_another_site_is_refused(hierarchy, now):
    with pytest.raises(StateError, match="belongs to the site 'test'"):
        bundle.plan_bundle(hierarchy.directory, "other", hierarchy.source, now)


def test_a_damaged_bundle_is_told_by_its_name_and_not_overwritten(hierarchy, now, path):
    data = path.read_bytes()
    for broken in (data[:-1], data + b"x", b"", data[:40], data[:-1] + bytes([data[-1] ^ 1]), b"\xff" * 3000):
        path.write_bytes(broken)
        with pytest.raises(StateError, match=r"bundle\.bin"):
            plan_hierarchy(hierarchy, ["gateway"], now)
        assert path.read_bytes() == broken


@given(data=st.binary(max_size=400) | st.binary(max_size=400).map(lambda rest: bundle.MAGIC + rest))
def test_any_bytes_are_a_bundle_or_an_error_of_ours(data):
    try:
        found = bundle.decode(data, "it")
    except StateError:
        return
    assert found.encode() == data


@pytest.fixture
def held(path):
    return bundle.load(path)


@pytest.fixture
def key(hierarchy):
    return release_key.signing_key(hierarchy.directory, hierarchy.source)


def signed(found, key):
    return replace(found, signature=release_key.sign(key, found.signed_part()))


def test_a_device_refuses_what_is_not_the_next_bundle_of_its_site(held, key):
    other = new_key()
    next_one = replace(held, version=2)
    assert bundle.refusal(held, signed(next_one, key)) is None
    assert "not signed" in bundle.refusal(held, signed(next_one, other))
    assert "not signed" in bundle.refusal(held, next_one)
    assert "not newer" in bundle.refusal(held, signed(held, key))
    assert "site elsewhere" in bundle.refusal(held, signed(replace(next_one, site="elsewhere"), key))
    theirs = replace(held.keys, release=release_key.point(other.public_key()))
    assert "other release keys" in bundle.refusal(held, signed(replace(next_one, keys=theirs), other))
    endorsed = replace(
        theirs, generation=1, endorsement=release_key.sign(key, replace(theirs, generation=1).statement("test"))
    )
    assert "not named by the spare" in bundle.refusal(held, signed(replace(next_one, keys=endorsed), other))


@pytest.mark.parametrize(
    "change", [{"version": 0}, {"anchors": ()}, {"anchors": (b"x",) * 5}, {"anchors": (b"no certificate",)}]
)
def test_what_makes_no_sense_in_a_bundle_is_refused_when_it_is_read(held, key, change):
    with pytest.raises(StateError):
        bundle.decode(signed(replace(held, **change), key).encode(), "it")


@pytest.mark.parametrize("nvs_bytes", [0x6000, 0x4000])
def test_the_largest_bundle_and_its_successor_fit_into_the_nvs_beside_two_identities(nvs_bytes):
    from fleetmint.nvs import keys
    from fleetmint.nvs.encode import encode

    large = b"x" * bundle.MAX_BYTES
    values = {keys.BUNDLE: large, "being_written": large, keys.CLOCK_FLOOR: 1, keys.SLOT: 1}
    values |= dict.fromkeys(keys.KEYS, b"k" * 121) | dict.fromkeys(keys.CERTIFICATES, b"c" * 1000)
    values |= {keys.DEVICE_ID: b"d" * 63, keys.GATEWAY: b"g" * 253, keys.WIFI_SSID: b"s" * 32, keys.WIFI_PSK: b"p" * 63}
    # raises when it does not fit with a page to spare
    assert len(encode({keys.NAMESPACE: values}, nvs_bytes)) == nvs_bytes


@pytest.mark.parametrize("site", ["ab", "a" * 31])
def test_three_server_cas_of_a_site_with_any_name_fit(tmp_path, now, site):
    from fleetmint.passphrases import open_source

    made = Hierarchy(tmp_path / "ca", site, open_source(f"file:{tmp_path / 'passphrases'}"))
    plan_hierarchy(made, ["gateway"], now).apply()
    found = bundle.load(tmp_path / "ca/bundle.bin")
    three = replace(found, anchors=(*found.anchors, found.anchors[1]))
    assert len(three.encode()) <= bundle.MAX_BYTES
