from fleetmint.x509 import names
from fleetmint.x509.authority import load_certificate
from tests.support.rollover_world import MOVES, common_names


def test_a_name_that_a_retired_ca_had_does_not_come_again(world):
    for move in MOVES["device"] * 2:
        world.move("device", move)
    found = [names.common_name(load_certificate(path).subject) for path in world.ca.rglob("*device-gateway*/ca.crt")]
    assert sorted(found) == [f"test device CA of gateway{number}" for number in ("", " G2", " G3")]


def test_a_listener_trusts_both_device_cas_before_the_new_one_issues_and_neither_after_it_is_retired(world):
    world.move("device", "introduce")
    assert common_names(world, "device") == ["test device CA of gateway", "test device CA of gateway G2"]
    world.move("device", "switch")
    assert common_names(world, "device") == ["test device CA of gateway G2", "test device CA of gateway"]
    world.move("device", "retire")
    assert common_names(world, "device") == ["test device CA of gateway G2"]
