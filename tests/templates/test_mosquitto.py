"""The broker's configuration, listener by listener."""

import re

import pytest

CONF = "etc/mosquitto/mosquitto.conf.j2"


def listeners(text: str) -> dict[str, dict[str, str]]:
    """Return the settings of each listener by its port, and the general ones under ""."""
    found, at = {"": {}}, ""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "listener":
            at = value
            found[at] = {}
        elif key and not key.startswith("#"):
            assert key == "log_type" or key not in found[at], f"{key} twice"
            found[at][key] = value
    return found


@pytest.fixture
def found(mosquitto):
    return listeners(mosquitto.render(CONF))


def test_each_listener_has_rules_of_its_own(found):
    assert list(found) == ["", "8883", "8884", "0 /run/mosquitto/disconnect.sock", "0 /run/mosquitto/watch.sock"]
    assert found[""]["per_listener_settings"] == "true"
    rules = {name: settings["acl_file"].rpartition("/")[2] for name, settings in found.items() if name}
    assert list(rules.values()) == ["devices.acl", "operators.acl", "disconnect.acl", "watch.acl"]


@pytest.mark.parametrize(("port", "listener"), [("8883", "devices"), ("8884", "operators")])
def test_a_network_listener_lets_in_only_certificates_of_its_own_cas(found, port, listener):
    settings = found[port]
    assert settings["require_certificate"] == "true"
    assert settings["allow_anonymous"] == "false"
    assert settings["use_identity_as_username"] == "true"
    assert settings["cafile"] == f"/etc/mosquitto/fleetmint/{listener}.ca.pem"
    assert settings["crlfile"] == f"/etc/mosquitto/fleetmint/{listener}.crl.pem"


def test_devices_have_their_name_as_client_id_and_operators_choose_theirs(found):
    assert found["8883"]["use_username_as_clientid"] == "true"
    assert "use_username_as_clientid" not in found["8884"]


def test_old_versions_of_tls_are_off(mosquitto, found):
    assert (found["8883"]["tls_version"], found["8884"]["tls_version"]) == ("tlsv1.2", "tlsv1.3")
    modern = listeners(mosquitto.render(CONF, mosquitto_tls_profile="modern"))
    assert modern["8883"]["tls_version"] == "tlsv1.3"


def test_a_class_of_devices_has_the_same_listener_at_a_port_of_its_own(mosquitto):
    classes = {"modern": {"https_port": 1, "mqtt_port": 9883}, "tls12": {"mqtt_port": 1, "listen_mqtt_port": 7883}}
    found = listeners(mosquitto.render(CONF, mosquitto_tls_classes=classes))
    assert list(found)[1:5] == ["8883", "9883", "7883", "8884"]
    for port, version in (("9883", "tlsv1.3"), ("7883", "tlsv1.2")):
        assert found[port] == found["8883"] | {"tls_version": version}
    watch = mosquitto.render(WATCH, mosquitto_tls_classes=classes)
    assert "--devices-port 8883 --devices-port 9883 --devices-port 7883 --operators-port 8884" in watch
    # each listener may have as many
    files = [int(re.search(r"LimitNOFILE=(\d+)", mosquitto.render(DROP_IN, **more))[1]) for more in (
        {"mosquitto_max_devices": 8000}, {"mosquitto_max_devices": 8000, "mosquitto_tls_classes": classes}
    )]  # fmt: skip
    assert files[1] - files[0] == 2 * 9000


def test_a_device_has_rules_for_its_own_topics_and_no_operators_rules(mosquitto):
    text = mosquitto.render("etc/mosquitto/fleetmint/devices.acl.j2")
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert rules == ["pattern write devices/%u/out/#", "pattern read devices/%u/in/#"]


