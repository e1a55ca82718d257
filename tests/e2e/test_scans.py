"""What sslyze says of the listeners, against Mozilla's profiles."""

import re
import subprocess

import pytest

from virtual.purpose import ROOT

SCANNER = ROOT / ".venv/scanners/bin/python"
# What each listener is held to, and what of that it does not keep, with the reason.
LIFE = (
    "a gateway that nobody visits for two years must not lock its devices out, and devices see no list of the revoked"
)
CURVES = "Mosquitto has no setting for curves, and X448 and P-521 are none that anybody has to fear"
EXPECTED = {
    "https": ("intermediate", {"maximum_certificate_lifespan": LIFE}),
    "mqtt": ("intermediate", {"maximum_certificate_lifespan": LIFE, "tls_curves": CURVES}),
    "https_modern": ("modern", {"maximum_certificate_lifespan": LIFE}),
    "mqtt_modern": ("modern", {"maximum_certificate_lifespan": LIFE, "tls_curves": CURVES}),
    "operators": ("modern", {"maximum_certificate_lifespan": LIFE}),
    "mqtt_operators": ("modern", {"maximum_certificate_lifespan": LIFE, "tls_curves": CURVES}),
}


@pytest.fixture(scope="module")
def said(site):
    """What sslyze printed of each listener; they are asked side by side, since it mostly waits."""
    assert SCANNER.exists(), "scripts/setup test installs it"
    running = {}
    for listener, (profile, _) in EXPECTED.items():
        # below TLS 1.3 a handshake ends without one; above it sslyze cannot show one
        client = site.stolen("lamp-000001").options() if profile == "intermediate" else []
        command = [SCANNER, "-m", "sslyze", "--mozilla_config", profile, "--certinfo_ca_file", site.root]
        command += [*client, f"localhost:{site.ports[listener]}"]
        running[listener] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return {listener: process.communicate(timeout=120)[0] for listener, process in running.items()}


@pytest.mark.parametrize("listener", EXPECTED)
def test_a_listener_is_what_mozilla_recommends_but_for_what_is_named(said, listener):
    profile, excused = EXPECTED[listener]
    text = said[listener]
    _, checked, verdict = text.partition(f'Checking results against Mozilla\'s "{profile}" configuration')
    assert checked, text
    assert "FAILED - Not compliant" in verdict, verdict
    found = dict(re.findall(r"^ +\* (\w+): (.+)$", verdict, re.MULTILINE))
    assert set(found) == set(excused), verdict
    # of the curves these two and no others
    assert set(re.findall(r"'(\w+)'", found.get("tls_curves", "'X448', 'secp521r1'"))) == {"X448", "secp521r1"}


@pytest.mark.parametrize("listener", EXPECTED)
def test_no_known_attack_finds_anything(said, listener):
    text = said[listener]
    for line in ("not vulnerable to OpenSSL CCS", "Not vulnerable to Heartbleed", "ROBOT Attack:"):
        assert line.lower() in text.lower(), text
    assert re.findall(r"^.*\bVULNERABLE\b.*$", text, re.MULTILINE) == []
