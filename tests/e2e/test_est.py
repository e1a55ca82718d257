"""Clients that are not ours enrol and renew over EST, with what docs/est.md says typed as it stands."""

import base64
import json
import re
import subprocess

import pytest
from cryptography import x509

from tests.support.gateway_site import make_csr, new_key
from virtual.purpose import ROOT

BATCH = "prefix: meter\nchip: linux\ndevices:\n  - count: 4\n"
WAITING = "prefix: guard\nchip: linux\napproval: manual\ndevices:\n  - count: 1\n"
GUARD = "guard-000001"
CURL, STRONGSWAN, SPARE, REFUSED = (f"meter-{number:06}" for number in range(1, 5))
# openssl says whether what cacerts answers is enough for the chain of both certificates
CHAIN = """curl --silent --fail --cacert server-ca.crt https://gateway.local/.well-known/est/cacerts > chain.b64
base64 -d chain.b64 | openssl pkcs7 -inform DER -print_certs -out chain.pem
"""
VERIFY = "openssl verify -x509_strict -purpose sslclient -CAfile chain.pem cert.pem renewed.pem"


def run(site, *arguments: str) -> None:
    done = site.fleetmint(*arguments, "--state", str(site.state))
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def place(site):
    """A directory with the tokens of four devices and whom to trust, as somebody carries them to a machine."""
    directory = site.scratch / "meters"
    directory.mkdir()
    (directory / "meters.yml").write_text(BATCH)
    run(site, "batch", "new", str(directory / "meters.yml"))
    run(site, "batch", "register", "meters")
    for device in (CURL, STRONGSWAN, SPARE, REFUSED):
        run(site, "batch", "export", "meters", "--token", device, "--out", str(directory / f"{device}.token"))
    (directory / "server-ca.crt").write_bytes(site.server_ca.read_bytes())
    (directory / "root-ca.crt").write_bytes(site.root.read_bytes())
    return directory


def token_of(place, device) -> str:
    return json.loads((place / f"{device}.token").read_text())["token"]


def shell(site, place, text: str) -> str:
    """Run lines of the document; the names in it stand for the ones here."""
    for name, here in (("gateway.local", f"localhost:{site.ports['https']}"), ("workshop", "demo")):
        text = text.replace(name, here)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", text], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, text + done.stderr
    return done.stdout


