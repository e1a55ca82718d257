"""PEM as people have it in their files."""

import base64
import codecs
import contextlib
import json
import time

import pytest

from fleetmint.errors import StateError
from fleetmint.x509 import keys, pem
from tests.support import handmade

DER = handmade.certificate(keys.new_key(), handmade.name(12, b"lamp"))
# slash, plus and equals sign are what escapes and quotes could take for something of theirs
TEXT = handmade.pem("CERTIFICATE", DER)
LINES = TEXT.splitlines()
KEY = handmade.pem("EC PRIVATE KEY", keys.device_der(keys.new_key()))
NUMBERS = [f"0x{octet:02x}" for octet in DER]

PLAIN = {
    "as it is": TEXT,
    "with CR LF": TEXT.replace("\n", "\r\n"),
    "of an old Mac": TEXT.replace("\n", "\r"),
    "behind what openssl x509 -text says": f"Certificate:\n    Data:\n        Version: 3 (0x2)\n{TEXT}",
    "with text around it": f"for Bob:\n\n{TEXT}\nregards\n",
    "in one line": f"{LINES[0]}{''.join(LINES[1:-1])}{LINES[-1]}",
    "in a block of YAML": "ca: |\n" + "".join(f"  {line}\n" for line in LINES),
    "in a raw string of C++": f'const char* ca = R"EOF(\n{TEXT})EOF";\n',
    "in OpenVPN's own file": f"<ca>\n{TEXT}</ca>\n",
}
PROGRAMS = {
    "C, a literal for each line": (
        "C source", "static const char ca[] =\n" + "\n".join(f'  "{line}\\n"' for line in LINES) + ";\n"),
    "C, in one line": ("C source", 'const char ca[] PROGMEM = "' + "".join(f"{line}\\n" for line in LINES) + '";'),
    "C, a #define of literals": ("C source", "#define CA \\\n" + " \\\n".join(f'"{line}\\n"' for line in LINES) + "\n"),
    "C, one literal over lines": ("C source", '#define CA "' + "\\n\\\n".join(LINES) + '"\n'),
    "C, with CR LF": ("C source", 'const char *ca = "' + '\\r\\n"\r\n    "'.join(LINES) + '";\r\n'),
    "JSON": ("JSON", json.dumps({"ca": TEXT})),
    "JSON with escaped slashes and equals signs": (
        "JSON", json.dumps({"ca": TEXT}).replace("/", "\\/").replace("=", "\\u003d").replace("+", "\\u002b")),
    "JSON in JSON": ("JSON", json.dumps({"inner": json.dumps({"ca": TEXT})})),
    "JSON, a list of lines": ("JSON", json.dumps({"ca": LINES}, indent=1)),
    "Python": ("source code", "CA = (\n" + "\n".join(f"    '{line}\\n'" for line in LINES) + "\n)\n"),
    "JavaScript": ("source code", "const ca = " + " +\n".join(f"'{line}\\n'" for line in LINES) + ";\n"),
    "a quoted text of YAML": ("configuration file", 'ca: "' + TEXT.replace("\n", "\\n") + '"\n'),
}  # fmt: skip


def only(reading):
    (block,) = reading.blocks
    return block


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_a_block_is_found_whatever_is_around_it(text):
    reading = pem.read(text.encode(), "it")
    assert only(reading) == pem.Block("CERTIFICATE", DER)
    assert reading.form is None


@pytest.mark.parametrize(("inside", "text"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_block_inside_of_a_program_is_taken_out_and_said_to_be_there(inside, text):
    reading = pem.read(text.encode(), "it")
    assert only(reading) == pem.Block("CERTIFICATE", DER)
    assert reading.form.startswith("PEM inside of")
    assert inside in reading.form


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_as_windows_saves_it_is_read(encoding):
    reading = pem.read(TEXT.encode(encoding), "it")
    assert only(reading).data == DER
    assert reading.form == "PEM in UTF-16"


def test_a_byte_order_mark_is_told():
    reading = pem.read(codecs.BOM_UTF8 + TEXT.encode(), "it")
    assert (only(reading).data, reading.form) == (DER, "PEM behind a byte order mark")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (base64.encodebytes(DER).decode(), "DER as base64 without a label"),
        (base64.encodebytes(TEXT.encode()).decode(), "PEM inside of base64"),
        (DER.hex(), "DER as hex digits"),
        (DER.hex(":").upper(), "DER as hex digits"),
        (
            f"unsigned char ca[] = {{\n  {', '.join(NUMBERS)}\n}};\nunsigned int n = 375;\n",
            "DER as numbers in C source",
        ),
        (f"char ca[] = {{{', '.join(hex(octet) for octet in TEXT.encode())}}};", "DER as numbers in C source"),
    ],
)
def test_der_and_pem_in_other_writings_are_read(text, form):
    reading = pem.read(text.encode(), "it")
    assert only(reading) == pem.Block("CERTIFICATE", DER)
    assert reading.form.endswith(form)


def test_several_blocks_keep_their_order():
    for text in (TEXT + KEY, json.dumps({"certificate": TEXT, "key": KEY})):
        assert [block.label for block in pem.read(text.encode(), "it").blocks] == ["CERTIFICATE", "EC PRIVATE KEY"]


def test_headers_of_an_encrypted_key_are_kept(openssl):
    made = openssl("ec", "-aes128", "-passout", "pass:geheim", data=KEY.encode()).stdout
    block = only(pem.read(made, "it"))
    assert block.headers[0] == "Proc-Type: 4,ENCRYPTED"
    assert len(block.data) % 16 == 0  # whole blocks of AES, and nothing of the headers


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n".join(LINES[:-1]), "is cut off: it has no line -----END CERTIFICATE-----"),
        (TEXT[:150], "is cut off"),
        (TEXT + KEY[:80], "the block EC PRIVATE KEY in it is cut off"),
        (TEXT.replace("MII", "M*I"), "the certificate in it is damaged: it is not base64"),
        (json.dumps({"ca": TEXT.replace("MII", "M*I")}), "the certificate in it is damaged"),
        (TEXT.replace("-----", "\u2014\u2013"), "the dashes in it are not those of PEM"),
    ],
)
def test_damage_is_told_as_what_it_is(text, problem):
    with pytest.raises(StateError) as error:
        pem.read(text.encode(), "it")
    assert problem in str(error.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"hello world, this is no base64 at all", bytes(4096), DER, b"A" * 64, b"\xff" * 64,
     b"\xe9" + TEXT.encode() + bytes(64)],
)  # fmt: skip
def test_anything_else_has_no_block(data):
    assert pem.read(data, "it") == pem.Reading()


@pytest.mark.parametrize("data", [b"-----BEGIN X-----" * 20_000, b"A" * 4_000_000, b'"' * 1_000_000, b" " * 1_000_000])
def test_no_file_takes_for_ever(data):
    begun = time.process_time()
    with contextlib.suppress(StateError):
        assert pem.read(data, "it") == pem.Reading()
    assert time.process_time() - begun < 3
