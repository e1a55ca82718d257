"""Who is revoked stays out: after a restore, by whatever reason, and while something else is broken."""

import os

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes

from fleetmint.ca import gateway_keys
from fleetmint.cli import root
from fleetmint.cli.controller.revoke import _told
from fleetmint.gateway import denied, device_ca
from fleetmint.gateway.ca_key import token
from fleetmint.site.in_force import Told
from fleetmint.site.revocation import on_its_gateway
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem


def test_a_gateway_that_says_it_is_not_in_force_is_heard_beside_one_where_it_is():
    told = [Told("attic"), Told("cellar", "the broker was not reloaded"), Told("shed", "no answer", answered=False)]
    assert [each.gateway for each in _told(told, [on_its_gateway("lamp-000001")])] == ["attic", "cellar"]


def test_rules_have_their_owner_when_they_get_their_name(tmp_path, monkeypatch):
    path = tmp_path / "devices.acl"
    path.write_text("pattern read x\n")
    path.chmod(0o400)
    asked = []
    monkeypatch.setattr(os, "fchown", lambda handle, *owner: asked.append((owner, path.read_text())))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    denied.write_rules(path, "pattern read y\n")
    assert asked == [((path.stat().st_uid, path.stat().st_gid), "pattern read x\n")]
    assert path.read_text() == "pattern read y\n"


def test_a_ca_that_is_kept_for_its_list_and_does_not_open_can_be_given_up(site):
    old = site.hierarchy.authority("factory").certificate  # of any other key
    spki = keys.spki_sha256(old.public_key()).hex()
    place = site.config.device_ca / "crl-only" / spki
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(pem(old))
    (place / "ca.cred").write_bytes(b"of another machine")
    (place / "ca.cred").chmod(0o400)
    assert list(device_ca.unusable_copies(site.config)) == [spki]
    done = CliRunner().invoke(root, ["gateway", "--config", str(site.config_path), "ca-status"])
    assert f"for its CRL alone: {spki}, and its key cannot be used" in done.output
    done = CliRunner().invoke(root, ["gateway", "--config", str(site.config_path), "retire-ca", spki])
    assert (done.exit_code, place.exists()) == (0, False), done.output
    assert [each.certificate for each in device_ca.authorities(site.config)] == [site.device_ca.certificate]


def test_the_controller_has_what_does_not_open_given_up(site):
    certificate = site.device_ca.certificate
    held = {
        "installed": True,
        "spki_sha256": keys.spki_sha256(site.device_ca.key.public_key()).hex(),
        "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }
    broken = {"installed": False, "spki_sha256": "ab" * 32, "as_wanted": False}
    steps = gateway_keys.plan_steps(site.hierarchy, "gateway", {**held, "crl_only": [broken], "beside": [broken]})
    assert any("ab" * 32 in str(step) for step in steps)


def test_a_module_that_others_may_change_is_not_loaded_as_root(tmp_path, monkeypatch):
    module = tmp_path / "module.so"
    module.write_bytes(b"")
    module.chmod(0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(token, "_pkcs11", lambda: pytest.fail("it was loaded"))
    with pytest.raises(token.StateError, match="others than root may change"):
        token._library(token.Pkcs11Url((("token", "x"),), module))
