"""What is written for Prometheus is about what the service tells. The judge is promtool."""

import json
import re
import subprocess
from pathlib import Path

import yaml

from tests.support import prometheus
from tests.support.prometheus import EXAMPLES, RULES

ROOT = Path(__file__).parents[2]
TOLD = set(re.findall(r"\"((?:fleetmint|process)_[a-z_]+)\"", (ROOT / "src/fleetmint/service/metrics.py").read_text()))


def test_the_page_lists_every_metric_and_no_other():
    page = (ROOT / "docs/monitoring.md").read_text()
    rows = [line.partition(" | ")[0] for line in page.splitlines() if line.startswith(("| `fleetmint_", "| `process_"))]
    assert len(TOLD) > 15
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == TOLD


def test_the_alert_rules_are_in_order_and_ask_for_what_there_is():
    assert "SUCCESS" in prometheus.check_rules(RULES)
    asked = set(re.findall(r"\b(?:fleetmint|process)_[a-z_]+", " ".join(expressions())))
    assert asked
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= TOLD


def expressions() -> list[str]:
    return [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_the_configuration_is_one(tmp_path):
    text = (EXAMPLES / "prometheus.yml").read_text()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/fleetmint", str(tmp_path)))
    (tmp_path / RULES.name).write_text(RULES.read_text())
    done = subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


CASES = {
    "FleetmintCannotEnrol": ('fleetmint_healthy{check="clock"}', "1x5 0x20"),
    "FleetmintEnds": ('fleetmint_expiry_timestamp_seconds{kind="crl",name="a"}', "172800x30"),
    "FleetmintDeviceEnds": ('fleetmint_device_expiry_timestamp_seconds{device="a"}', "172800x90"),
    "FleetmintLedgerRolledBack": ("fleetmint_ledger_events_total", "100x20 90x40"),
    "FleetmintGuessing": ('fleetmint_refusals_total{code="refused"}', "0+120x60"),
    "FleetmintServiceFails": ('fleetmint_refusals_total{code="internal_error"}', "0x10 1x40"),
    "FleetmintSlow": ('fleetmint_request_duration_seconds_bucket{route="/",le="5"}', "0+60x60"),
    "FleetmintDown": ('up{job="fleetmint"}', "1x5 0x20"),
}


def test_each_rule_raises_its_alarm_and_none_while_all_is_well(tmp_path):
    assert set(CASES) == {
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    well = [
        series('fleetmint_healthy{check="clock"}', "1x90"),
        series('fleetmint_expiry_timestamp_seconds{kind="ca",name="a"}', "31536000x90"),
        series('fleetmint_refusals_total{code="refused"}', "0+6x90"),
        series("fleetmint_ledger_events_total", "0+10x90"),
        series('fleetmint_request_duration_seconds_bucket{route="/",le="0.1"}', "0+60x90"),
        series('fleetmint_request_duration_seconds_bucket{route="/",le="+Inf"}', "0+60x90"),
        series('up{job="fleetmint"}', "1x90"),
    ]
    tests = [{"interval": "1m", "input_series": well, "promql_expr_test": [NOTHING]}]
    for name, (metric, values) in CASES.items():
        more = [series(metric.replace('"5"', '"+Inf"'), values)] if "_bucket" in metric else []
        tests.append(
            {
                "interval": "1m",
                "input_series": [series(metric, values), *more],
                "promql_expr_test": [fires(name, "80m" if "Device" in name else "22m")],
            }
        )
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def series(name, values):
    return {"series": name, "values": values}


NOTHING = {"expr": "ALERTS", "eval_time": "80m", "exp_samples": []}


def fires(name, when):
    expression = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {"expr": expression, "eval_time": when, "exp_samples": [{"labels": "{}", "value": 1}]}
