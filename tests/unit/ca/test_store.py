"""Where the files of the CAs lie, and which of them there are."""

import shutil

from fleetmint.ca.identifier import FACTORY, ROOT, SERVER, Phase, device_ca
from fleetmint.ca.store import CaStore


def test_the_cas_are_listed_by_phase_and_the_root_first(hierarchy):
    store = hierarchy.store
    shutil.copytree(store.place(SERVER), store.place(SERVER.at(Phase.PREVIOUS)))
    names = [str(ca) for ca in store.identifiers()]
    assert names == ["root", "device-gateway", "factory", "operator", "server", "server-next", "outgoing/server"]
    assert [str(ca) for ca in store.generations(SERVER)] == ["server", "outgoing/server"]


def test_a_directory_that_somebody_put_beside_them_is_no_ca(hierarchy):
    store = hierarchy.store
    before = store.identifiers()
    shutil.copytree(store.place(FACTORY), store.directory / "factory.old")
    assert store.identifiers() == before
    assert store.device_cas() == [device_ca("gateway")]


def test_the_key_of_a_root_lies_on_its_medium_and_everything_else_at_home(tmp_path):
    store = CaStore(tmp_path / "ca", tmp_path / "stick")
    assert store.key_path(ROOT) == tmp_path / "stick/ca.key"
    assert store.key_path(ROOT.at(Phase.PENDING)) == tmp_path / "stick/incoming/ca.key"
    assert store.crl_path(ROOT) == tmp_path / "ca/root/crl.pem"
    assert store.key_path(FACTORY) == tmp_path / "ca/factory/ca.key"


def test_a_root_directory_that_is_the_usual_one_is_not_elsewhere(tmp_path):
    assert not CaStore(tmp_path / "ca", tmp_path / "ca/root").root_is_elsewhere
    assert CaStore(tmp_path / "ca", tmp_path / "ca/root").key_path(ROOT) == tmp_path / "ca/root/ca.key"
