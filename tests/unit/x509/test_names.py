import pytest

from fleetmint.errors import NameRefusedError
from fleetmint.x509 import names


@pytest.mark.parametrize("text", ["abc", "lamp-000001", "0-0", "a" * 63])
def test_a_device_id_of_the_grammar_is_returned(text):
    assert names.device_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "ab", "-abc", "a" * 64, "Lamp-1", "lamp_1", "lamp/1", "lamp+1", "lämp", "lamp-1\n", "alice@site", "#"]
)
def test_a_device_id_outside_the_grammar_is_refused_with_the_grammar(text):
    with pytest.raises(NameRefusedError, match="3 to 63 of a-z"):
        names.device_id(text)


@pytest.mark.parametrize("text", ["alice", "alice@", "@site", "Alice@site", "alice@site\n", "a@b@c", "alice@si te"])
def test_an_operator_name_outside_the_grammar_is_refused(text):
    with pytest.raises(NameRefusedError):
        names.operator_name(text)


def test_no_name_is_both_a_device_id_and_an_operator_name():
    assert names.operator_name("alice@site") == "alice@site"
    with pytest.raises(NameRefusedError):
        names.device_id("alice@site")
