import pytest

from fleetmint.factory.spec import BatchRefusedError, read_batch


def write(tmp_path, text):
    path = tmp_path / "spring.yml"
    path.write_text(text)
    return path


def test_ids_are_numbered_in_the_order_of_the_file(batch):
    assert [(unit.device, unit.key_origin) for unit in batch.units] == [
        ("lamp-000001", "device"),
        ("lamp-000002", "device"),
        ("lamp-000003", "factory"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("batch: [", r"spring\.yml, line 1"),
        ("", "has to be a mapping"),
        ("batch: first\nprefix: lamp\n", "lacks devices"),
        ("batch: first\nprefix: lamp\ndevices: 3\n", "has to be a list"),
        ("batch: first\nprefix: lamp\ndevices: []\n", "1 to 999999 devices"),
        ("batch: first\nprefix: Lamp\ndevices: [{count: 1}]\n", "'Lamp-000001' is no device id"),
        ("batch: ../up\nprefix: lamp\ndevices: [{count: 1}]\n", "is no device id"),
        ("batch: first\nprefix: lamp\ndevices: [{count: -1}]\n", "count has to be a whole number"),
        ("batch: first\nprefix: lamp\ndevices: [{count: yes}]\n", "count has to be a whole number"),
        ("batch: first\nprefix: lamp\ndevices: [{count: 1, key_origin: moon}]\n", "key_origin 'moon' is unknown"),
        ("batch: first\nprefix: lamp\nchip: esp8266\ndevices: [{count: 1}]\n", "chip 'esp8266' is unknown"),
        ("batch: first\nprefix: lamp\ncolour: red\ndevices: [{count: 1}]\n", "unknown field colour"),
        ("batch: first\nprefix: lamp\ntoken_days: 0\ndevices: [{count: 1}]\n", "token_days has to be"),
    ],
)
def test_a_wrong_batch_file_is_refused_with_file_and_reason(tmp_path, text, reason):
    with pytest.raises(BatchRefusedError, match=reason) as error:
        read_batch(write(tmp_path, text))
    assert "spring.yml" in str(error.value)
