"""A file of a CA that is damaged is found by the next run and by the audit, and never made again in silence."""

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.errors import FleetmintError
from fleetmint.site.audit import authority_findings
from fleetmint.site.state import Site

KEYS = ["root/ca.key", "server/ca.key", "server-next/ca.key", "operator/ca.key", "factory/ca.key",
        "device-gateway/ca.key", "release/release-0.key", "release/spare.key"]  # fmt: skip
OTHERS = ["root/ca.crt", "server/ca.crt", "root/crl.pem", "operator/crl.pem", "factory/crl.pem"]
DAMAGE = {
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "half": lambda data: data[: len(data) // 2],
    "half between its lines": lambda data: data[: len(data) // 2] + data[data.rindex(b"-----END") :],
    "no end": lambda data: data[: data.rindex(b"-----END")],
    "garbage": lambda data: bytes(range(256)) * 2,
    "text": lambda data: b"Permission denied\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", [*KEYS, *OTHERS])
def test_a_damaged_file_is_named_with_its_remedy_and_stays(hierarchy, now, snapshot, name, damage):
    path = hierarchy.directory / name
    path.write_bytes(damage(path.read_bytes()))
    before = snapshot(hierarchy.directory)
    with pytest.raises(FleetmintError) as told:
        plan_hierarchy(hierarchy, ["gateway"], now).apply()
    assert str(path) in str(told.value)
    assert "restore" in str(told.value)
    assert snapshot(hierarchy.directory) == before
    found = authority_findings(Site(hierarchy.directory.parent))
    assert len(found) == 1
    assert str(path) in found[0].what
    assert "restore" in found[0].remedy or "restore" in found[0].what


def test_whole_cas_have_no_findings(hierarchy, now):
    assert authority_findings(Site(hierarchy.directory.parent)) == []
    assert not plan_hierarchy(hierarchy, ["gateway"], now).changed


def test_an_empty_passphrase_is_found(hierarchy):
    (hierarchy.directory.parent / "passphrases/issuing").write_bytes(b"")
    assert ["issuing is empty" in str(each) for each in authority_findings(Site(hierarchy.directory.parent))] == [True]


def test_a_root_that_is_damaged_names_the_ceremony_too(hierarchy, now):
    (hierarchy.directory / "root/ca.key").write_bytes(b"")
    with pytest.raises(FleetmintError, match=r"ca\.key is empty: .*docs/ceremony\.md"):
        plan_hierarchy(hierarchy, ["gateway"], now)
