"""What is seen of a gateway from outside: by anybody, by Prometheus with its certificate, and on the gateway itself."""

import json
import shutil
import subprocess
import time
import urllib.request

import pytest
import yaml

from tests.e2e.site import wait_for
from tests.support.prometheus import EXAMPLES, RULES, complaints, samples

PROMETHEUS = "prometheus@demo"


def test_anybody_hears_ok_at_both_listeners_and_nothing_more(site):
    assert site.curl("https", "/healthz") == (200, "ok\n")
    assert site.curl("operators", "/healthz") == (200, "ok\n")


def test_metrics_are_for_operators_and_promtool_finds_them_in_order(site):
    assert site.curl("operators", "/metrics")[0] == 401
    assert site.curl("https", "/metrics")[0] == 404
    status, text = site.curl("operators", "/metrics", site.operator())
    assert status == 200
    assert complaints(text) == ""
    found = samples(text)
    # how many there are since the service started, whenever that was
    assert found['fleetmint_certificates_issued_total{kind="enrol"}'] >= 0
    assert found['fleetmint_devices{status="active"}'] >= 1
    assert {name.split('"')[1] for name in found if name.startswith("fleetmint_expiry_")} == {
        "anchor",
        "ca",
        "crl",
        "server",
    }
    assert found["fleetmint_unreadable_files"] == 0
    workers = [name for name in found if name.startswith("process_resident_memory_bytes")]
    assert any("bodies" in name for name in workers)
    assert len(workers) >= 2


@pytest.fixture
def prometheus(site, tmp_path):
    """Prometheus, as docs/monitoring.md sets it up; give what asks it."""
    name = site.fleetmint("operator", "add", PROMETHEUS, "--profile", "dashboard", "--state", str(site.state))
    assert name.returncode == 0, name.stderr
    files = tmp_path / "fleetmint"
    done = site.fleetmint("operator", "export", PROMETHEUS, "--to", str(files), "--state", str(site.state))
    assert done.returncode == 0, done.stderr
    wanted = (EXAMPLES / "prometheus.yml").read_text().replace("/etc/prometheus/fleetmint", str(files))
    config = yaml.safe_load(wanted.replace("gateway.local:8443", f"localhost:{site.ports['operators']}"))
    config["global"] = {"scrape_interval": "1s"}
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    shutil.copy(RULES, tmp_path)
    command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    address = "127.0.0.1:19464"
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log) as running:

        def ask(what):
            with urllib.request.urlopen(f"http://{address}/api/v1/{what}", timeout=5) as answer:
                return json.load(answer)["data"]

        yield ask
        running.terminate()


def test_prometheus_scrapes_it_with_a_certificate_of_its_own(prometheus):
    def up():
        try:
            return [each["health"] for each in prometheus("targets")["activeTargets"]] == ["up"]
        except OSError:
            return False

    wait_for(up, 30)
    wait_for(lambda: prometheus("query?query=fleetmint_healthy")["result"], 10)
    found = {
        each["metric"]["check"]: each["value"][1] for each in prometheus("query?query=fleetmint_healthy")["result"]
    }
    assert found == dict.fromkeys(("ledger", "ca", "clock", "disk"), "1")


def test_on_the_gateway_itself_both_are_had_without_a_certificate_and_nothing_else(site):
    ask = (
        "import sys, urllib.request as r, urllib.error as e\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(r.urlopen('http://127.0.0.1:9464' + path).read().decode())\n"
        "    except e.HTTPError as error: print(error.code)"
    )
    said = site.on_the_pi(f'python3 -c "{ask}" /healthz / /v1/devices /metrics').decode()
    _, _, told = said.replace("\r", "").partition(">>\n")
    assert told.startswith("ok\n\n404\n404\n# HELP fleetmint_")


def test_the_unit_is_started_when_the_service_answers(site):
    """The first request after a restart waits for nothing."""
    site.on_the_pi("systemctl restart fleetmint.service")
    begun = time.monotonic()
    assert site.curl("https", "/healthz") == (200, "ok\n")
    assert time.monotonic() - begun < 1
