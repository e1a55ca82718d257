from dataclasses import replace

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.image import nvs_entries
from fleetmint.batch.secure_cert import holder, key_regions, place
from fleetmint.batch.settings import from_json
from fleetmint.batch.spec import read_batch
from fleetmint.errors import FleetmintError, ImageError
from fleetmint.flash.secure_cert import CA_CERTIFICATE, PRIVATE_KEY, SIZE, Entry, decode, encode, numbered
from fleetmint.flash.table import Partition, PartitionTable, stock
from fleetmint.nvs import keys
from fleetmint.trust import bundle as trust

ROW = Partition("esp_secure_cert", 0x3F, 0, 0xD000, 0x2000)
TABLE = PartitionTable((Partition("nvs", 1, 2, 0x9000, 0x4000), ROW))
HEAD = "prefix: lamp\nchip: {chip}\nlayout: {layout}\nidentity: {identity}\ndevices:\n  - count: 2\n"


@pytest.fixture
def batch_file(tmp_path):
    def write(chip="esp32s3", layout="firmware", identity="esp_secure_cert", entry="    key_origin: factory\n"):
        path = tmp_path / "sealed.yml"
        path.write_text(HEAD.format(chip=chip, layout=layout, identity=identity) + entry)
        return path

    return write


@pytest.fixture
def known(batch_file, common, location, hierarchy, now):
    plan_batch(read_batch(batch_file()), common, location, hierarchy, now).apply()
    return secrets.load(location.directory, hierarchy.source)


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ({"identity": "tpm"}, 4, "identity 'tpm' is unknown: choose one of nvs, esp_secure_cert"),
        ({"chip": "esp8266", "layout": "4M2M"}, 4, "an esp8266 has no partitions, and so no esp_secure_cert"),
        ({"layout": "4MiB"}, 4, "layout 4MiB is MicroPython's and has no partition esp_secure_cert"),
        ({"entry": ""}, 6, "identity esp_secure_cert holds a key that the factory makes: say key_origin: factory"),
        ({"entry": "    key_origin: device\n"}, 7, "say key_origin: factory"),
    ],
)
def test_what_has_no_place_or_no_key_is_refused_with_its_line(batch_file, changes, line, message):
    path = batch_file(**changes)
    with pytest.raises(FleetmintError) as raised:
        read_batch(path)
    assert f"{path}, line {line}: " in str(raised.value)
    assert message in str(raised.value)


def test_key_and_certificate_lie_in_the_partition_and_not_in_the_nvs(known, now, hierarchy):
    entries = nvs_entries("lamp-000001", known, now)["fleetmint"]
    assert entries[keys.DEVICE_ID] == b"lamp-000001"
    assert not {*keys.KEYS, *keys.CERTIFICATES, keys.SLOT, keys.TOKEN} & entries.keys()
    (region,) = key_regions("lamp-000001", known, TABLE)
    assert (region.name, region.offset, len(region.data)) == ("esp_secure_cert", 0xD000, 0x2000)
    assert holder(region.data) == "lamp-000001"
    anchors = trust.decode((hierarchy.directory / "bundle.bin").read_bytes(), "bundle").anchors
    assert [entry.subtype for entry in decode(region.data) if entry.type == CA_CERTIFICATE] == [*range(len(anchors))]
    assert "BEGIN" not in repr(region)


def test_a_batch_keeps_where_its_identities_are(known, batch_file, common, location, hierarchy, now):
    assert known.identity == "esp_secure_cert"
    assert not plan_batch(read_batch(batch_file()), common, location, hierarchy, now).changed
    with pytest.raises(FleetmintError, match="was made with identity: esp_secure_cert: what is made stays"):
        plan_batch(read_batch(batch_file(identity="nvs")), common, location, hierarchy, now)


def test_a_batch_of_an_earlier_version_has_its_identities_in_the_nvs(known):
    earlier = known.settings.to_json().replace(b', "identity": "esp_secure_cert"', b"")
    assert b"identity" not in earlier
    assert from_json(earlier).identity == "nvs"


def test_a_key_that_would_lie_readable_beside_an_encrypted_nvs_is_refused():
    with pytest.raises(ImageError, match="'esp_secure_cert' is not marked `encrypted`: the device's key would stay"):
        place(TABLE, "hmac")
    sealed = replace(ROW, flags=1)
    assert place(PartitionTable((TABLE.partitions[0], sealed)), "hmac") == sealed
    assert place(TABLE, "none") == ROW


def test_a_table_without_the_partition_is_refused(known):
    with pytest.raises(ImageError, match="has no partition 'esp_secure_cert'"):
        key_regions("lamp-000001", known, stock("4MiB"))


def test_the_largest_identity_fits_into_the_smallest_partition(known):
    (region,) = key_regions("lamp-000001", known, TABLE)
    (key,) = (entry for entry in decode(region.data) if entry.type == PRIVATE_KEY)
    # PEM has 65 characters for 48 bytes, and two lines around them
    largest = [b"-" * (2 * 28 + 65 * (size // 48 + 1)) for size in (trust.MAX_BYTES // trust.MAX_ANCHORS,) * 4]
    encode((*numbered(CA_CERTIFICATE, largest), Entry(1, b"-" * (56 + 65 * (768 // 48 + 1))), key), SIZE)


@pytest.mark.parametrize(
    ("data", "whose"),
    [
        (b"\xff" * SIZE, None),
        (encode((Entry(3, b"ciphertext of a module that was delivered with it"),)), "?"),
        (encode((Entry(1, b"-----BEGIN CERTIFICATE-----\nno"),)), "?"),
        (encode((Entry(1, b"\x30\x03"),)), "?"),
        (encode((Entry(2, b"key"),))[:60], "?"),
    ],
)
def test_what_is_not_empty_and_has_no_name_is_somebodys(data, whose):
    assert holder(data) == whose
