"""The rhythm of every module: check, apply, repeat, change one thing, give it something bad."""

import json
import os
import subprocess
from pathlib import Path

from fleetmint.batch import secrets
from fleetmint.passphrases import open_source

BATCH = "batch: first\nprefix: lamp\ndevices: [{count: 2}, {count: 1, key_origin: factory}]\n"


def openssl(*arguments) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_ca_is_made_once_and_grows_with_the_gateways(module, cas, snapshot):
    predicted, _ = module("ca", "--check", **cas, gateways=["gateway"])
    assert predicted["changed"]
    assert snapshot() == {}
    made, _ = module("ca", **cas, gateways=["gateway"])
    assert made["reasons"] == predicted["reasons"]
    before = snapshot()
    assert not module("ca", **cas, gateways=["gateway"])[0]["changed"]
    assert snapshot() == before
    assert module("ca", **cas, gateways=["gateway", "second"])[0]["reasons"] == ["make the device CA of second"]
    failed, _ = module("ca", **cas | {"site": "Other Site"}, gateways=[])
    assert "is no site name" in failed["msg"]
    failed, _ = module("ca", **cas | {"site": 100}, gateways=[])
    assert "the name of the site is a number to YAML, and has to be text: put it in quotes" in failed["msg"]


def test_a_module_says_nothing_of_what_it_uses_of_ansible(module, cas, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_DEPRECATION_WARNINGS", "1")
    operator = {**cas, "name": "alice@test", "profile": "operator", "into": str(tmp_path / "state/operators")}
    for name, options in (("ca", {**cas, "gateways": ["gateway"]}), ("client", operator)):
        found, printed = module(name, **options)
        assert found["changed"]
        assert "DEPRECATION" not in printed


def test_certificates_are_signed_for_hosts_and_operators(module, cas, snapshot, tmp_path):
    module("ca", **cas, gateways=["gateway"])
    request = tmp_path / "nginx.csr"
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
            "-keyout", tmp_path / "nginx.key", "-out", request)  # fmt: skip
    host = {
        **cas,
        "request": str(request),
        "certificate": str(tmp_path / "state/issued/nginx.crt"),
        "common_name": "gateway",
        "names": ["localhost", "127.0.0.1"],
    }
    assert module("certificate", "--check", **host)[0]["changed"]
    assert not (tmp_path / "state/issued").exists()
    assert module("certificate", **host)[0]["changed"]
    assert not module("certificate", **host)[0]["changed"]
    names = openssl("x509", "-in", host["certificate"], "-noout", "-ext", "subjectAltName")
    assert "DNS:localhost" in names
    assert "IP Address:127.0.0.1" in names
    assert "differ" in module("certificate", **host | {"names": ["pi.example"]})[0]["reasons"][0]

    operator = {**cas, "name": "alice@test", "profile": "operator", "into": str(tmp_path / "state/operators")}
    assert module("client", **operator)[0]["changed"]
    before = snapshot()
    assert not module("client", **operator)[0]["changed"]
    assert snapshot() == before
    assert "is no operator name" in module("client", **operator | {"name": "alice"})[0]["msg"]


def test_crl_revokes_and_never_takes_back(module, cas, tmp_path):
    module("ca", **cas, gateways=["gateway"])
    factory = {**cas, "authority": "factory"}
    assert not module("crl", **factory)[0]["changed"]
    result, printed = module("crl", "--diff", **factory, revoke=["abcdef"])
    assert result["reasons"] == ["revoke abcdef"]
    assert "+revoked abcdef" in printed
    assert not module("crl", **factory, revoke=["abcdef"])[0]["changed"]
    module("crl", **factory, revoke=["123456"])
    text = openssl("crl", "-in", tmp_path / "state/ca/factory/crl.pem", "-noout", "-text")
    assert "ABCDEF" in text
    assert "123456" in text
    assert "hexadecimal" in module("crl", **factory, revoke=["xyz"])[0]["msg"]


