import pytest

from fleetmint.errors import NvsError
from fleetmint.nvs.layout import MAX_BLOB
from fleetmint.nvs.values import TYPES, WRITTEN_TYPES, Value, collect, parse


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("u8", "255", Value("u8", 255)),
        ("i8", "-128", Value("i8", -128)),
        ("u16", "0xFFFF", Value("u16", 65535)),
        ("i64", "-9223372036854775808", Value("i64", -(2**63))),
        ("string", " kept as it is ", Value("string", b" kept as it is ")),
        ("blob", "grün", Value("blob", "grün".encode())),
        ("blob", "", Value("blob", b"")),
        ("hex2bin", "DEad be ef", Value("blob", b"\xde\xad\xbe\xef")),
        ("base64", "3q2+7w==", Value("blob", b"\xde\xad\xbe\xef")),
    ],
)
def test_a_value_is_read_by_its_type(kind, text, value):
    assert parse(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("u8", "256", "does not fit into u8, which holds 0 to 255"),
        ("u8", "-1", "does not fit into u8"),
        ("i32", "2147483648", "which holds -2147483648 to 2147483647"),
        ("u16", "twelve", "no whole number, as u16 has to be"),
        ("u16", "1.0", "no whole number"),
        ("u16", "1_0", "no whole number"),
        ("u16", "017", "no whole number"),
        ("u16", "\u0663", "no whole number"),
        ("u16", "9" * 5000, "no whole number"),
        ("u8", "True", "no whole number"),
        ("string", "a\0b", "zero byte"),
        ("string", "x" * 4000, "at most 3999 bytes, not 4000"),
        ("string", "€" * 1334, "at most 3999 bytes, not 4002"),
        ("hex2bin", "abc", "pairs of hex digits"),
        ("hex2bin", "zz", "pairs of hex digits"),
        ("base64", "3q2+7w=", "no base64"),
        ("base64", "3q2*7w==", "no base64"),
        ("float", "1", "no type 'float' in NVS; choose one of u8, "),
    ],
)
def test_what_a_type_cannot_hold_is_refused(kind, text, message):
    with pytest.raises(NvsError, match=message):
        parse(kind, text)


def test_a_refusal_does_not_show_the_text():
    for kind in WRITTEN_TYPES:
        with pytest.raises(NvsError) as raised:
            parse(kind, "hunter2-\0" + "x" * MAX_BLOB)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("kind", TYPES)
def test_a_value_of_the_wrong_python_type_is_refused(kind):
    wrong = "text" if kind in ("string", "blob") else True
    with pytest.raises(NvsError, match=type(wrong).__name__):
        Value(kind, wrong)


def test_a_string_that_is_no_text_is_refused():
    with pytest.raises(NvsError, match="UTF-8 text"):
        Value("string", b"\xff")


def test_a_blob_beyond_nvs_is_refused():
    assert Value("blob", bytes(MAX_BLOB)).content
    with pytest.raises(NvsError, match=f"at most {MAX_BLOB} bytes"):
        Value("blob", bytes(MAX_BLOB + 1))


def test_no_repr_shows_a_value():
    assert repr(Value("u32", 123456)) == "Value(type='u32')"


def test_rows_are_collected_in_their_order():
    rows = [("b", "one", 1), ("a", "two", b"x"), ("b", "three", Value("u8", 3))]
    found = collect(rows)
    assert found == {"b": {"one": 1, "three": Value("u8", 3)}, "a": {"two": b"x"}}
    assert list(found) == ["b", "a"]


def test_a_key_that_comes_twice_is_refused():
    with pytest.raises(NvsError, match="n:k is there twice"):
        collect([("n", "k", 1), ("m", "k", 1), ("n", "k", 2)])


@pytest.mark.parametrize(("namespace", "key", "what"), [("", "k", "namespace"), ("n", "sixteen-letters!", "key")])
def test_a_name_outside_nvs_is_refused(namespace, key, what):
    with pytest.raises(NvsError, match=f"no {what} of NVS"):
        collect([(namespace, key, 1)])
