"""What holds for the moves of every kind of rollover."""

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.rollover import left_to_do, plan_move
from fleetmint.errors import FleetmintError, StateError
from fleetmint.x509 import names
from fleetmint.x509.authority import load_certificate
from tests.support.rollover_world import ENDS, EVERYTHING, GATEWAY, MOVES, copy, cut_at


def test_no_listener_refuses_a_valid_certificate_in_any_phase_of_any_rollover(world, operator):
    for kind, move in EVERYTHING:
        if (kind, move) in ENDS:
            continue
        world.move(kind, move)
        world.make()
        world.issue("device-gateway", "device", "lamp-000003")
        for name, leaf in world.leaves.items():
            assert world.lets_in(leaf), (kind, move, name)
        assert world.lets_in(operator, "operators"), (kind, move)
    old = world.leaves["lamp-000001 0"]
    world.move("device", "retire")
    refused = [name for name, leaf in world.leaves.items() if not world.lets_in(leaf)]
    assert "lamp-000001 0" in refused
    assert all(world.leaves[name].issuer == old.issuer for name in refused)


def test_a_move_that_was_made_is_not_made_again(world):
    for kind, move in EVERYTHING:
        assert world.move(kind, move).changed
        world.make()
        before = world.shape(), world.keys()
        assert plan_move(world.rollover(kind), move, world.now).reasons == ()
        assert not plan_hierarchy(world.hierarchy, [GATEWAY], world.now).changed
        assert (world.shape(), world.keys()) == before


def test_a_plan_that_is_not_applied_changes_nothing(world, snapshot):
    for kind, move in (("device", "introduce"), ("server", "switch"), ("root", "introduce")):
        before = snapshot(world.ca)
        plan = plan_move(world.rollover(kind), move, world.now)
        assert plan.changed
        assert plan.after
        assert snapshot(world.ca) == before


@pytest.mark.parametrize("kind", MOVES)
def test_cut_at_any_write_no_valid_client_is_refused_and_the_next_run_ends_the_same(
    world, operator, kind, monkeypatch, tmp_path_factory, openssl
):
    """Every rename, replace and unlink of every move is one place to cut."""
    for index, move in enumerate(MOVES[kind]):
        whole = copy(world, tmp_path_factory, openssl)
        whole.move(kind, move)
        whole.make()
        number = 0
        while True:
            number += 1
            cut = copy(world, tmp_path_factory, openssl)
            if not cut_at(number, monkeypatch, lambda cut=cut, move=move: cut.move(kind, move)):
                break
            assert world.keys() <= cut.keys(), (move, number)
            if (kind, move) not in ENDS:
                for leaf in world.leaves.values():
                    assert cut.lets_in(leaf), (move, number)
                assert cut.lets_in(operator, "operators"), (move, number)
            cut.move(kind, move)
            cut.make()
            assert cut.shape() == whole.shape(), (move, number)
            assert len(cut.keys()) == len(whole.keys())
            assert world.keys() <= cut.keys()
        assert number > 1, (move, index)
        world.move(kind, move)
        world.make()


def test_the_names_of_two_generations_differ(world):
    for kind, move in EVERYTHING:
        world.move(kind, move)
        world.make()
    found = [names.common_name(load_certificate(path).subject) for path in world.ca.rglob("ca.crt")]
    assert len(found) == len(set(found)), sorted(found)
    assert {"test root G2", "test device CA of gateway G2", "test next server CA G2"} <= set(found)


@pytest.mark.parametrize(
    ("before", "kind", "move", "word"),
    [
        ([("root", "introduce")], "device", "introduce", "a new root waits"),
        ([("root", "introduce")], "server", "switch", "a new root waits"),
        ([("root", "introduce")], "root", "leave", "not in service yet"),
        ([("device", "introduce")], "device", "retire", "not in service yet"),
        ([("device", "introduce")], "root", "introduce", "finish that first"),
        ([], "server", "introduce", "no move 'introduce'"),
    ],
)
def test_a_move_out_of_order_is_refused_and_changes_nothing(world, snapshot, before, kind, move, word):
    for made in before:
        world.move(*made)
    found = snapshot(world.ca)
    with pytest.raises(FleetmintError, match=word):
        world.move(kind, move)
    assert snapshot(world.ca) == found


def test_a_full_disk_leaves_the_old_cas_in_use(world, full_disk):
    for kind, move in (("device", "introduce"), ("root", "introduce")):
        before = world.shape()
        with full_disk(100), pytest.raises(StateError, match="cannot write"):
            world.move(kind, move)
        assert world.shape() == before
        assert world.lets_in(world.leaves["lamp-000001 0"])


def test_what_is_left_to_do_is_said_in_words(world):
    assert left_to_do(world.ca) == []
    world.move("device", "introduce")
    assert "goes on to issue with it" in left_to_do(world.ca)[0]
    plan = world.move("device", "switch")
    assert "-e ca_rollover_step=retire" in left_to_do(world.ca)[0]
    assert plan.expected.left in left_to_do(world.ca)[0]
    world.move("device", "retire")
    assert left_to_do(world.ca) == []
