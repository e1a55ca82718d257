"""Factory and gateway: three ways to meet, at the real listeners, and a device that gets another key."""

import base64
import json
import re
import shlex

from tests.e2e.site import wait_for


def test_both_sides_agree_after_the_play_and_saying_it_again_changes_nothing(site):
    state = ("--state", str(site.state))
    # beside the batch of the play there are those of other tests
    said = site.fleetmint("audit", "--ask-gateway", *state).stdout
    assert re.fullmatch(r"\d+ identities checked: nothing found\n", said), said
    said = site.on_the_pi("runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway audit").decode()
    assert re.search(r"\d+ devices checked: nothing found", said), said
    for command in ("register", "handover"):
        done = site.fleetmint("batch", command, "first", "--json", *state)
        assert json.loads(done.stdout)["changed"] is False, done.stderr
    burned = {row["result"] for name, row in site.devices().items() if name.startswith("lamp-")}
    assert burned == {"burned"}


def test_nobody_but_the_station_tells_the_gateway(site):
    document = site.state / "batches/first/registration.json"
    arguments = ("--header", "Content-Type: application/json", "--data-binary", f"@{document}")
    for listener, client, status in [
        ("operators", site.operator("bench@demo"), 200),
        ("operators", site.operator("alice@demo"), 403),
        ("operators", None, 401),
        ("operators", site.stolen("lamp-000001"), 401),
        ("https", site.stolen("lamp-000001"), 404),
        ("https", site.operator("bench@demo"), 401),
    ]:
        assert site.curl(listener, "/v1/registrations", client, *arguments)[0] == status, (listener, client)


def test_the_printed_line_brings_a_signed_file_in_from_a_home_directory_and_from_the_station_only(site, tmp_path):
    for name, words in (
        ("bench@demo", b"0 updated, 0 revoked, 3 unchanged"),
        ("alice@demo", b"alice@demo is no station of this gateway"),
    ):
        file = tmp_path / name
        done = site.fleetmint("batch", "handover", "first", "--state", str(site.state), "--as", name, "--to", str(file))
        assert done.returncode == 0, done.stderr
        (line,) = re.findall(r"`(sudo .*)`", done.stdout)
        bring = f"umask 077; cd; echo {base64.b64encode(file.read_bytes()).decode()} | base64 -d > {name}; {line}"
        said = site.on_the_pi(f"runuser -u pi -- env HOME=/home/pi sh -c {shlex.quote(bring)} 2>&1 || true")
        assert words in said, said


def test_a_device_that_changes_its_owner_makes_itself_a_new_key(site):
    device = "lamp-000002"
    before, board = site.devices()[device], site.board_of(device)
    old = site.stolen(device)
    port = site.state / f"boards/{board}/tty"
    done = site.fleetmint(
        "device", "transfer", device, "--owner", "Bob", "--port", str(port), "--state", str(site.state)
    )
    assert done.returncode == 0, done.stderr
    wait_for(lambda: site.devices()[device]["serial"] not in (None, before["serial"]), 120)
    wait_for(lambda: "token" not in site.nvs(board), 60)
    assert site.curl("https", "/", old)[0] in (401, 403)
    assert site.curl("https", "/", site.stolen(device))[0] == 200
    assert site.nvs(board)["wifi_ssid"] == b"virtual"
    wait_for(lambda: device in {reading["device"] for reading in site.readings(count=3, seconds=10)}, 90)
