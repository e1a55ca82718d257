from fleetmint.preflight.renamed import RENAMED, used
from fleetmint.preflight.variables import CHECKED, OTHERS


def test_an_old_name_counts_only_while_the_new_one_is_not_set() -> None:
    assert used(["operators_station", "other"]) == {"operators_station": "fleet_station"}
    assert used(["operators_station", "fleet_station"]) == {}


def test_no_old_name_is_refused_as_a_misspelling_and_every_new_one_is_known() -> None:
    assert set(RENAMED) <= OTHERS
    assert set(RENAMED.values()) <= OTHERS | CHECKED
