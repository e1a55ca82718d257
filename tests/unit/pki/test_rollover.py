"""Rollovers on the controller: what the doors make of it at every moment is judged by openssl."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.errors import FleetmintError, StateError
from fleetmint.pki import bundle, generations, keys, names, revocation
from fleetmint.pki.authority import load_certificate, pem, public_key_bytes
from fleetmint.pki.chain import issued_by
from fleetmint.pki.hierarchy import Hierarchy, plan_authority_crl, plan_hierarchy
from fleetmint.pki.leaf import plan_client, plan_host_certificate
from fleetmint.pki.passphrases import open_source
from fleetmint.pki.rollover import LEARN, Rollover, left_to_do, plan_move
from fleetmint.pki.shipped import shipped

MOVES = {
    "device": ("introduce", "switch", "retire"),
    "server": ("switch", "retire"),
    "root": ("introduce", "switch", "leave", "retire"),
}
EVERYTHING = [(kind, move) for kind, moves in MOVES.items() for move in moves]
GATEWAY = "gateway"


class Cut(BaseException):
    """The power is gone."""


class World:
    """A controller, and whoever has a certificate of its CAs."""

    def __init__(self, directory: Path, now, openssl):
        self.state = directory
        self.now = now
        self._openssl = openssl
        self.hierarchy = Hierarchy(directory / "ca", "test", open_source(f"file:{directory / 'passphrases'}"))
        self.leaves = {}

    @property
    def ca(self) -> Path:
        return self.hierarchy.directory

    def rollover(self, kind, **options) -> Rollover:
        return Rollover(self.hierarchy, kind, [GATEWAY], self.state / "issued", **options)

    def make(self):
        """What ca.yml and the rest of the play do."""
        plan_hierarchy(self.hierarchy, [GATEWAY], self.now).apply()

    def move(self, kind, move, **options):
        plan = plan_move(self.rollover(kind, **options), move, self.now)
        plan.apply()
        return plan

    def issue(self, ca, profile, name):
        key = keys.new_key()
        leaf = self.hierarchy.authority(ca).issue(profile, key.public_key(), name, now=self.now)
        self.leaves[f"{name} {len(self.leaves)}"] = leaf
        return leaf

    def lets_in(self, leaf, door="devices") -> bool:
        """Ask openssl with the very files of a door."""
        place = self.state / "door"
        place.mkdir(exist_ok=True)
        (place / "ca.pem").write_bytes(shipped(self.ca, GATEWAY, f"{door}.ca"))
        lists = [shipped(self.ca, GATEWAY, f"{name}.crl") for name in ("root", "factory", "operator")]
        (place / "crl.pem").write_bytes(b"".join([*lists, *self._device_crls()]))
        (place / "leaf.pem").write_bytes(pem(leaf))
        done = self._openssl(
            "verify", "-crl_check_all", "-purpose", "sslclient", "-no-CApath", "-no-CAstore",
            "-CAfile", place / "ca.pem", "-CRLfile", place / "crl.pem", place / "leaf.pem",
        )  # fmt: skip
        return done.returncode == 0

    def _device_crls(self):
        """What the gateway signs: for each device CA that it has."""
        for each in generations.generations(self.ca, "device-gateway"):
            crl = revocation.build_crl(
                self.hierarchy.authority(each), [], number=1, now=self.now, lifetime=timedelta(days=7)
            )
            yield revocation.crl_pem(crl)

    def shape(self) -> set[str]:
        """The files of the CAs, without what a power cut leaves behind of half-written ones."""
        paths = [path.relative_to(self.ca) for path in self.ca.rglob("*") if path.is_file()]
        return {
            re.sub(r"[.][0-9a-f]{16}/", ".FINGERPRINT/", str(path)) for path in paths if not path.name.startswith(".")
        }

    def keys(self) -> set[bytes]:
        return {path.read_bytes() for path in self.ca.rglob("ca.key")}


@pytest.fixture
def world(tmp_path, now, openssl) -> World:
    world = World(tmp_path, now, openssl)
    world.make()
    world.issue("device-gateway", "device", "lamp-000001")
    world.issue("factory", "factory-device", "lamp-000002")
    return world


@pytest.fixture
def operator(world):
    plan_client(world.hierarchy, "operator", "alice@test", world.state / "issued/operators", world.now).apply()
    return load_certificate(world.state / "issued/operators/alice@test.crt")


def write_request(path: Path) -> None:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(keys.new_key(), hashes.SHA256())
    path.write_bytes(csr.public_bytes(serialization.Encoding.PEM))


def common_names(world, file) -> list[str]:
    path = world.state / "found.pem"
    found = []
    for block in shipped(world.ca, GATEWAY, file).split(b"-----BEGIN")[1:]:
        path.write_bytes(b"-----BEGIN" + block)
        found.append(names.common_name(load_certificate(path).subject))
    return found


def test_no_door_refuses_a_valid_certificate_in_any_phase_of_all_three_rollovers(world, operator):
    for kind, move in EVERYTHING:
        if (kind, move) == ("device", "retire"):
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
            if (kind, move) != ("device", "retire"):
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


def copy(world, tmp_path_factory, openssl) -> World:
    place = tmp_path_factory.mktemp("copy") / "state"
    shutil.copytree(world.state, place)
    return World(place, world.now, openssl)


def cut_at(number, monkeypatch, run) -> bool:
    """Run until the change of a file before which the power goes; whether it came to that."""
    left = [number]

    def counting(name):
        real = getattr(Path, name)

        def change(self, *arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                raise Cut
            return real(self, *arguments, **options)

        return change

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "unlink"):
            patched.setattr(Path, name, counting(name))
        try:
            run()
        except Cut:
            return True
    return False


def test_the_names_of_two_generations_differ(world):
    for kind, move in EVERYTHING:
        world.move(kind, move)
        world.make()
    found = [names.common_name(load_certificate(path).subject) for path in world.ca.rglob("ca.crt")]
    assert len(found) == len(set(found)), sorted(found)
    assert {"test root G2", "test device CA of gateway G2", "test next server CA G2"} <= set(found)


def test_a_name_that_a_retired_ca_had_does_not_come_again(world):
    for move in MOVES["device"] * 2:
        world.move("device", move)
    found = [names.common_name(load_certificate(path).subject) for path in world.ca.rglob("*device-gateway*/ca.crt")]
    assert sorted(found) == [f"test device CA of gateway{number}" for number in ("", " G2", " G3")]


def test_a_door_trusts_both_device_cas_before_the_new_one_issues_and_neither_after_it_is_retired(world):
    world.move("device", "introduce")
    assert common_names(world, "device") == ["test device CA of gateway", "test device CA of gateway G2"]
    world.move("device", "switch")
    assert common_names(world, "device") == ["test device CA of gateway G2", "test device CA of gateway"]
    world.move("device", "retire")
    assert common_names(world, "device") == ["test device CA of gateway G2"]


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
    rollover = Rollover(site, "server", [GATEWAY], tmp_path / "issued", force=True)
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


def test_a_new_root_certifies_the_same_keys_under_the_same_names(world):
    before = {path.parent.name: load_certificate(path) for path in world.ca.glob("*/ca.crt")}
    for move in MOVES["root"]:
        world.move("root", move)
    for name, old in before.items():
        new = load_certificate(world.ca / name / "ca.crt")
        if name == "root":
            assert new.subject != old.subject
            continue
        assert new.subject == old.subject
        assert public_key_bytes(new) == public_key_bytes(old)
        assert names.common_name(new.issuer) == "test root G2"


def test_who_has_only_the_old_root_is_served_until_the_switch_and_who_has_only_the_new_one_from_then_on(world, openssl):
    request, certificate = world.state / "gateway.csr", world.state / f"issued/{GATEWAY}/nginx.crt"
    write_request(request)

    def served(root) -> bool:
        plan_host_certificate(world.hierarchy, request, certificate, "gateway", ["gateway.test"], world.now).apply()
        done = openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore",
            "-CAfile", root, "-untrusted", certificate, certificate,
        )  # fmt: skip
        return done.returncode == 0

    old, new = world.state / "old.pem", world.state / "new.pem"
    shutil.copy(world.ca / "root/ca.crt", old)
    assert served(old)
    leaf = load_certificate(certificate)
    world.move("root", "introduce")
    shutil.copy(world.ca / "incoming/root/ca.crt", new)
    assert (served(old), served(new)) == (True, False)
    world.move("root", "switch")
    assert (served(old), served(new)) == (False, True)
    assert load_certificate(certificate) == leaf
    both = world.state / "both.pem"
    both.write_bytes(old.read_bytes() + new.read_bytes())
    assert served(both)


def test_a_gateway_that_came_meanwhile_is_certified_before_the_switch(world, snapshot):
    world.move("root", "introduce")
    plan_hierarchy(world.hierarchy, [GATEWAY, "second"], world.now).apply()
    before = snapshot(world.ca)
    with pytest.raises(StateError, match="has not certified everything yet"):
        world.move("root", "switch")
    assert snapshot(world.ca) == before
    world.move("root", "introduce")
    world.move("root", "switch")
    assert issued_by(load_certificate(world.ca / "device-second/ca.crt"), load_certificate(world.ca / "root/ca.crt"))


def test_a_new_root_does_not_certify_a_ca_that_the_old_one_has_revoked(world, snapshot):
    device_ca = world.ca / "device-gateway"
    serial = load_certificate(device_ca / "ca.crt").serial_number
    plan_authority_crl(world.hierarchy, "root", [serial], world.now, "key_compromise").apply()
    before = snapshot(world.ca)
    with pytest.raises(StateError, match=r"device CA of gateway is revoked.*move .*device-gateway away"):
        world.move("root", "introduce")
    assert snapshot(world.ca) == before
    device_ca.rename(world.state / "stolen")
    world.move("root", "introduce")


def test_an_operators_file_gets_the_new_certificate_of_its_ca_and_keeps_the_leaf(world, operator):
    place = world.state / "issued/operators"
    for move in ("introduce", "switch"):
        world.move("root", move)
    plan = plan_client(world.hierarchy, "operator", "alice@test", place, world.now)
    assert plan.reasons == ("alice@test.crt: the CA above it has a new certificate",)
    plan.apply()
    assert load_certificate(place / "alice@test.crt") == operator
    assert (world.ca / "operator/ca.crt").read_bytes() in (place / "alice@test.crt").read_bytes()
    assert not (place / "earlier").exists()
    assert not plan_client(world.hierarchy, "operator", "alice@test", place, world.now).changed


def test_the_old_root_is_not_put_away_before_the_doors_have_let_it_go(world):
    for move in ("introduce", "switch"):
        world.move("root", move)
    with pytest.raises(StateError, match="still trusted"):
        world.move("root", "retire")
    world.move("root", "leave")
    assert shipped(world.ca, GATEWAY, "devices.ca").count(b"BEGIN") == 3
    assert shipped(world.ca, GATEWAY, "root.crl").count(b"BEGIN") == 2
    assert shipped(world.ca, GATEWAY, "roots").count(b"BEGIN") == 2
    world.move("root", "retire")
    assert shipped(world.ca, GATEWAY, "root.crl").count(b"BEGIN") == 1


@pytest.mark.parametrize(
    ("before", "kind", "move", "word"),
    [
        ([("root", "introduce")], "device", "introduce", "a new root waits"),
        ([("root", "introduce")], "server", "switch", "a new root waits"),
        ([("root", "introduce")], "root", "leave", "not in service yet"),
        ([("device", "introduce")], "device", "retire", "not in service yet"),
        ([("device", "introduce")], "root", "introduce", "finish that first"),
        ([], "server", "introduce", "no move 'introduce'"),
        ([], "house", "switch", "no move 'switch'"),
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
    assert plan.facts["left"] in left_to_do(world.ca)[0]
    world.move("device", "retire")
    assert left_to_do(world.ca) == []


@pytest.mark.parametrize(("kind", "move"), [("device", "introduce"), ("server", "switch"), ("root", "introduce")])
def test_beside_a_ceremony_a_rollover_is_refused_before_anything_moves(world, snapshot, kind, move):
    before = snapshot(world.ca)
    with pytest.raises(StateError, match="made in a ceremony"):
        world.move(kind, move, ceremony=True)
    assert snapshot(world.ca) == before


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