def test_the_trial_touches_neither_ports_nor_database_of_the_running_broker(mosquitto, tmp_path):
    import subprocess

    script = mosquitto.render("usr/local/lib/fleetmint/check-mosquitto.j2")
    (tmp_path / "conf").write_text(mosquitto.render(CONF))
    for name, body in {
        "mosquitto": 'cat "$2" >"$CAUGHT"; sleep 9',
        "chown": ":",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "check").write_text(script.replace("/usr/sbin/mosquitto", str(tmp_path / "mosquitto")))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CAUGHT": str(tmp_path / "caught")}
    done = subprocess.run(
        ["sh", tmp_path / "check", tmp_path / "conf"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    caught = listeners((tmp_path / "caught").read_text())
    assert len(caught) == 5
    assert all(name.startswith("0 /") and not name.startswith("0 /run") for name in caught if name)
    assert caught[""]["persistence"] == "false"


@pytest.mark.parametrize(
    ("profile", "kind", "key"), [("server", "ECDSA", "mosquitto"), ("server-rsa", "RSA", "mosquitto-rsa")]
)
def test_ciphers_and_key_fit_the_certificate(mosquitto, profile, kind, key):
    found = listeners(mosquitto.render(CONF, mosquitto_certificate_profile=profile))
    ciphers = found["8883"]["ciphers"].split(":")
    assert len(ciphers) == 3
    assert all(cipher.startswith(f"ECDHE-{kind}-") for cipher in ciphers)
    for port in ("8883", "8884"):
        assert found[port]["keyfile"] == f"/etc/mosquitto/fleetmint/private/{key}.key"


# --- what clients may take ---

DROP_IN = "etc/systemd/system/mosquitto.service.d/fleetmint.conf.j2"
WATCH = "etc/systemd/system/fleetmint-broker-watch.service.j2"


def test_memory_is_bounded_for_each_client_and_for_all(found):
    general = {key: int(value) for key, value in found[""].items() if value.isdigit()}
    assert 0 < general["max_queued_bytes"] <= general["max_inflight_bytes"] < general["memory_limit"]
    assert general["max_packet_size"] <= general["max_queued_bytes"]
    # one burst of an operator's subscription to a fleet is not cut short at the hundredth device
    assert general["max_queued_messages"] >= 1000


@pytest.mark.parametrize("devices", [10, 2000, 20_000])
def test_devices_cannot_use_up_the_descriptors_of_operators(mosquitto, devices):
    found = listeners(mosquitto.render(CONF, mosquitto_max_devices=devices))
    connections = sum(int(settings["max_connections"]) for settings in found.values() if "max_connections" in settings)
    (limit,) = re.findall(
        r"^LimitNOFILE=(\d+)$", mosquitto.render(DROP_IN, mosquitto_max_devices=devices), re.MULTILINE
    )
    assert int(limit) >= connections + 200


def test_those_who_have_not_shown_who_they_are_do_not_fill_a_listener(found):
    assert (found["8883"]["max_connections"], found["8884"]["max_connections"]) == ("3000", "250")


def test_the_watch_hears_devices_removes_what_they_left_and_may_do_nothing_else(mosquitto):
    text = mosquitto.render("etc/mosquitto/fleetmint/watch.acl.j2")
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert rules == ["topic readwrite devices/+/out/#", "topic read $SYS/broker/#", "topic write fleet/alarms"]


def test_the_watch_is_started_with_options_that_it_knows(mosquitto):
    from click.testing import CliRunner

    from fleetmint.cli.gateway.watch import watch_broker

    text = mosquitto.render(WATCH).replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=/opt/fleetmint/bin/fleetmint gateway watch-broker (.*)$", text, re.MULTILINE)
    context = watch_broker.make_context("watch-broker", command.split())
    assert context.params["retained"] == 32
    assert context.params["devices_ports"] == (8883,)
    assert CliRunner().invoke(watch_broker, ["--help"]).exit_code == 0


def test_the_watch_needs_no_capability_and_the_namespace_of_the_broker(mosquitto):
    watch, broker = mosquitto.render(WATCH), mosquitto.render(DROP_IN)
    assert "User=mosquitto" in watch
    assert "CapabilityBoundingSet=\n" in watch
    assert "PrivateUsers=" not in watch
    assert "PrivateUsers=" not in broker


def test_a_broker_that_ends_for_want_of_memory_comes_back_however_often(mosquitto):
    text = mosquitto.render(DROP_IN)
    assert "StartLimitIntervalSec=0" in text.partition("[Service]")[0]
    assert "Restart=on-failure" in text.partition("[Service]")[2]
