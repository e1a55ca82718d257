"""What a batch file may say, in YAML and in CSV, and what is refused with file, line and reason."""

from datetime import timedelta

import pytest

from fleetmint.batch.spec import BatchRefusedError, Site, read_batch
from fleetmint.nvs.values import Value

SITE = Site(["gateway", "second"], ["default", "warehouse"])
YAML = """\
batch: spring
prefix: lamp
chip: esp32c3
layout: 4MiB-ota
product: Lamp
hardware: B
gateway: second
wifi: warehouse
shelf_days: 400
approval: manual
token_binding: mac
first: 7
values:
  - {namespace: app, key: region, type: string, value: eu}
devices:
  - count: 2
  - serials: [17, 000018, a7]
    key_origin: factory
    wifi: default
    values: [{namespace: cal, key: offset, type: i16, value: -3}]
  - ids: [old-lamp]
"""
CSV = """\
serial,prefix,product,key_origin,wifi,value:cal:offset:i16
17,lamp,Lamp,factory,,-3
a7,lamp,,,warehouse,
"""
HEAD = "batch: first\nprefix: lamp\n"
ONE = "devices: [{count: 1}]\n"


@pytest.fixture
def read(tmp_path):
    def from_text(text, name="spring.yml", site=SITE):
        path = tmp_path / name
        path.write_text(text)
        return read_batch(path, site)

    return from_text


def test_ids_are_numbered_in_the_order_of_the_file(batch):
    assert [(unit.device, unit.key_origin) for unit in batch.units] == [
        ("lamp-000001", "device"),
        ("lamp-000002", "device"),
        ("lamp-000003", "factory"),
    ]


def test_every_field_of_a_yaml_file_is_read(read):
    batch = read(YAML)
    assert (batch.name, batch.chip, batch.layout, batch.product, batch.hardware) == (
        "spring", "esp32c3", "4MiB-ota", "Lamp", "B",
    )  # fmt: skip
    assert (batch.gateway, batch.wifi, batch.token_lifetime) == ("second", ("warehouse",), timedelta(days=400))
    assert (batch.approval, batch.token_binding) == ("manual", "mac")
    assert batch.values == (("app", "region", Value("string", b"eu")),)
    assert [(unit.device, unit.serial, unit.key_origin, unit.wifi) for unit in batch.units] == [
        ("lamp-000007", "000007", "device", None),
        ("lamp-000008", "000008", "device", None),
        ("lamp-000017", "000017", "factory", ("default",)),
        ("lamp-000018", "000018", "factory", ("default",)),
        ("lamp-a7", "a7", "factory", ("default",)),
        ("old-lamp", "old-lamp", "device", None),
    ]
    assert batch.units[2].values == (("cal", "offset", Value("i16", -3)),)
    assert read("prefix: lamp\n" + ONE).name == "spring"


@pytest.mark.parametrize(
    "text",
    [
        "prefix: lamp\ndevices: &a\n  - count: *a\n",
        "&a\nprefix: lamp\nbatch: *a\n" + ONE,
        "prefix: lamp\nvalues: " + "[{a: " * 9 + "1" + "}]" * 9,
        "prefix: " + "[" * 3000,
    ],
    ids=["a list in itself", "a mapping in itself", "deep", "endless"],
)
def test_what_is_nested_without_end_is_refused(read, text):
    with pytest.raises(BatchRefusedError, match="nested"):
        read(text)


def test_a_value_that_is_no_text_is_told(read):
    with pytest.raises(BatchRefusedError, match=r"line 4: value is text$"):
        read(HEAD + ONE + "values: [{namespace: app, key: k, type: string, value: {a: b}}]\n")


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_csv_file_has_a_device_in_each_row_and_is_the_batch_of_its_name(read, separator):
    batch = read("\ufeff" + CSV.replace(",", separator), "summer.csv")
    assert (batch.name, batch.product, batch.chip) == ("summer", "Lamp", "esp32")
    assert [(unit.device, unit.key_origin, unit.wifi) for unit in batch.units] == [
        ("lamp-000017", "factory", None),
        ("lamp-a7", "device", ("warehouse",)),
    ]
    assert [unit.values for unit in batch.units] == [(("cal", "offset", Value("i16", -3)),), ()]


