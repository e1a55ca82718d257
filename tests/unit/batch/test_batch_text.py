"""The text of a batch file is what its maker wrote: taken as it is, or refused with the line."""

import csv
import io
import json
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetmint.batch.spec import BatchRefusedError, batch_name, read_batch
from fleetmint.nvs.values import Value

ONE = "devices: [{count: 1}]\n"
SEEN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\ufeff\ufffe\uffff"))


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    directory = tmp_path_factory.mktemp("batches")

    def from_text(text, name="spring.yml"):
        path = directory / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_batch(path)

    return from_text


def value_of(batch):
    found = {extra.value for extra in (*batch.values, *batch.units[0].values)}
    assert len(found) == 1
    return found.pop()


def with_value(written):
    return f"prefix: lamp\nvalues:\n  - {{namespace: app, key: k, type: string, value: {written}}}\n{ONE}"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=SEEN)
def test_what_is_written_in_quotes_in_yaml_json_or_csv_is_what_the_nvs_holds(read, text):
    expected = Value("string", text.encode())
    row = {"namespace": "app", "key": "k", "type": "string", "value": text}
    document = {"prefix": "lamp", "values": [row], "devices": [{"count": 1}]}
    assert value_of(read(json.dumps(document), "spring.json")) == expected
    assert value_of(read(json.dumps(document, ensure_ascii=False), "spring.json")) == expected
    assert value_of(read(yaml.safe_dump(document))) == expected
    for style in ('"', "'"):
        quoted = yaml.safe_dump(text, default_style=style, allow_unicode=True, width=10**6).removesuffix("\n...\n")
        assert value_of(read(with_value(quoted.strip("\n")))) == expected
    if text:  # an empty cell says nothing
        made = io.StringIO()
        csv.writer(made, quoting=csv.QUOTE_ALL).writerows(
            [["serial", "prefix", "value:app:k:string"], ["17", "lamp", text]]
        )
        assert value_of(read(made.getvalue(), "spring.csv")) == expected


@pytest.mark.parametrize(
    "written", ["0612345670", "0x1f", "1_000", "1.50", "yes", "off", "12:30:45", "2018-01-01", "1e3", ".inf", "00"]
)
def test_what_yaml_would_take_for_a_number_a_time_or_an_answer_stays_what_is_written(read, written):
    assert value_of(read(with_value(written))).content == written.encode()
    batch = read(f"prefix: lamp\nproduct: {written}\nhardware: {written}\n" + ONE)
    assert (batch.product, batch.hardware) == (written, written)


@pytest.mark.parametrize("name", ["0144", "0x1f", "yes", "2018-01-01", "1e3", "123", '"100"', "'off'"])
def test_the_name_of_a_batch_is_read_in_one_way(read, tmp_path, name):
    text = f"batch: {name}\nprefix: lamp\n{ONE}"
    path = tmp_path / "other.yml"
    path.write_text(text)
    assert read(text).name == batch_name(path) == name.strip("\"'")


def test_a_batch_without_a_name_is_called_like_its_file(read, tmp_path):
    for file, text in (("0144.yml", "prefix: lamp\n" + ONE), ("0144.CSV", "id\nlamp-1\n"), ("yes.yaml", ONE)):
        (tmp_path / file).write_text(text)
        assert batch_name(tmp_path / file) == file.partition(".")[0]
    for text in ("batch: ''\n", "batch:\n", "batch: null\n", "batch: !x a\n", 'batch: "abc\\n"\n', "batch: [a]\n"):
        with pytest.raises(BatchRefusedError, match=r"spring\.yml, line 1: .*batch|''|tags"):
            read(text + "prefix: lamp\n" + ONE)


