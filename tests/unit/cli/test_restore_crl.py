"""`fleetmint ca restore-crl`: a controller takes back the CRL that it has lost."""

import pytest


@pytest.fixture
def lost(fleetmint, hierarchy, tmp_path):
    """The operator CA's list, number 2 with Alice on it, away from where it belongs."""
    fleetmint("revoke", "alice@test")
    path = hierarchy.directory / "operator/crl.pem"
    return path.rename(tmp_path / "operator.crl")


def test_the_commands_refuse_and_say_what_brings_the_list_back(fleetmint, refused, lost):
    for command in (["operator", "add", "alice@test"], ["operator", "list"], ["revoke", "bob@test"], ["ca", "show"]):
        refused(fleetmint(*command), "operator/crl.pem is missing", "fleetmint ca restore-crl operator.crl")


def test_the_list_is_taken_over_once(fleetmint, hierarchy, lost):
    path = hierarchy.directory / "operator/crl.pem"
    said = fleetmint("ca", "restore-crl", lost, "--check", "--json")
    assert said["changed"] is True
    assert not path.exists()
    said = fleetmint("ca", "restore-crl", lost, "--json")
    assert said["lists"] == [{"ca": "operator", "number": 2, "revoked": 1}]
    assert path.read_bytes() == lost.read_bytes()
    assert fleetmint("ca", "restore-crl", lost, "--json")["changed"] is False
    assert "nothing to do" in fleetmint("ca", "restore-crl", lost).stdout
    rows = fleetmint("operator", "list", "--json")["operators"]
    assert {row["name"]: row["status"] for row in rows}["alice@test"] == "revoked"


def test_what_is_no_list_is_refused(fleetmint, refused, lost, hierarchy, tmp_path):
    refused(fleetmint("ca", "restore-crl", tmp_path / "nothing"), "cannot read CRL")
    refused(fleetmint("ca", "restore-crl", hierarchy.directory / "root/ca.crt"), "no CRL")
