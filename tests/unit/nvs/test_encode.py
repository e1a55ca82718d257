import io

import pytest
from esp_idf_nvs_partition_gen import nvs_partition_gen as espressif
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetmint.errors import NvsError
from fleetmint.nvs import keys
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from fleetmint.nvs.layout import CHUNK_SIZE, ENTRIES_PER_PAGE, MAX_BLOB, MAX_NAMESPACES, PAGE_SIZE
from fleetmint.nvs.values import Value

NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=15)
NUMBERS = st.integers(-(2**31), 2**31 - 1)
RANGES = {f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)} | {
    f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)
}
TYPED_NUMBERS = st.sampled_from(sorted(RANGES)).flatmap(
    lambda kind: st.builds(Value, st.just(kind), st.integers(*RANGES[kind]))
)
# Espressif's generator takes at most 3,967 bytes and a zero, though its message says 4,000
STRINGS = st.builds(
    lambda size, end: Value("string", ("x" * size + end).encode()),
    st.integers(0, 100) | st.integers(3800, 3960),
    st.sampled_from(["", "ä", "€", "🔑"]),
)
# sizes around the borders of an entry and of a page, and some that span pages
SIZES = st.one_of(
    st.integers(0, 100),
    st.sampled_from([CHUNK_SIZE + delta for delta in (-33, -32, -31, -1, 0, 1, 31, 32, 33)]),
    st.integers(3900, 9000),
)
BLOBS = st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255))
VALUES = NUMBERS | BLOBS | TYPED_NUMBERS | STRINGS
ENTRIES = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=40), max_size=4)
KEYS = st.binary(min_size=64, max_size=64).filter(lambda data: data[:32] != data[32:]).map(NvsKeys)


def espressif_image(entries, size, keys=None):
    """Return what Espressif's generator makes of `entries`, None when they do not fit."""
    file = io.BytesIO()
    secret = {"is_encrypt": True, "key": keys.data} if keys else {}
    try:
        with espressif.nvs_open(file, size - PAGE_SIZE, espressif.Page.VERSION2, **secret) as nvs:
            for namespace, values in entries.items():
                nvs.write_namespace(namespace)
                for key, value in values.items():
                    typed = (
                        value if isinstance(value, Value) else Value("i32" if isinstance(value, int) else "blob", value)
                    )
                    nvs.write_entry(key, typed.content, "binary" if typed.type == "blob" else typed.type)
    except espressif.InsufficientSizeError:
        return None
    return file.getvalue()


def our_image(entries, size, keys=None):
    try:
        return encode(entries, size, keys)
    except NvsError:
        return None


@given(ENTRIES, st.integers(3, 12))
@settings(max_examples=150, deadline=None)
def test_an_image_is_byte_for_byte_that_of_espressifs_generator(entries, pages):
    size = pages * PAGE_SIZE
    assert our_image(entries, size) == espressif_image(entries, size)


@given(ENTRIES, st.integers(3, 6), KEYS)
@settings(max_examples=25, deadline=None)
def test_an_encrypted_image_is_that_of_espressifs_generator_with_the_same_keys(entries, pages, keys):
    size = pages * PAGE_SIZE
    assert our_image(entries, size, keys) == espressif_image(entries, size, keys)


@pytest.mark.parametrize("filled", range(ENTRIES_PER_PAGE - 4, ENTRIES_PER_PAGE + 3))
@pytest.mark.parametrize("size", [0, 30, 31, 32, 62, 63, 64, 3966, 3967])
def test_a_string_at_the_end_of_a_page_lies_where_espressif_puts_it(filled, size):
    # `size` is without the final zero, the namespace is an entry too
    entries = {"n": {f"k{i}": i for i in range(filled - 1)} | {"text": Value("string", b"x" * size)}}
    assert encode(entries, 8 * PAGE_SIZE) == espressif_image(entries, 8 * PAGE_SIZE)


@pytest.mark.parametrize("size", [3968, 3999])
def test_a_string_for_which_espressifs_generator_has_no_page_fills_a_page_of_its_own(size):
    entries = {"n": {"a": 1, "text": Value("string", b"x" * size), "b": 2}}
    with pytest.raises(espressif.PageFullError):
        espressif_image(entries, 4 * PAGE_SIZE)
    assert decode(encode(entries, 4 * PAGE_SIZE)) == {"n": {"a": 1, "text": b"x" * size, "b": 2}}