@pytest.mark.parametrize(
    "tag", ["!vault", "!secret", "!env_var", "!unsafe", "!!binary", "!!str", "!!int", "!", "!<tag:yaml.org,2002:str>"]
)
def test_a_tag_is_refused_with_its_line(read, tag):
    for text in (with_value(f"{tag} eA=="), f"prefix: lamp\nchip: esp32\nproduct: {tag} x\n{ONE}"):
        with pytest.raises(BatchRefusedError, match=r"spring\.yml, line 3: tags such as .* in a batch file"):
            read(text)
    for text in (f"\n\n{tag} prefix: lamp\n" + ONE, f"prefix: lamp\ndevices:\n  - {tag}\n    count: 1\n"):
        with pytest.raises(BatchRefusedError, match=r"line 3: tags"):
            read(text)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("wifi:", "wifi is empty: write its value, or leave it out"),
        ("gateway: ~", "gateway is empty: put ~ in quotes if it is meant"),
        ("product: null", "product is empty: put null in quotes"),
        ("values: [{namespace: app, key: k, type: string, value: }]", "value is empty"),
        ("product: |\n  Lamp", "product holds a line feed"),
        ('product: "a\\tb"', "product holds a tab"),
        ('product: "a\\x1bb"', r"product holds the character U\+001B"),
        ('product: "a\\u202eb"', r"product holds the character U\+202E"),
        ('product: "a\\ufeffb"', r"product holds the character U\+FEFF"),
        ('product: "a\\ud83db"', "product holds half a character"),
        ('values: [{namespace: app, key: k, type: string, value: "\\udc00"}]', "value holds half a character"),
        ('product: "\\UFFFFFFFF"', r"beyond U\+10FFFF"),
        ("product: a\x85b", r"U\+0085 is an end of a line to YAML"),
        ('product: "a\u2028b"', r"U\+2028 is an end of a line to YAML"),
        ("product: a\x7fb", r"U\+007F does not belong"),
    ],
)
def test_what_nobody_sees_or_nobody_wrote_is_refused_in_yaml(read, field, reason):
    with pytest.raises(BatchRefusedError, match=rf"spring\.yml(, line 2)?: .*{reason}"):
        read(f"prefix: lamp\n{field}\n{ONE}")


def test_both_halves_of_a_character_are_one(read):
    assert value_of(read(with_value('"\\ud83d\\udca1"'))).content == "\U0001f4a1".encode()
    assert read('{"prefix": "lamp", "product": "\\ud83d\\udca1", "devices": [{"count": 1}]}').product == "\U0001f4a1"


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_letters_of_another_encoding_are_found_by_their_line(read, end):
    data = end.join((b"serial,prefix,product", b"17,lamp,Lamp", b"18,lamp,L\x8amp"))
    with pytest.raises(BatchRefusedError, match=r"spring\.csv, line 3: it has to be text in UTF-8"):
        read(data, "spring.csv")


def test_a_spreadsheet_is_called_so(read):
    with pytest.raises(BatchRefusedError, match=r"line \d: .* and this is a spreadsheet .*: save its one sheet as CSV"):
        read(b"PK\x03\x04\x14\x00\x06\x00\xff", "spring.csv")


def test_utf_16_is_called_so(read):
    with pytest.raises(BatchRefusedError, match=r"line 1: .* UTF-8 and this is UTF-16"):
        read(("prefix: lamp\n" + ONE).encode("utf-16"))


