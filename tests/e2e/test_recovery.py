"""A gateway's Pi dies, and a bare one goes on from its backup, as docs/moving.md says; nobody touches the boards.

What was revoked after the backup is known to the controller alone. The tests are the steps of one drill, in this
order.
"""

import base64
import json
import secrets
import shutil
import subprocess

import pytest
from cryptography import x509

from fleetmint.x509 import keys
from tests.e2e.site import PURPOSE, changed, registration, wait_for
from virtual import demo
from virtual.pi import container

GATEWAY = "runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway"
# Known to the backup: one that enrolled and is revoked later, one whose token is unused; and one that comes after it.
REVOKED, WAITING, LATE = "drill-revoked", "drill-waiting", "drill-late"


def on_the_pi(command: str, stdin: str | None = None) -> str:
    return container.of(PURPOSE.name).execute("sh", "-euc", command, stdin=stdin)


def register(device: str) -> str:
    token = secrets.token_hex(16)
    on_the_pi(f"{GATEWAY} import", stdin=registration(device, token))
    return token


def enrolled(site, device: str):
    key = keys.new_key()
    status, body = site.enrol(device, register(device), key)
    assert status == 200, body
    return site.client(device, key, x509.load_der_x509_certificate(base64.b64decode(json.loads(body)["certificate"])))


def device_list(site) -> x509.CertificateRevocationList:
    done = subprocess.run(
        ["curl", "-sf", f"http://localhost:{site.ports['http']}/device.crl"], capture_output=True, check=True
    )
    return x509.load_der_x509_crl(done.stdout)


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@pytest.fixture(scope="module")
def drill(site):
    """The site whose Pi was lost: a backup, what happened after it, and a bare Pi under the old name."""
    revoked, token = enrolled(site, REVOKED), register(WAITING)
    assert changed(site.playbook("gateway_backup.yml")) > 0
    late = enrolled(site, LATE)
    assert site.curl("https", "/", revoked)[0] == site.curl("https", "/", late)[0] == 200
    ended = site.fleetmint("revoke", REVOKED, "--state", str(site.state))
    assert ended.returncode == 0, ended.stderr
    before = device_list(site)

    container.of(PURPOSE.name).remove()
    demo.run(demo.pi("up", PURPOSE), PURPOSE)
    assert on_the_pi("ls /etc/fleetmint /opt/fleetmint /etc/nginx 2>/dev/null || true") == ""
    return {"revoked": revoked, "token": token, "late": late, "list": before}


def restored(site, backup, *arguments: str):
    return site.playbook("gateway.yml", "--extra-vars", f"signing_service_restore={backup}", *arguments)


def test_a_backup_that_is_damaged_is_refused_with_a_sentence_and_leaves_no_ledger(site, drill, tmp_path):
    damaged = tmp_path / "cut.tar"
    damaged.write_bytes((site.state / "backups/gateway.tar").read_bytes()[:100_000])
    done = restored(site, damaged)
    assert done.returncode != 0
    assert "this is no backup of a gateway, or it is damaged: bring another one" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout
    assert on_the_pi("ls /var/lib/fleetmint/ledger.sqlite* 2>/dev/null || true") == ""


def test_a_bare_pi_goes_on_from_the_backup_and_the_same_line_again_changes_nothing(site, drill):
    # a copy, since the next backup takes its place
    backup = shutil.copy(site.state / "backups/gateway.tar", site.scratch / "drill.tar")
    assert changed(restored(site, backup)) > 0
    assert changed(restored(site, backup)) == 0


def test_what_was_revoked_after_the_backup_stays_revoked_and_the_number_of_the_list_rises(site, drill):
    revoked = x509.load_pem_x509_certificate(drill["revoked"].certificate.read_bytes())
    crl = device_list(site)
    assert crl.get_revoked_certificate_by_serial_number(revoked.serial_number) is not None
    assert {each.serial_number for each in drill["list"]} <= {each.serial_number for each in crl}
    assert number(crl) > number(drill["list"])
    assert site.curl("https", "/", drill["revoked"])[0] == 401
    assert site.publish("mqtt", drill["revoked"], f"devices/{REVOKED}/out/x", "x").returncode != 0
    assert site.devices()[REVOKED]["status"] == "revoked"


def test_boards_that_nobody_touched_are_heard_again(site, drill):
    boards = set(site.devices_of_boards())
    assert boards
    wait_for(lambda: boards <= {each["device"] for each in site.readings(4, 10)}, 300)


def test_tokens_of_then_are_void(site, drill):
    assert site.enrol(WAITING, drill["token"], keys.new_key())[0] == 403


def test_the_audits_say_that_it_was_restored_and_nothing_else_until_a_person_has_acknowledged_it(site, drill):
    assert on_the_pi(f"{GATEWAY} audit").endswith("nothing found\n")
    state = ("--state", str(site.state))
    said = site.fleetmint("audit", "--ask-gateway", *state)
    assert said.returncode == 1
    assert "its ledger was restored on" in said.stdout
    done = site.fleetmint("audit", "--acknowledge", "gateway", "--reason", "drill: the Pi died", *state)
    assert done.returncode == 0, done.stderr
    assert "was restored" not in site.fleetmint("audit", "--ask-gateway", *state).stdout


def test_another_controller_goes_on_from_the_backup_of_the_first(site, drill):
    secret, backup, there = (site.scratch / name for name in ("secret", "controller.age", "controller/virtual"))
    secret.mkdir()
    (secret / "backup").write_text(secrets.token_hex(16))
    (secret / "backup").chmod(0o600)
    opened_by = ("--passphrases", f"file:{secret}")
    saved = site.fleetmint("site", "backup", str(backup), *opened_by, "--state", str(site.state))
    assert saved.returncode == 0, saved.stderr
    restored = site.fleetmint("site", "restore", str(backup), str(there), *opened_by)
    assert restored.returncode == 0, restored.stderr

    done = site.playbook("gateway.yml", "--inventory", str(there))
    assert changed(done) == 0, done.stdout
    assert str(there) in done.stdout
    client = enrolled(site, "drill-controller")
    assert site.curl("https", "/", client)[0] == 200
    revoked = site.fleetmint("revoke", "drill-controller", "--state", str(there / "state" / PURPOSE.name))
    assert revoked.returncode == 0, revoked.stderr
    assert site.curl("https", "/", client)[0] == 401
