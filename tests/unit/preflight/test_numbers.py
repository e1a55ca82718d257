"""Numbers that YAML reads in another way than people do."""

import pytest
import yaml

from fleetmint.preflight.spelling import another_number


@pytest.mark.parametrize("written", ["0443", "0x1bb", "8:44", "1_000"])
def test_a_number_that_yaml_takes_for_another_is_named(written):
    value = yaml.safe_load(written)
    assert another_number(f"{written} # a port", value) == f"YAML takes {written} for {value}"


@pytest.mark.parametrize("written", ["443", "0", "-5"])
def test_a_number_that_is_what_it_looks_like_is_none(written):
    assert another_number(f"{written}, 444]", yaml.safe_load(written)) == ""
