"""The broker shows a renewed certificate after the reload that the role asks for, and drops nobody."""

import getpass
import shutil
import signal
import socket
import subprocess
import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.leaves import plan_host_certificate
from fleetmint.passphrases import open_source
from fleetmint.x509 import keys

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here: scripts/setup test installs it")

CONF = """
user {user}
listener {port} 127.0.0.1
certfile {place}/mosquitto.crt
keyfile {place}/mosquitto.key
allow_anonymous true
"""


def wait_until(found, what):
    for _ in range(200):
        if found():
            return
        time.sleep(0.05)
    raise AssertionError(what())


@pytest.fixture
def sign(tmp_path, now):
    """Sign the broker's certificate as a run of the play does, `days` from now; return the plan, applied."""
    site = Hierarchy(tmp_path / "ca", "test", open_source(f"file:{tmp_path / 'passphrases'}"))
    plan_hierarchy(site, ["gateway"], now - timedelta(days=60)).apply()
    key = keys.new_key()
    (tmp_path / "mosquitto.key").write_bytes(keys.plain_pem(key))
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    (tmp_path / "mosquitto.csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))

    def sign(days):
        at, path = now + timedelta(days=days), tmp_path / "mosquitto.crt"
        plan = plan_host_certificate(site, tmp_path / "mosquitto.csr", path, "gateway", ["localhost"], at)
        plan.apply()
        return plan

    return sign


def test_a_renewal_of_the_brokers_certificate_drops_no_live_session(sign, tmp_path, openssl):
    assert sign(-31).changed
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "conf").write_text(CONF.format(user=getpass.getuser(), port=port, place=tmp_path))
    log = tmp_path / "log"
    client = ["-h", "localhost", "-p", str(port), "--cafile", str(tmp_path / "ca/root/ca.crt"), "-t", "readings"]

    def shown():
        said = openssl("s_client", "-connect", f"localhost:{port}").stdout
        return openssl("x509", "-noout", "-serial", "-pubkey", data=said).stdout.split(b"\n", 1)

    with log.open("w") as lines:
        broker = subprocess.Popen([MOSQUITTO, "-v", "-c", tmp_path / "conf"], stdout=lines, stderr=lines)
    listener = None
    try:
        wait_until(lambda: "running" in log.read_text(), log.read_text)
        listener = subprocess.Popen(
            ["mosquitto_sub", *client, "-i", "lamp", "-C", "1", "-W", "30"], stdout=subprocess.PIPE, text=True
        )
        wait_until(lambda: "Sending SUBACK to lamp" in log.read_text(), log.read_text)
        serial, key = shown()

        assert sign(0).changed
        broker.send_signal(signal.SIGHUP)  # what the unit's reload is
        wait_until(lambda: shown()[0] != serial, log.read_text)
        assert shown()[1] == key
        subprocess.run(["mosquitto_pub", *client, "-m", "still here"], check=True)
        assert listener.communicate(timeout=30)[0] == "still here\n"
        assert log.read_text().count("as lamp") == 1, "it connected once, before the renewal"
        assert not sign(29).changed
    finally:
        broker.terminate()
        broker.wait()
        if listener is not None:
            listener.kill()
            listener.wait()
