import pytest

from fleetmint.errors import ImageError
from fleetmint.factory import secrets
from fleetmint.factory.batch import plan_batch
from fleetmint.factory.file_system import device_files
from fleetmint.factory.image import nvs_entries
from fleetmint.nvs.values import parse
from fleetmint.pki import bundle


def test_a_device_without_nvs_gets_the_same_content_as_files(batch, common, place, hierarchy, now, openssl, tmp_path):
    plan_batch(batch, common, place, hierarchy, now).apply()
    known = secrets.load(place.directory, hierarchy.source)
    entries = nvs_entries("lamp-000003", known, now)
    files = device_files(entries)
    for key, value in entries["fleetmint"].items():
        assert files.pop(f"fleetmint/{key}") == (value if isinstance(value, bytes) else str(value).encode())
    # BearSSL takes certificates, not bundles
    assert files == {
        f"fleetmint/anchor{number}": anchor
        for number, anchor in enumerate(bundle.decode(common.bundle, "bundle").anchors)
    }
    (tmp_path / "anchor.der").write_bytes(files["fleetmint/anchor0"])
    assert b"server" in openssl("x509", "-inform", "DER", "-in", tmp_path / "anchor.der", "-noout", "-subject").stdout


def test_values_of_every_type_are_files(now):
    values = {
        "limit": parse("u16", "0xffff"),
        "name": parse("string", "grün"),
        "raw": parse("hex2bin", "00ff"),
        "n": -3,
    }
    assert device_files({"app": values}) == {
        "app/limit": b"65535",
        "app/name": "grün".encode(),
        "app/raw": b"\x00\xff",
        "app/n": b"-3",
    }


@pytest.mark.parametrize(("namespace", "key"), [("a/b", "k"), ("n", "a/b"), ("..", "k"), ("n", ".")])
def test_a_name_that_is_no_file_name_is_refused(namespace, key):
    with pytest.raises(ImageError, match="cannot be a file"):
        device_files({namespace: {key: 1}})