@pytest.mark.parametrize(
    "text",
    [
        "serial;prefix;product;\n17;lamp;Lamp;\n18;lamp;Lamp;\n",
        "serial,prefix,product\n17,lamp,Lamp,\n18,lamp,Lamp,,,\n",
        "serial,prefix,product,,\n17,lamp,Lamp,,\n18,lamp,Lamp,,\n",
        "serial,,prefix,,product\n17,,lamp,,Lamp\n18,,lamp,,Lamp\n",
        "sep=;\nserial;prefix;product\n17;lamp;Lamp\n18;lamp;Lamp\n",
        '"sep=|"\r\nserial|prefix|product\r\n17|lamp|Lamp\r\n18|lamp|Lamp\r\n',
        "\ufeffSEP=,\r\nserial,prefix,product\r\n17,lamp,Lamp\r\n18,lamp,Lamp\r\n",
        "serial\tprefix\tproduct\n17\tlamp\tLamp\n18\tlamp\tLamp\n",
        "serial,prefix,product\r17,lamp,Lamp\r18,lamp,Lamp\r",
        "serial,prefix,product\r\n17,lamp,Lamp\r\n18,lamp,Lamp",
        "\n,,\nserial, prefix, product\n\n17 , lamp, Lamp \n ,,\n18,\tlamp,Lamp\n",
        'serial , "prefix" ,product\n"17", "lamp" , "Lamp"\n18,lamp,Lamp\n,,,\n',
    ],
)
def test_csv_is_taken_as_the_programs_of_this_world_write_it(read, text):
    batch = read(text, "summer.csv")
    assert ([unit.device for unit in batch.units], batch.product) == (["lamp-000017", "lamp-000018"], "Lamp")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("serial,prefix\n17,lamp,x\n", 2, "the row has 3 cells, and there are 2 columns"),
        ("serial,,prefix\n17,,lamp\n18,x,lamp\n", 3, "in a column that has no name"),
        ("sep=;\nserial;prefix\n17\n", 3, "the row has 1 cells"),
        ("sep=;\nserial;prefix;colour\n17;lamp;red\n", 2, "there is no column 'colour'"),
        ("sep=;\rserial;prefix;colour\r17;lamp;red\r", 2, "there is no column 'colour'"),
        ("\n\nserial\n17\n", 3, "the batch lacks a prefix"),
        ('serial,prefix\n"1"7,lamp\n', 2, "a quotation mark that begins a cell"),
        ('serial,prefix,value:a:k:string\n17,lamp,"a\nb"\n18,lamp,"c\n', 4, "a quotation mark that begins a cell"),
        ("serial,prefix,value:a:k:string\n17,lamp, x\n", 2, "value:a:k:string has blanks around it: put it in quotes"),
        ("serial,prefix,value:a:k:blob\n17,lamp,x \n", 2, "value:a:k:blob has blanks around it"),
        ('serial,prefix\n"17 ",lamp\n', 2, "'lamp-17 ' is no device id"),
        ('serial,prefix,product\n17,lamp,"Lamp\nB"\n', 2, "product holds a line feed"),
        ('serial,prefix\r17,lamp\r18,"la\rmp"\r', 3, "prefix is"),
    ],
)
def test_csv_that_could_mean_something_else_is_refused_with_its_line(read, text, line, reason):
    with pytest.raises(BatchRefusedError, match=rf"spring\.csv, line {line}: .*{reason}"):
        read(text, "spring.csv")


def test_what_is_quoted_in_csv_is_kept_and_numbers_need_no_quotes(read):
    head = "serial,prefix,product,value:a:k:"
    batch = read(f'{head}string\n17,lamp,"  Lamp "," a ""b""\r\n, c  "\n', "summer.csv")
    assert (value_of(batch).content, batch.product) == (b' a "b"\r\n, c  ', "  Lamp ")
    assert value_of(read(f"{head}i8\n17,lamp,Lamp, -3 \n", "summer.csv")).content == -3
    assert value_of(read(f'{head}string\n17,lamp,Lamp," "\n', "summer.csv")).content == b" "
    assert read(f"{head}string\n17,lamp,Lamp,\n", "summer.csv").units[0].values == ()


@pytest.mark.parametrize("name", ["devices.txt", "devices.tsv", "devices.yml", "devices"])
@pytest.mark.parametrize(
    "text", ["serial,prefix\n17,lamp\n", '"id"\nlamp-1\n', "count\tprefix\n1\tlamp\n", "sep=;\nid\n"]
)
def test_csv_of_another_name_is_called_what_it_is(read, name, text):
    with pytest.raises(BatchRefusedError, match=rf"{name}, line 1: this looks like CSV, .* ends in \.csv"):
        read(text, name)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text(st.sampled_from(string.printable + "äЖ\u2028\ud83d")),
    name=st.sampled_from(["spring.yml", "spring.csv"]),
)
def test_no_text_ends_in_anything_but_a_batch_or_a_sentence(read, text, name):
    try:
        found = read(text.encode("utf-8", "surrogatepass"), name).name
    except BatchRefusedError as error:
        found = str(error)
    assert "spring" in found


def test_names_of_fields_and_columns_are_seen(read):
    for text in ('{"a\\u001b[1m": "x", "devices": [{"count": 1}]}', '{"\\ud83d": 1, "\\ud83d": 2}'):
        with pytest.raises(BatchRefusedError, match=r"line 1: '.*\\[xu].*' is no name of a field"):
            read(text)
    with pytest.raises(BatchRefusedError, match=r"line 1: 'ser\\x1bial' is no name of a column"):
        read("ser\x1bial,prefix\n1,lamp\n", "spring.csv")
    with pytest.raises(BatchRefusedError, match="namespace holds a tab"):
        read('prefix: lamp\nvalues: [{namespace: "a\\tb", key: k, type: u8, value: 1}]\n' + ONE)