def test_batch_is_made_once_and_shows_no_secret(module, cas, snapshot, tmp_path):
    module("ca", **cas, gateways=["gateway"])
    (tmp_path / "batch.yml").write_text(BATCH)
    batch = {
        **cas,
        "file": str(tmp_path / "batch.yml"),
        "into": str(tmp_path / "state/batches"),
        "ledger": f"sqlite:///{tmp_path}/state/ledger.sqlite",
        "gateways": [{"name": "gateway", "host": "localhost", "https_port": 443, "mqtt_port": 8883}],
        "wifi": [{"name": "default", "ssid": "workshop", "psk": "canary-in-a-mine"}],
    }
    before = snapshot()
    assert module("batch", "--check", **batch)[0]["changed"]
    assert snapshot() == before
    result, printed = module("batch", "-vvv", "--diff", **batch)
    assert result["devices"] == 3
    # the command line of this test itself holds the options; Ansible repeats it nowhere else
    told = [line for line in printed.splitlines() if "canary-in-a-mine" in line]
    assert told == []
    source = open_source(cas["passphrases"])
    known = secrets.load(tmp_path / "state/batches/first", source).devices
    assert [secret.token for secret in known.values() if secret.token and secret.token in printed] == []
    assert not module("batch", **batch)[0]["changed"]
    place = {"batch": str(tmp_path / "state/batches/first"), "ledger": batch["ledger"]}
    assert module("registered", "--check", **place)[0]["changed"]
    assert module("registered", **place, skipped=["lamp-000002"])[0]["reasons"] == [
        "2 devices of first are registered with gateway from now on"
    ]
    assert module("registered", **place)[0]["changed"]
    assert not module("registered", **place)[0]["changed"]
    assert json.loads(module("handover", **place)[0]["document"])["devices"] == []
    for changed, reason in (
        ({"wifi": [batch["wifi"][0] | {"psk": 123456789}]}, "psk of the network 'default' is a number to YAML"),
        ({"wifi": [batch["wifi"][0] | {"psk": None}]}, 'psk: "" for an open network'),
        ({"wifi": batch["wifi"] * 2}, "'default' is there twice"),
        ({"gateways": [batch["gateways"][0] | {"host": 1.5}]}, "the name of gateway is a number to YAML"),
    ):
        failed, printed = module("batch", "-vvv", **batch | changed)
        assert reason in failed["msg"]
        assert "123456789" not in failed["msg"]
    failed, printed = module("batch", "-vvv", **batch | {"wifi": [batch["wifi"][0] | {"psk": "canary!"}]})
    assert "8 to 63 characters" in failed["msg"]
    assert "canary!" not in printed


def test_client_warns_about_a_revoked_operator_and_makes_nothing(module, cas, snapshot, tmp_path):
    module("ca", **cas, gateways=["gateway"])
    operator = {**cas, "name": "alice@test", "profile": "dashboard", "into": str(tmp_path / "state/operators")}
    module("client", **operator)
    certificate = tmp_path / "state/operators/alice@test.crt"
    serial = openssl("x509", "-in", certificate, "-noout", "-serial").strip().removeprefix("serial=")
    module("crl", **cas, authority="operator", revoke=[serial])
    (tmp_path / "state/operators/alice@test.key").unlink()
    before = snapshot()
    result, printed = module("client", **operator)
    assert not result["changed"]
    assert "fleetmint operator replace alice@test" in printed
    assert snapshot() == before


# Read by every Python that finds it: a card whose directories, or whose certificates, cannot be reached any more.
BAD_CARD = """
import errno, os, pathlib
def fail(real, only):
    def call(first, *arguments, **options):
        if only(first):
            raise OSError(errno.EIO, os.strerror(errno.EIO), *[str(first)] * isinstance(first, pathlib.Path))
        return real(first, *arguments, **options)
    return call
if os.environ["BAD_CARD"] == "fsync":
    os.fsync = fail(os.fsync, lambda handle: pathlib.Path(f"/proc/self/fd/{handle}").is_dir())
else:
    pathlib.Path.glob = fail(pathlib.Path.glob, lambda path: path.name == "ca")
"""


def test_a_card_that_fails_under_a_module_is_a_sentence(module, cas, tmp_path, monkeypatch):
    (tmp_path / "bad").mkdir()
    # Python takes one of this name, and there may be another, which this would hide
    others = [Path(place, "sitecustomize.py") for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    texts = [other.read_text() for other in others if other.exists()]
    (tmp_path / "bad/sitecustomize.py").write_text("\n".join([*texts, BAD_CARD]))
    for call, words in {
        "fsync": ("is written, but the directory", "Input/output error", "dmesg"),
        "glob": (f"this cannot go on: {tmp_path / 'state/ca'}: Input/output error", "dmesg"),
    }.items():
        with monkeypatch.context() as bad:
            bad.setenv("PYTHONPATH", str(tmp_path / "bad"))
            bad.setenv("BAD_CARD", call)
            failed, printed = module("ca", **cas, gateways=["gateway"])
        assert all(word in failed["msg"] for word in words), failed
        assert "Traceback" not in printed
    assert module("ca", **cas, gateways=["gateway"])[0]["changed"]
    assert not module("ca", **cas, gateways=["gateway"])[0]["changed"]
