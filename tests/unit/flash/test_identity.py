import pytest

from fleetmint.flash.identity import find_identity, has_enrolled, identity_of, keeps_nvs
from fleetmint.flash.table import stock
from fleetmint.nvs import keys
from fleetmint.nvs.encode import encode

TABLE = stock("4MiB")
NVS = TABLE.find("nvs")
FLASH_SIZE = 0x400000
BURNED = {keys.DEVICE_ID: b"lamp-000001", keys.TOKEN: b"00" * 16, keys.WIFI_PSK: b"secret", keys.CLOCK_FLOOR: 1}


def nvs(values, namespace=keys.NAMESPACE):
    return encode({namespace: values}, NVS.size)


def identity(values):
    return identity_of(nvs(values), NVS.offset)


def flash(*regions):
    """Return read(offset, size) of a flash that holds `regions`, pairs of offset and data."""
    content = bytearray(b"\xff" * FLASH_SIZE)
    for offset, data in regions:
        content[offset : offset + len(data)] = data
    return lambda offset, size: bytes(content[offset : offset + size])


def test_the_identity_is_the_device_id_of_our_namespace():
    assert identity(BURNED).device_id == "lamp-000001"
    assert identity_of(nvs(BURNED, namespace="other"), NVS.offset) is None
    assert identity({keys.TOKEN: b"x"}) is None
    assert identity({keys.DEVICE_ID: 7}) is None


def test_an_identity_shows_no_secret_when_printed():
    assert "secret" not in repr(identity(BURNED))


def test_a_device_id_that_is_no_text_can_still_be_shown():
    assert identity({keys.DEVICE_ID: b"\xff\xfe"}).device_id == "\\xff\\xfe"


def test_a_damaged_nvs_still_tells_whose_it_is():
    image = bytearray(nvs(BURNED))
    image[64 + 6 * 32] ^= 1
    assert identity_of(bytes(image), NVS.offset).device_id == "lamp-000001"


def test_the_boards_own_table_leads_to_its_identity():
    read = flash((NVS.offset, nvs(BURNED)))
    assert find_identity(read, TABLE.to_bytes(), [], FLASH_SIZE).device_id == "lamp-000001"


def test_an_identity_is_found_without_a_table_where_the_burn_puts_it():
    read = flash((NVS.offset, nvs(BURNED)))
    assert find_identity(read, b"\xff" * 0xC00, [], FLASH_SIZE) is None
    assert find_identity(read, b"\xff" * 0xC00, [(NVS.offset, NVS.size)], FLASH_SIZE).device_id == "lamp-000001"


def test_an_identity_that_a_cut_off_burn_left_behind_is_found_beside_the_old_table():
    read = flash((0x190000, nvs(BURNED)))
    assert find_identity(read, TABLE.to_bytes(), [(0x190000, NVS.size)], FLASH_SIZE).offset == 0x190000


def test_an_empty_board_is_nobody():
    assert find_identity(flash(), TABLE.to_bytes(), [(NVS.offset, NVS.size)], FLASH_SIZE) is None


def test_a_table_that_points_behind_the_flash_leads_nowhere():
    assert find_identity(flash(), TABLE.to_bytes(), [], 0x9000) is None


@pytest.mark.parametrize(
    ("found", "stays"),
    [
        pytest.param(BURNED, True, id="as it was burned"),
        pytest.param({**BURNED, keys.CLOCK_FLOOR: 99}, True, id="knows the time better"),
        pytest.param({**BURNED, keys.WIFI_PSK: b"old"}, False, id="other Wi-Fi, not enrolled yet"),
        pytest.param({keys.DEVICE_ID: b"lamp-000001"}, False, id="incomplete"),
        pytest.param({**BURNED, keys.WIFI_PSK: b"old", keys.KEYS[0]: b"k"}, True, id="has made its key"),
        pytest.param({**BURNED, keys.TOKEN: b"", keys.CERTIFICATES[1]: b"c"}, True, id="has enrolled"),
    ],
)
def test_the_nvs_of_the_same_device_stays_when_nothing_is_to_be_won_or_a_key_to_be_lost(found, stays):
    assert keeps_nvs(identity(found), identity(BURNED)) is stays


def test_a_key_that_the_factory_made_is_not_the_devices_own():
    burned = {**BURNED, keys.KEYS[0]: b"k", keys.CERTIFICATES[0]: b"c", keys.SLOT: 0}
    assert not has_enrolled(identity(burned), identity(burned))
    renewed = {**burned, keys.KEYS[1]: b"k1", keys.CERTIFICATES[1]: b"c1", keys.SLOT: 1}
    assert has_enrolled(identity(renewed), identity(burned))


def test_an_nvs_at_another_place_cannot_stay():
    elsewhere = identity_of(nvs(BURNED), 0x10000)
    assert not keeps_nvs(elsewhere, identity(BURNED))
