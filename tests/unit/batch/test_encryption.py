from dataclasses import replace

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.encryption import KEYS_REGION, checked_scheme, encryption, new_key
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.spec import read_batch
from fleetmint.errors import FleetmintError, ImageError
from fleetmint.flash.table import Partition, PartitionTable, stock
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode

NVS = Partition("nvs", 1, 2, 0x9000, 0x6000)
KEYS = Partition("nvs_keys", 1, 4, 0xF000, 0x1000, flags=1)


@pytest.mark.parametrize(
    ("scheme", "chip", "message"),
    [
        ("aes", "esp32", "nvs_encryption 'aes' is unknown: choose one of none, hmac, flash"),
        ("hmac", "esp32", "needs the HMAC peripheral of esp32s3, esp32c3, esp32c6, which an esp32 lacks"),
        ("flash", "esp8266", "no NVS and no flash encryption"),
    ],
)
def test_a_scheme_that_a_chip_cannot_do_is_refused(scheme, chip, message):
    with pytest.raises(ImageError, match=message):
        checked_scheme(scheme, chip)


def test_a_batch_file_says_the_scheme_and_is_refused_with_its_name(tmp_path):
    path = tmp_path / "batch.yml"
    path.write_text("batch: bat\nprefix: lamp\nchip: esp32c6\nnvs_encryption: hmac\ndevices: [{count: 1}]\n")
    assert read_batch(path).nvs_encryption == "hmac"
    path.write_text(path.read_text().replace("esp32c6", "esp32"))
    with pytest.raises(FleetmintError, match=f"{path}, line 4: nvs_encryption hmac needs"):
        read_batch(path)


@pytest.mark.parametrize(("scheme", "chip"), [("hmac", "esp32s3"), ("flash", "esp32")])
def test_each_device_has_random_keys_that_open_its_nvs(batch, common, location, hierarchy, now, scheme, chip):
    sealed = replace(batch, chip=chip, nvs_encryption=scheme)
    plan_batch(sealed, common, location, hierarchy, now).apply()
    assert not plan_batch(sealed, common, location, hierarchy, now).changed
    known = secrets.load(location.directory, hierarchy.source)
    assert known.nvs_encryption == scheme
    found = [known.of(unit.device).nvs_key for unit in sealed.units]
    assert len(set(found)) == len(found) == 3
    assert "nvs_key" not in repr(known.of("lamp-000001"))
    table = PartitionTable((NVS, KEYS))
    for unit, key in zip(sealed.units, found, strict=True):
        secret = encryption(scheme, key, table)
        entries = nvs_entries(unit.device, known, now)
        image = encode(entries, 0x6000, secret.keys)
        assert common.wifi["default"].psk.encode() not in image
        # what the device does: keys of its eFuse, or of its partition
        keys = NvsKeys.of_hmac_key(key) if scheme == "hmac" else NvsKeys.from_partition(secret.regions[0].data)
        assert decode(image, keys=keys) == entries


def test_a_batch_does_not_change_its_encryption(batch, common, location, hierarchy, now):
    plan_batch(batch, common, location, hierarchy, now).apply()
    with pytest.raises(FleetmintError, match="another chip or NVS encryption"):
        plan_batch(replace(batch, nvs_encryption="flash"), common, location, hierarchy, now)


def test_the_keys_partition_is_filled_where_the_table_puts_it():
    regions = encryption("flash", new_key("flash"), PartitionTable((NVS, KEYS))).regions
    assert [(region.name, region.offset, len(region.data)) for region in regions] == [(KEYS_REGION, 0xF000, 0x1000)]
    assert encryption("hmac", new_key("hmac"), stock("4MiB")).regions == ()
    assert encryption("none", new_key("none"), stock("4MiB")).keys is None


def test_keys_that_would_lie_readable_beside_the_nvs_are_refused():
    with pytest.raises(ImageError, match="needs a partition nvs_keys, and the partition table has none"):
        encryption("flash", new_key("flash"), stock("4MiB"))
    plain = PartitionTable((NVS, replace(KEYS, flags=0)))
    with pytest.raises(ImageError, match="'nvs_keys' is not marked `encrypted`: the keys would stay readable"):
        encryption("flash", new_key("flash"), plain)


def test_a_device_without_its_key_is_refused():
    with pytest.raises(ImageError, match="no key for its NVS"):
        encryption("hmac", None, stock("4MiB"))
