"""The release keys: made once, known by their points, and replaced on the word of the spare alone."""

import dataclasses

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.errors import SecretError, StateError
from fleetmint.trust import bundle, release_key
from fleetmint.x509.keys import new_key, sealed_pem


def replace(hierarchy, now, **options):
    plan = bundle.plan_key_replacement(hierarchy.directory, hierarchy.site, hierarchy.source, now, **options)
    plan.apply()
    return plan


def test_the_keys_are_encrypted_and_openssl_opens_each_with_its_own_passphrase_only(hierarchy, openssl):
    for name, secret, other in (("release-0.key", "issuing", "spare"), ("spare.key", "spare", "issuing")):
        path = hierarchy.directory / "release" / name
        assert path.stat().st_mode & 0o777 == 0o600
        opened, refused = (
            openssl("pkey", "-in", path, "-noout", "-text_pub", "-passin", f"file:{hierarchy.source.directory / place}")
            for place in (secret, other)
        )
        assert b"P-256" in opened.stdout
        assert refused.returncode != 0


def test_the_points_that_devices_know_are_those_of_the_keys(hierarchy, openssl):
    known = release_key.load(hierarchy.directory)
    for name, secret, point in (("release-0.key", "issuing", known.release), ("spare.key", "spare", known.spare)):
        path = hierarchy.directory / "release" / name
        passphrase = f"file:{hierarchy.source.directory / secret}"
        der = openssl("pkey", "-in", path, "-pubout", "-outform", "DER", "-passin", passphrase).stdout
        assert der.endswith(b"\x04" + point)


def test_openssl_verifies_a_signature(hierarchy, openssl, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import utils

    key = release_key.signing_key(hierarchy.directory, hierarchy.source)
    signature = release_key.sign(key, b"message")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    (tmp_path / "sig").write_bytes(utils.encode_dss_signature(r, s))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    verify = ("dgst", "-sha256", "-verify", tmp_path / "pub", "-signature", tmp_path / "sig")
    assert openssl(*verify, data=b"message").returncode == 0
    assert openssl(*verify, data=b"massage").returncode != 0


def test_a_signature_of_another_message_or_key_or_of_zeros_is_none():
    key, other = new_key(), new_key()
    point = release_key.point(key.public_key())
    signature = release_key.sign(key, b"message")
    assert release_key.verify(point, signature, b"message")
    assert not release_key.verify(point, signature, b"massage")
    assert not release_key.verify(release_key.point(other.public_key()), signature, b"message")
    assert not release_key.verify(point, bytes(64), b"message")
    assert not release_key.verify(b"\x01" * 64, signature, b"message")


def test_a_run_that_was_cut_before_the_list_of_keys_keeps_the_keys(hierarchy, now):
    before = release_key.load(hierarchy.directory)
    (hierarchy.directory / "release/keys.bin").unlink()
    (hierarchy.directory / "bundle.bin").unlink()
    plan_hierarchy(hierarchy, ["gateway"], now).apply()
    assert release_key.load(hierarchy.directory) == before


def test_the_spare_may_be_away_on_ordinary_days(hierarchy, now):
    (hierarchy.directory / "release/spare.key").rename(hierarchy.directory.parent / "spare.key")
    assert plan_hierarchy(hierarchy, ["gateway"], now).reasons == ()
    assert bundle.plan_bundle(hierarchy.directory, "test", hierarchy.source, now, force=True).changed


def test_a_release_key_that_is_missing_is_told_and_not_made_again(hierarchy, now):
    (hierarchy.directory / "release/release-0.key").unlink()
    with pytest.raises(StateError, match=r"release-0\.key is missing"):
        plan_hierarchy(hierarchy, ["gateway"], now)


def test_a_release_key_that_is_not_the_known_one_signs_nothing(hierarchy, now):
    path, before = hierarchy.directory / "release/release-0.key", (hierarchy.directory / "bundle.bin").read_bytes()
    path.write_bytes(sealed_pem(new_key(), hierarchy.source.read("issuing")))
    with pytest.raises(StateError, match="is not the release key that devices know"):
        bundle.plan_bundle(hierarchy.directory, "test", hierarchy.source, now, force=True).apply()
    assert (hierarchy.directory / "bundle.bin").read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\x00" * 194, b"\x00" * 195])
def test_a_damaged_list_of_keys_is_told_by_its_name(hierarchy, now, data):
    (hierarchy.directory / "release/keys.bin").write_bytes(data)
    with pytest.raises(StateError, match=r"keys\.bin"):
        plan_hierarchy(hierarchy, ["gateway"], now)


def test_a_replaced_release_key_is_accepted_by_devices_and_the_old_one_no_more(hierarchy, now):
    held = bundle.load(hierarchy.directory / "bundle.bin")
    old = release_key.signing_key(hierarchy.directory, hierarchy.source)
    plan = replace(hierarchy, now)
    assert "replace the release key" in plan.reasons[0]
    new = bundle.load(hierarchy.directory / "bundle.bin")
    assert new.keys.generation == 1
    assert new.keys.release != held.keys.release
    assert new.keys.spare == held.keys.spare
    assert bundle.refusal(held, new) is None
    stale = bundle.Bundle("test", 9, now, held.keys, held.anchors)
    stale = dataclasses.replace(stale, signature=release_key.sign(old, stale.signed_part()))
    assert bundle.refusal(held, stale) is None
    assert "not newer" in bundle.refusal(new, stale)


def test_a_device_that_slept_through_replacements_takes_the_newest_bundle(hierarchy, now):
    held = bundle.load(hierarchy.directory / "bundle.bin")
    replace(hierarchy, now)
    replace(hierarchy, now)
    newest = bundle.load(hierarchy.directory / "bundle.bin")
    assert newest.label == "2.3"
    assert bundle.refusal(held, newest) is None


def test_a_replacement_that_was_cut_is_finished_with_the_key_it_made(hierarchy, now):
    before = (hierarchy.directory / "bundle.bin").read_bytes()
    replace(hierarchy, now)
    made = release_key.load(hierarchy.directory)
    (hierarchy.directory / "bundle.bin").write_bytes(before)
    replace(hierarchy, now)
    assert release_key.load(hierarchy.directory) == made
    assert bundle.load(hierarchy.directory / "bundle.bin").keys == made


def test_another_spare_replaces_nothing(hierarchy, now, tmp_path):
    stranger = tmp_path / "spare.key"
    stranger.touch(0o600)
    stranger.write_bytes(sealed_pem(new_key(), hierarchy.source.read("spare")))
    before = {path: path.read_bytes() for path in hierarchy.directory.rglob("*") if path.is_file()}
    with pytest.raises(StateError, match="is not the spare that devices know"):
        replace(hierarchy, now, spare=stranger)
    stranger.write_bytes(sealed_pem(new_key(), b"x" * 32))
    with pytest.raises(SecretError):
        replace(hierarchy, now, spare=stranger)
    with pytest.raises(StateError, match="cannot read"):
        replace(hierarchy, now, spare=tmp_path / "nothing")
    assert {path: path.read_bytes() for path in hierarchy.directory.rglob("*") if path.is_file()} == before
