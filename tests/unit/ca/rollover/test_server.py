from datetime import timedelta

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import Kind
from fleetmint.ca.leaves import plan_host_certificate
from fleetmint.ca.rollover import plan_move
from fleetmint.ca.rollover.server import LEARN
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.errors import StateError
from fleetmint.passphrases import open_source
from fleetmint.trust import bundle
from tests.support.rollover_world import GATEWAY, MOVES, write_request


def test_devices_trust_three_server_cas_during_the_overlap_and_the_bundle_rises(world):
    first = bundle.load(world.ca / bundle.FILE)
    world.move("server", "switch")
    world.make()
    second = bundle.load(world.ca / bundle.FILE)
    assert second.version == first.version + 1
    assert second.anchors[0] == first.anchors[1]
    assert second.anchors[2] == first.anchors[0]
    assert bundle.refusal(first, second) is None
    world.move("server", "retire")
    world.make()
    third = bundle.load(world.ca / bundle.FILE)
    assert third.version == first.version + 2
    assert third.anchors == second.anchors[:2]
    assert len(second.encode()) <= bundle.MAX_BYTES


def test_a_site_with_the_longest_name_still_fits_into_a_device_with_three_server_cas(tmp_path, now):
    site = Hierarchy(tmp_path / "ca", "w" * 31, open_source(f"file:{tmp_path / 'passphrases'}"))
    rollover = Rollover(site, Kind.SERVER, [GATEWAY], tmp_path / "issued", force=True)
    plan_hierarchy(site, [GATEWAY], now).apply()
    for move in ("switch", "retire", "switch"):
        plan_move(rollover, move, now).apply()
        plan_hierarchy(site, [GATEWAY], now).apply()
    assert len(bundle.load(site.directory / bundle.FILE).anchors) == 3


def test_a_gateway_gets_a_certificate_of_the_new_server_ca_and_the_old_one_stays_until_then(world):
    request, certificate = world.state / "gateway.csr", world.state / f"issued/{GATEWAY}/nginx.crt"
    write_request(request)
    sign = lambda: plan_host_certificate(  # noqa: E731
        world.hierarchy, request, certificate, "gateway", ["gateway.test"], world.now
    )
    sign().apply()
    world.move("server", "switch")
    world.make()
    with pytest.raises(StateError, match=r"nginx[.]crt is still of the old server CA"):
        world.move("server", "retire")
    assert "issued by another CA" in sign().reasons[0]
    sign().apply()
    assert world.move("server", "retire").changed


def test_a_second_server_rollover_waits_until_devices_could_have_heard_of_the_next_ca(world):
    for move in MOVES["server"]:
        world.move("server", move)
        world.make()
    with pytest.raises(StateError, match="would refuse every gateway") as refused:
        world.move("server", "switch")
    assert "trust bundle 0.3" in str(refused.value)
    forced = plan_move(world.rollover("server", force=True), "switch", world.now)
    assert forced.changed
    world.now += LEARN + timedelta(hours=1)
    assert world.move("server", "switch").changed