def section(title: str) -> list[str]:
    """The shell blocks of a section of the document."""
    text = (ROOT / "docs/est.md").read_text()
    part = re.search(rf"^## {title}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    blocks = re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    typed = re.findall(r"^\$ (jq .*)$", part, re.MULTILINE)
    return blocks or typed


def read(path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(("title", "device"), [("With curl and openssl", CURL), ("With strongSwan's pki", STRONGSWAN)])
def test_the_commands_of_the_document_enrol_and_renew(site, place, title, device):
    for line in section("From the bench"):
        shell(site, place, line)
    enrol, renew = section(title)
    assert device in (enrol + renew)
    shell(site, place, enrol)
    shell(site, place, renew)
    first, second = read(place / "cert.pem"), read(place / "renewed.pem")
    assert first.serial_number != second.serial_number
    assert f"CN={device},OU=devices,O=demo" == first.subject.rfc4514_string() == second.subject.rfc4514_string()
    shell(site, place, CHAIN + VERIFY)
    assert site.devices()[device]["status"] == "active"


def test_what_cacerts_answers_leads_to_the_gateway_too(site, place):
    said = shell(site, place, "pki --estca --url https://gateway.local --cacert root-ca.crt --caout anchor.pem 2>&1")
    assert "Root CA cert is trusted" in said
    shell(site, place, CHAIN)
    # an EST client trusts it from now on, instead of what it was given (RFC 7030, 3.6.1)
    shell(site, place, "curl --silent --fail --cacert chain.pem https://gateway.local/.well-known/est/csrattrs")


def test_a_request_that_waits_for_an_operator_is_known_again_when_it_comes_back(site, place):
    """strongSwan would ask by itself each minute; here it is asked to give up first."""
    (place / "guards.yml").write_text(WAITING)
    run(site, "batch", "new", str(place / "guards.yml"))
    run(site, "batch", "register", "guards")
    run(site, "batch", "export", "guards", "--token", GUARD, "--out", str(place / f"{GUARD}.token"))
    enrol = (
        "pki --gen --type ecdsa --size 256 --outform pem > guard.key\n"
        f'pki --req --type ecdsa --in guard.key --dn "CN={GUARD}" > guard.der\n',
        f"timeout 5 pki --est --userpass {GUARD}:{token_of(place, GUARD)} --url https://gateway.local"
        " --cacert root-ca.crt --in guard.der --outform pem > guard.pem",
    )
    said = shell(site, place, f"{enrol[0]}({enrol[1]}) 2>&1 || true")
    assert "EST request pending, polling indefinitely every 60 seconds" in said
    decision = json.dumps({"device": GUARD, "decision": "approve"})
    sent = ("--header", "Content-Type: application/json", "--data-binary", decision)
    status, answer = site.curl("operators", "/v1/approvals", site.operator("bench@demo"), *sent)
    assert (status, len(json.loads(answer)["keys"])) == (200, 1)
    shell(site, place, enrol[1])
    assert read(place / "guard.pem").subject.rfc4514_string() == f"CN={GUARD},OU=devices,O=demo"


def test_without_credentials_curl_is_challenged_and_comes_back_with_them(site, place):
    token = token_of(place, SPARE)
    (place / "spare.b64").write_bytes(base64.b64encode(make_csr(new_key())))
    url = f"https://localhost:{site.ports['https']}/.well-known/est/simpleenroll"
    # with --anyauth it asks first, and then picks what the 401 offers; chunked, since it may not know the length
    command = ["curl", "--silent", "--verbose", "--cacert", site.server_ca, "--anyauth", "--user", f"{SPARE}:{token}",
               "--header", "Transfer-Encoding: chunked", "--data-binary", f"@{place / 'spare.b64'}", url]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    heads = re.findall(r"^< HTTP/1.1 (\d+)|^< (WWW-Authenticate: .*)$", done.stderr, re.MULTILINE | re.IGNORECASE)
    assert [status or line.strip() for status, line in heads] == [
        "401",
        'WWW-Authenticate: Basic realm="enrolment"',
        "200",
    ]


def test_a_refusal_is_a_line_of_text_and_no_secret_is_in_the_journal(site, place):
    wrong = base64.b64encode(f"{REFUSED}:{'0' * 32}".encode()).decode()
    status, said = site.curl(
        "https", "/.well-known/est/simpleenroll", None, "--header", f"Authorization: Basic {wrong}",
        "--data-binary", base64.b64encode(make_csr(new_key())).decode(),
    )  # fmt: skip
    assert (status, said) == (403, "refused\n")
    journal = site.on_the_pi("journalctl --no-pager --output=cat --since=-10min")
    assert b"/.well-known/est/simpleenroll" in journal
    for device in (CURL, STRONGSWAN, SPARE):
        token = token_of(place, device)
        for secret in (token, base64.b64encode(f"{device}:{token}".encode()).decode()):
            assert secret.encode() not in journal
    assert wrong.encode() not in journal


def test_renewals_over_est_are_limited_by_certificate(site, place):
    client = ("--cert", str(place / "renewed.pem"), "--key", str(place / "key.pem"))
    answers = [
        site.curl("https", "/.well-known/est/simplereenroll", None, *client, "--data-binary", "!")[0] for _ in range(14)
    ]
    assert answers[0] == 400
    assert answers[-1] == 503
    # and nobody else
    assert site.curl("https", "/.well-known/est/simpleenroll", None, "--data-binary", "!")[0] == 401