@pytest.mark.parametrize("filled", range(ENTRIES_PER_PAGE - 4, ENTRIES_PER_PAGE + 3))
@pytest.mark.parametrize("size", [0, 1, 32, 33, 64, CHUNK_SIZE, CHUNK_SIZE + 1])
def test_a_blob_at_the_end_of_a_page_is_split_as_espressif_splits_it(filled, size):
    # the namespace is an entry too
    entries = {"n": {f"k{i}": i for i in range(filled - 1)} | {"blob": b"x" * size}}
    assert encode(entries, 8 * PAGE_SIZE) == espressif_image(entries, 8 * PAGE_SIZE)


def test_an_image_fills_the_partition_and_leaves_the_last_page_erased():
    image = encode({"n": {"k": b"x" * 2 * CHUNK_SIZE}}, 4 * PAGE_SIZE)
    assert len(image) == 4 * PAGE_SIZE
    assert image[-PAGE_SIZE:] == b"\xff" * PAGE_SIZE
    assert image[-2 * PAGE_SIZE : -PAGE_SIZE] != b"\xff" * PAGE_SIZE


def test_values_that_would_need_the_last_page_are_refused():
    entries = {"n": {f"k{i}": i for i in range(2 * ENTRIES_PER_PAGE - 1)}}
    assert len(encode(entries, 3 * PAGE_SIZE)) == 3 * PAGE_SIZE
    entries["n"]["more"] = 1
    with pytest.raises(NvsError, match="do not fit into an NVS partition of 0x3000 bytes"):
        encode(entries, 3 * PAGE_SIZE)


@pytest.mark.parametrize("size", [0, PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE + 1, -3 * PAGE_SIZE])
def test_a_partition_that_nvs_cannot_use_is_refused(size):
    with pytest.raises(NvsError, match="at least 3 pages of 4096 bytes"):
        encode({}, size)


@pytest.mark.parametrize("name", ["", "sixteen-letters!", "umlaut-ä", "two words", "tab\t", "nul\0", "line\n"])
def test_a_name_outside_nvs_is_refused(name):
    with pytest.raises(NvsError, match="is no key of NVS"):
        encode({"n": {name: 1}}, 3 * PAGE_SIZE)
    with pytest.raises(NvsError, match="is no namespace of NVS"):
        encode({name: {"k": 1}}, 3 * PAGE_SIZE)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1])
def test_a_number_beyond_32_bits_is_refused(number):
    with pytest.raises(NvsError, match="the number of n:k does not fit into 32 bits"):
        encode({"n": {"k": number}}, 3 * PAGE_SIZE)


@pytest.mark.parametrize("value", ["text", None, 1.5, bytearray(b"x")])
def test_a_value_of_another_type_is_refused(value):
    with pytest.raises(NvsError, match="the value of n:k is a "):
        encode({"n": {"k": value}}, 3 * PAGE_SIZE)


def test_a_blob_beyond_what_nvs_can_number_is_refused():
    with pytest.raises(NvsError, match=f"has {MAX_BLOB + 1} bytes; NVS takes at most {MAX_BLOB}"):
        encode({"n": {"k": bytes(MAX_BLOB + 1)}}, 200 * PAGE_SIZE)
    # the largest one needs whole pages, and here the first page has an entry already
    with pytest.raises(NvsError, match="more than 127 chunks"):
        encode({"n": {"k": bytes(MAX_BLOB)}}, 200 * PAGE_SIZE)


def test_more_namespaces_than_nvs_can_number_are_refused():
    entries = {f"n{i}": {} for i in range(MAX_NAMESPACES)}
    assert encode(entries, 8 * PAGE_SIZE) == espressif_image(entries, 8 * PAGE_SIZE)
    with pytest.raises(NvsError, match="at most 254 namespaces, not 255"):
        encode(entries | {"more": {}}, 8 * PAGE_SIZE)


def test_a_message_never_shows_a_value():
    with pytest.raises(NvsError) as raised:
        encode({"n": {"wifi_psk": b"correct horse" * 2000}}, 3 * PAGE_SIZE)
    assert "horse" not in str(raised.value)


def test_every_name_of_the_firmware_is_one_that_nvs_takes():
    listed = [value for name, value in vars(keys).items() if name.isupper()]
    flat = [name for value in listed for name in ([value] if isinstance(value, str) else value)]
    assert len(set(flat)) == len(flat) > 10
    assert encode({name: {name: 1} for name in flat}, 4 * PAGE_SIZE)
