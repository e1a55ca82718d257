from dataclasses import replace

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.file_system import device_files
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.spec import Extra, read_batch
from fleetmint.errors import FleetmintError, ImageError
from fleetmint.nvs.values import Value, parse
from fleetmint.trust import bundle


def test_a_device_without_nvs_gets_the_same_content_as_files(
    batch, common, location, hierarchy, now, openssl, tmp_path
):
    plan_batch(batch, common, location, hierarchy, now).apply()
    known = secrets.load(location.directory, hierarchy.source)
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


def test_a_batch_for_the_chip_without_nvs_has_the_layouts_of_that_chip(tmp_path):
    path = tmp_path / "batch.yml"
    text = "prefix: lamp\nchip: esp8266\nlayout: {}\ndevices: [{{count: 1}}]\n"
    path.write_text(text.format("4M1M"))
    assert (read_batch(path).chip, read_batch(path).layout) == ("esp8266", "4M1M")
    path.write_text(text.format("8MiB"))
    with pytest.raises(FleetmintError, match="line 3: '8MiB' is no layout: choose one of 1M64, 1M512"):
        read_batch(path)


@pytest.mark.parametrize(
    ("key", "size", "message"), [("a/b", 1, "app:a/b cannot be a file"), ("big", 70_000, "do not fit into 0x10000")]
)
def test_values_that_make_no_file_are_refused_before_anything_is_made(
    batch, common, location, hierarchy, now, key, size, message
):
    values = (Extra("app", key, Value("blob", bytes(size))),)
    with pytest.raises(FleetmintError, match=message):
        plan_batch(replace(batch, chip="esp8266", layout="1M64", values=values), common, location, hierarchy, now)
    assert not location.directory.exists()


@pytest.mark.parametrize(("namespace", "key"), [("a/b", "k"), ("n", "a/b"), ("..", "k"), ("n", ".")])
def test_a_name_that_is_no_file_name_is_refused(namespace, key):
    with pytest.raises(ImageError, match="cannot be a file"):
        device_files({namespace: {key: 1}})