def test_several_networks_stand_in_the_order_of_their_priority(read):
    batch = read(HEAD + "wifi: [warehouse, default]\ndevices:\n  - count: 1\n  - {count: 1, wifi: [default]}\n")
    assert batch.wifi == ("warehouse", "default")
    assert [unit.wifi for unit in batch.units] == [None, ("default",)]
    assert read(CSV.replace("warehouse", "warehouse | default"), "summer.csv").units[1].wifi == ("warehouse", "default")
    of_all = "prefix,wifi,count\nlamp,default|warehouse,2\n"
    assert {unit.wifi for unit in read(of_all, "all.csv").units} == {("default", "warehouse")}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (HEAD + "wifi: [default, guests]\n" + ONE, 3, "'guests' is no Wi-Fi profile of this site"),
        (HEAD + "wifi:\n  - default\n  - guests\n" + ONE, 5, "'guests' is no Wi-Fi profile of this site"),
        (HEAD + "wifi: [default, default]\n" + ONE, 3, "is there twice"),
        (HEAD + "wifi: []\n" + ONE, 1, "wifi is a list of at least one"),
        (HEAD + "wifi: [default, {a: b}]\n" + ONE, 3, "one of wifi is text"),
        (HEAD + "wifi: [a, b, c, d, e]\n" + ONE, 3, "a device joins at most 4 networks, not 5"),
        (HEAD + "devices:\n  - {count: 1, wifi: [default, guests]}\n", 4, "'guests' is no Wi-Fi profile"),
        (HEAD + "chip: esp8266\nwifi: [default, warehouse]\n" + ONE, 4, "an esp8266 joins one network, not 2"),
        (HEAD + "chip: linux\nwifi: default\n" + ONE, 4, "wifi is for boards"),
        (HEAD + "chip: linux\nlayout: 4MiB\n" + ONE, 4, "layout is for boards"),
        (HEAD + "chip: linux\ndevices:\n  - {count: 1, values: []}\n", 5, "values is for boards"),
        ("batch: [", 1, "expected the node content"),
        ("", 1, "is a mapping with prefix and devices"),
        (HEAD, 1, "lacks devices"),
        ("batch: first\n" + ONE, 1, "lacks a prefix"),
        (HEAD + "devices: 3\n", 1, "devices has to be a list"),
        (HEAD + "devices: []\n", 1, "1 to 999999 devices"),
        (HEAD + "devices:\n  - 3\n", 4, "an entry of devices is a mapping"),
        ("batch: first\nprefix: Lamp\n" + ONE, 2, "'Lamp-000001' is no device id"),
        ("batch: ../up\nprefix: lamp\n" + ONE, 1, "is no name of a batch"),
        (HEAD + "devices:\n  - count: -1\n", 4, "count has to be a whole number"),
        (HEAD + "devices:\n  - count: yes\n", 4, "count has to be a whole number"),
        (HEAD + "devices:\n  - count: 010\n", 4, "count has to be a whole number"),
        (HEAD + "devices:\n  - count: 1\n    serials: [1]\n", 4, "one of count, serials and ids"),
        (HEAD + "devices:\n  - serials: []\n", 4, "serials is a list of at least one"),
        (HEAD + "devices:\n  - {count: 1, key_origin: moon}\n", 4, "'moon' is no key_origin: choose one of device"),
        (HEAD + "devices:\n  - count: 2\n  - serials:\n    - 3\n    - 2\n", 7, "lamp-000002 is there twice.*line 4"),
        (HEAD + "devices:\n  - serials: [A7]\n", 4, "'lamp-A7' is no device id"),
        (HEAD + "chip: esp33\n" + ONE, 3, "'esp33' is no chip: choose one of esp32, esp32s3"),
        (HEAD + "layout: 5MiB\n" + ONE, 3, "'5MiB' is no layout"),
        (HEAD + "colour: red\n" + ONE, 3, "a batch has no field 'colour'"),
        (HEAD + "prefix: b\n" + ONE, 3, "prefix is there twice"),
        (HEAD + "shelf_days: 0\n" + ONE, 3, "shelf_days has to be"),
        (HEAD + "approval: perhaps\n" + ONE, 3, "'perhaps' is no approval: choose one of auto, manual"),
        (HEAD + "token_binding: ip\n" + ONE, 3, "'ip' is no token_binding: choose one of none, mac"),
        (HEAD + "chip: linux\ntoken_binding: mac\n" + ONE, 4, "token_binding"),
        (HEAD + "first: 999999\ndevices: [{count: 2}]\n", 4, "numbers end at 999999"),
        (HEAD + "wifi: guests\n" + ONE, 3, "'guests' is no Wi-Fi profile of this site: choose one of default"),
        (HEAD + "gateway: third\n" + ONE, 3, "'third' is no gateway of this site"),
        (HEAD + "product: a\\tb\nproduct: [a]\n" + ONE, 4, "product is there twice"),
    ],
)
def test_a_wrong_batch_file_is_refused_with_file_line_and_reason(read, text, line, reason):
    with pytest.raises(BatchRefusedError, match=rf"spring\.yml, line {line}: .*{reason}"):
        read(text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("namespace: app, key: k, type: u8, value: 256", "app:k: the number does not fit into u8"),
        ("namespace: app, key: k, type: u8, value: red", "app:k: the value is no whole number"),
        ("namespace: app, key: kkkkkkkkkkkkkkkk, type: u8, value: 1", "is no key of NVS"),
        ("namespace: '', key: k, type: u8, value: 1", "is no namespace of NVS"),
        ("namespace: app, key: k, type: float, value: 1", "app:k: there is no type 'float'"),
        ("namespace: app, key: k, type: hex2bin, value: abc", "app:k: the value is no hex2bin"),
        ("namespace: fleetmint, key: token, type: blob, value: x", "fleetmint:token: .* is Fleetmint's own"),
        ("namespace: app, key: k, type: u8", "exactly namespace, key, type, value"),
        ("namespace: app, key: region, type: u8, value: 1", "app:region is there twice"),
    ],
)
def test_a_value_that_nvs_cannot_hold_is_refused_by_its_line_and_not_shown(read, value, reason):
    text = f"{HEAD}values:\n  - {{namespace: app, key: region, type: string, value: eu}}\n  - {{{value}}}\n{ONE}"
    with pytest.raises(BatchRefusedError, match=rf"spring\.yml, line 5: .*{reason}") as error:
        read(text)
    assert "red" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("prefix,chip\nlamp,esp32\n", 1, "the column that says which devices is missing: serial, id or count"),
        ("serial,prefix,colour\n1,lamp,red\n", 1, "there is no column 'colour'"),
        ("serial,serial\n1,2\n", 1, "the column 'serial' is there twice"),
        ("serial,prefix\n1,lamp\n2\n", 3, "the row has 1 cells, and there are 2 columns"),
        ("serial,prefix\n1,lamp\n2,bulb\n", 3, "prefix is 'bulb' here and 'lamp' in line 2"),
        ("serial,prefix\n1,lamp\n\n01,lamp\n", 4, "lamp-000001 is there twice, first in line 2"),
        ("serial,prefix,value:app:k:u8\n1,lamp,300\n", 2, "app:k: the number does not fit"),
        ('serial,prefix\n1,"lamp\n', 2, "no CSV"),
    ],
)
def test_a_wrong_csv_file_is_refused_with_file_line_and_reason(read, text, line, reason):
    with pytest.raises(BatchRefusedError, match=rf"spring\.csv, line {line}: .*{reason}"):
        read(text, "spring.csv")


def test_several_mistakes_are_told_together_up_to_a_handful(read):
    with pytest.raises(BatchRefusedError) as error:
        read("batch: first\nprefix: lamp\nchip: esp33\nwifi: guests\ndevices:\n  - {count: 1, key_origin: moon}\n")
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].rpartition("line ")[2] for line in lines] == ["3", "4", "6"]
    with pytest.raises(BatchRefusedError) as error:
        read("serial,prefix\n" + "A,lamp\n" * 500, "spring.csv")
    assert len(str(error.value).splitlines()) == 9


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "spring.yml"
    path.write_bytes(b"batch: first\nprefix: l\xe4mp\n")
    with pytest.raises(BatchRefusedError, match="line 2: it has to be text in UTF-8: save it as UTF-8"):
        read_batch(path)
