"""Rollovers of a site whose root's key lies on a medium."""

import shutil
from pathlib import Path

import pytest

from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.errors import StateError
from fleetmint.x509.authority import load_certificate
from tests.support.rollover_world import MOVES, copy, cut_at


@pytest.fixture
def medium(world) -> Path:
    """Move the root's key to a stick, and let the world know."""
    stick = world.state / "stick"
    stick.mkdir()
    shutil.copy(world.ca / "root/ca.crt", stick)
    (world.ca / "root/ca.key").rename(stick / "ca.key")
    world.hierarchy = Hierarchy(world.ca, "test", world.hierarchy.source, stick)
    world.make()
    return stick


@pytest.mark.parametrize(("kind", "move"), [("device", "introduce"), ("server", "switch"), ("root", "introduce")])
def test_without_the_roots_medium_nothing_moves_and_it_is_said_what_to_plug_in(world, medium, snapshot, kind, move):
    medium.rename(medium.with_name("away"))
    before = snapshot(world.ca)
    with pytest.raises(StateError, match="plug in the medium"):
        world.move(kind, move)
    assert snapshot(world.ca) == before


def test_a_new_root_takes_its_place_on_the_medium_and_no_key_of_a_root_lies_on_the_controller(world, medium):
    old = (medium / "ca.key").read_bytes()
    for move in MOVES["root"]:
        world.move("root", move)
        world.make()
        assert [path for path in world.ca.rglob("ca.key") if "root" in str(path.relative_to(world.ca))] == []
    assert (medium / "outgoing/ca.key").read_bytes() == old
    assert (medium / "ca.crt").read_bytes() == (world.ca / "root/ca.crt").read_bytes()
    assert (medium / "crl.pem").read_bytes() == (world.ca / "root/crl.pem").read_bytes()
    assert world.hierarchy.authority("root").certificate == load_certificate(world.ca / "root/ca.crt")
    world.move("root", "introduce")
    assert not (medium / "outgoing").exists()
    assert [path.read_bytes() for path in medium.glob("retired.*/ca.key")] == [old]
    assert (medium / "incoming/ca.key").exists()


def test_a_cut_while_the_roots_trade_places_on_the_medium_is_finished(
    world, medium, monkeypatch, tmp_path_factory, openssl
):
    world.move("root", "introduce")
    stick, number = world.state / "stick", 0
    while True:
        number += 1
        cut = copy(world, tmp_path_factory, openssl)
        cut.hierarchy = Hierarchy(cut.ca, "test", cut.hierarchy.source, cut.state / "stick")
        if not cut_at(number, monkeypatch, lambda cut=cut: cut.move("root", "switch")):
            break
        cut.move("root", "switch")
        cut.make()
        place = cut.state / "stick"
        assert (place / "ca.key").read_bytes() == (stick / "incoming/ca.key").read_bytes(), number
        assert (place / "outgoing/ca.key").read_bytes() == (stick / "ca.key").read_bytes(), number
        assert cut.hierarchy.authority("root").certificate == load_certificate(cut.ca / "root/ca.crt")
    assert number > 10
