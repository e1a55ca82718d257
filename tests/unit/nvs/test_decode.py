import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetmint.errors import NvsError
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode, decode_typed
from fleetmint.nvs.encode import encode
from fleetmint.nvs.layout import (
    BITMAP_OFFSET,
    ENTRY_SIZE,
    FIRST_ENTRY_OFFSET,
    NO_CHUNK,
    PAGE_SIZE,
    Entry,
    EntryState,
    PageState,
    Type,
    crc32,
    page_header,
)
from fleetmint.nvs.values import Value

SIZE = 4 * PAGE_SIZE
EMPTY_PAGE = b"\xff" * PAGE_SIZE


def entry(kind, name, value, *, namespace=1, chunk=NO_CHUNK, data=b""):
    """Return an entry and its data as a device writes them."""
    padded = data.ljust(-(-len(data) // ENTRY_SIZE) * ENTRY_SIZE, b"\xff")
    return (
        Entry(namespace, kind, 1 + len(padded) // ENTRY_SIZE, chunk, name, value.ljust(8, b"\xff")).to_bytes() + padded
    )


def named(name, number=1):
    return entry(Type.U8, name, bytes([number]), namespace=0)


def number(name, value):
    return entry(Type.I32, name, struct.pack("<i", value))


def with_data(kind, name, data, chunk=NO_CHUNK):
    return entry(kind, name, struct.pack("<HHI", len(data), 0xFFFF, crc32(data)), chunk=chunk, data=data)


def blob_index(name, size, count, first=0):
    return entry(Type.BLOB_INDEX, name, struct.pack("<IBB", size, count, first))


def page(*entries, sequence=0, state=PageState.ACTIVE, erased=()):
    """Return a page with `entries`; `erased` are the numbers of entries that a device has given up since."""
    body = b"".join(entries)
    bitmap = (1 << 256) - 1
    for index in range(len(body) // ENTRY_SIZE):
        wanted = EntryState.ERASED if index in erased else EntryState.WRITTEN
        bitmap &= ~((~wanted & 3) << 2 * index)
    return (page_header(state, sequence) + bitmap.to_bytes(32, "little") + body).ljust(PAGE_SIZE, b"\xff")


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z]{1,15}\Z"),
        st.dictionaries(
            st.from_regex(r"\A[a-z]{1,15}\Z"),
            st.integers(-(2**31), 2**31 - 1) | st.binary(max_size=200) | st.integers(3900, 9000).map(bytes),
            min_size=1,
            max_size=10,
        ),
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None)
def test_what_was_encoded_comes_back(entries):
    assert decode(encode(entries, 60 * PAGE_SIZE)) == entries


@pytest.mark.parametrize("keys", [None, NvsKeys(bytes(range(64)))])
def test_types_come_back_plain_and_encrypted(keys):
    values = {
        "low": Value("i64", -(2**63)),
        "high": Value("u64", 2**64 - 1),
        "text": Value("string", "grün".encode()),
        "blob": Value("blob", b"\xff" * 5000),
        "empty": Value("string", b""),
    }
    image = encode({"n": values}, SIZE, keys)
    found = decode_typed(image, keys=keys)
    assert {key: Value(*pair) for key, pair in found["n"].items()} == values


def test_an_encrypted_image_tells_nothing_without_its_keys():
    image = encode({"n": {"wifi_psk": b"correct horse battery"}}, SIZE, NvsKeys.new())
    assert b"horse" not in image
    assert b"wifi_psk" not in image
    assert decode(image, skip_damaged=True) == {}
    with pytest.raises(NvsError, match="entry 0 of page 0 is wrong"):
        decode(image, keys=NvsKeys.new())


def test_an_erased_partition_is_empty():
    assert decode(b"\xff" * SIZE) == {}


def test_every_type_that_a_device_can_write_is_read():
    image = page(
        named(b"wifi"),
        entry(Type.U8, b"u8", b"\xfe"),
        entry(Type.I8, b"i8", b"\xfe"),
        entry(Type.U16, b"u16", b"\xfe\xff"),
        entry(Type.I16, b"i16", b"\xfe\xff"),
        entry(Type.U32, b"u32", b"\xfe\xff\xff\xff"),
        entry(Type.I32, b"i32", b"\xfe\xff\xff\xff"),
        entry(Type.U64, b"u64", b"\xfe" + b"\xff" * 7),
        entry(Type.I64, b"i64", b"\xfe" + b"\xff" * 7),
        with_data(Type.STRING, b"text", b"home\0"),
        with_data(Type.BLOB, b"old", b"blob of version 1"),
    )
    assert decode(image) == {
        "wifi": {
            "u8": 254,
            "i8": -2,
            "u16": 65534,
            "i16": -2,
            "u32": 2**32 - 2,
            "i32": -2,
            "u64": 2**64 - 2,
            "i64": -2,
            "text": b"home",
            "old": b"blob of version 1",
        }
    }


def test_an_erased_entry_does_not_count():
    image = page(named(b"n"), number(b"a", 1), number(b"b", 2), number(b"a", 3), erased=[1])
    assert decode(image) == {"n": {"b": 2, "a": 3}}


def test_of_two_versions_the_one_written_last_counts():
    # a power cut came between writing the new one and erasing the old one
    assert decode(page(named(b"n"), number(b"a", 1), number(b"a", 2))) == {"n": {"a": 2}}


def test_pages_count_in_the_order_of_their_sequence_numbers():
    newer = page(number(b"a", 2), sequence=7)
    older = page(named(b"n"), number(b"a", 1), number(b"b", 1), sequence=6, state=PageState.FULL)
    assert decode(newer + EMPTY_PAGE + older) == {"n": {"a": 2, "b": 1}}


def test_a_page_that_is_being_freed_still_counts():
    freeing = page(named(b"n"), number(b"a", 1), number(b"b", 2), state=PageState.FREEING)
    assert decode(freeing + page(number(b"a", 1), sequence=1)) == {"n": {"a": 1, "b": 2}}


def test_an_updated_blob_is_the_one_that_its_last_index_names():
    old = [with_data(Type.BLOB_DATA, b"key", b"old", chunk=0), blob_index(b"key", 3, 1)]
    new = [with_data(Type.BLOB_DATA, b"key", b"new!", chunk=128), blob_index(b"key", 4, 1, first=128)]
    assert decode(page(named(b"n"), *old, *new)) == {"n": {"key": b"new!"}}
    # the new data without its index: the old blob is still the one
    assert decode(page(named(b"n"), *old, new[0])) == {"n": {"key": b"old"}}
    # and back to chunk 0, with the old data erased
    again = [with_data(Type.BLOB_DATA, b"key", b"newest", chunk=0), blob_index(b"key", 6, 1)]
    image = page(named(b"n"), *old, *new, *again, erased=[1, 2, 3, 4, 5, 6])
    assert decode(image) == {"n": {"key": b"newest"}}


def test_a_blob_over_two_pages_is_put_together():
    first = page(named(b"n"), with_data(Type.BLOB_DATA, b"key", b"a" * 3900, chunk=0), state=PageState.FULL)
    second = page(with_data(Type.BLOB_DATA, b"key", b"b" * 10, chunk=1), blob_index(b"key", 3910, 2), sequence=1)
    assert decode(second + first) == {"n": {"key": b"a" * 3900 + b"b" * 10}}


def test_an_entry_whose_write_was_cut_off_does_not_count():
    image = bytearray(page(named(b"n"), number(b"a", 1)))
    half = FIRST_ENTRY_OFFSET + 2 * ENTRY_SIZE
    image[half : half + 20] = number(b"a", 2)[:20]
    assert decode(bytes(image)) == {"n": {"a": 1}}


def damaged(image, position):
    spoiled = bytearray(image)
    spoiled[position] ^= 0x10
    return bytes(spoiled)


GOOD = page(
    named(b"n"), number(b"a", 1), with_data(Type.BLOB_DATA, b"key", b"secret", chunk=0), blob_index(b"key", 6, 1)
)


@pytest.mark.parametrize(
    ("position", "message", "left"),
    [
        (5, "the header of page 0 is wrong", {}),
        (FIRST_ENTRY_OFFSET + ENTRY_SIZE + 24, "entry 1 of page 0 is wrong", {"n": {"key": b"secret"}}),
        (FIRST_ENTRY_OFFSET + 3 * ENTRY_SIZE, "the data of entry 2 of page 0 is wrong", {"n": {"a": 1}}),
        (FIRST_ENTRY_OFFSET + 2 * ENTRY_SIZE, "entry 4 of page 0 is incomplete", {"n": {"a": 1}}),
    ],
)
def test_damage_is_an_error_that_names_the_place_or_left_out_as_on_a_device(position, message, left):
    image = damaged(GOOD, position)
    with pytest.raises(NvsError, match=message) as raised:
        decode(image)
    assert "secret" not in str(raised.value)
    assert decode(image, skip_damaged=True) == left


def test_a_blob_of_another_size_than_its_index_says_is_damaged():
    image = page(named(b"n"), with_data(Type.BLOB_DATA, b"key", b"short", chunk=0), blob_index(b"key", 6, 1))
    with pytest.raises(NvsError, match="entry 3 of page 0 is incomplete"):
        decode(image)


def test_an_entry_that_claims_to_span_unwritten_ones_is_damaged():
    image = bytearray(page(named(b"n"), with_data(Type.STRING, b"text", b"x" * 40)))
    image[BITMAP_OFFSET] |= 0b11 << 6  # the last of the three entries is empty again
    with pytest.raises(NvsError, match="entry 1 of page 0 is wrong"):
        decode(bytes(image))


@given(st.integers(0, PAGE_SIZE - 1), st.binary(min_size=1, max_size=300))
@settings(max_examples=200, deadline=None)
def test_whatever_happened_to_a_page_reading_it_ends_in_values_or_in_our_error(position, noise):
    image = (GOOD[:position] + noise + GOOD[position + len(noise) :])[:PAGE_SIZE]
    assert decode(image, skip_damaged=True).keys() <= {"n"}
    with contextlib.suppress(NvsError):
        assert decode(image).keys() <= {"n"}


@pytest.mark.parametrize("byte", [0x00, 0xA5])
def test_content_that_is_no_nvs_holds_nothing_for_a_device(byte):
    assert decode(bytes([byte]) * SIZE, skip_damaged=True) == {}
    with pytest.raises(NvsError, match="page 3 is wrong"):
        decode(bytes([byte]) * SIZE)


@pytest.mark.parametrize("keys", [None, NvsKeys(bytes(range(64)))])
def test_a_partial_page_is_refused(keys):
    with pytest.raises(NvsError, match="pages of 4096 bytes"):
        decode(b"\xff" * 100, keys=keys)
