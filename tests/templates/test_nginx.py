"""The web server's configuration, door by door."""

import re

import pytest

CONF = "etc/nginx/nginx.conf.j2"


def servers(text: str) -> dict[str, str]:
    """Return the text of each server block by its first port."""
    blocks = re.split(r"^    server \{$", text, flags=re.MULTILINE)[1:]
    return {re.search(r"listen \S+:(\d+)", block)[1]: block for block in blocks}


def one(block: str, directive: str) -> str:
    """Return the value of a directive that is there exactly once."""
    found = re.findall(rf"^\s*{directive} ([^;]+);", block, re.MULTILINE)
    assert len(found) == 1, (directive, found)
    return found[0]


@pytest.fixture
def found(nginx):
    return servers(nginx.render(CONF))


def test_there_are_three_servers_and_no_includes_of_others(nginx, found):
    assert list(found) == ["80", "443", "8443"]
    assert re.findall(r"include ([^;]+);", nginx.render(CONF)) == ["/etc/nginx/mime.types"]


@pytest.mark.parametrize(("port", "door"), [("443", "devices"), ("8443", "operators")])
def test_a_door_trusts_its_own_cas_and_has_their_crls(found, port, door):
    assert one(found[port], "ssl_client_certificate") == f"/etc/nginx/fleetmint/{door}.ca.pem"
    assert one(found[port], "ssl_crl") == f"/etc/nginx/fleetmint/{door}.crl.pem"
    assert one(found[port], "ssl_verify_client") == "optional"
    assert one(found[port], "ssl_verify_depth") == "1"
    assert one(found[port], "error_page 495 496") == "=401 @refused"


@pytest.mark.parametrize(("port", "door"), [("443", "devices"), ("8443", "operators")])
def test_every_request_carries_what_nginx_knows_of_the_client(found, port, door):
    block = found[port]
    assert one(block, "uwsgi_param FLEETMINT_DOOR") == door
    assert one(block, "uwsgi_param FLEETMINT_VERIFY") == "$ssl_client_verify"
    assert one(block, "uwsgi_param FLEETMINT_CERT") == "$ssl_client_escaped_cert"
    assert one(block, "uwsgi_param HTTP_TRANSFER_ENCODING") == '""'
    # a location with a parameter of its own would inherit none of these
    assert "uwsgi_param" not in block.partition("location")[2]


def test_devices_may_speak_tls_1_2_and_operators_may_not(nginx, found):
    assert one(found["443"], "ssl_protocols") == "TLSv1.2 TLSv1.3"
    assert one(found["8443"], "ssl_protocols") == "TLSv1.3"
    assert one(servers(nginx.render(CONF, nginx_tls_profile="modern"))["443"], "ssl_protocols") == "TLSv1.3"


def test_no_session_is_ever_resumed(nginx):
    text = nginx.render(CONF)
    assert one(text, "ssl_session_tickets") == "off"
    assert one(text, "ssl_session_cache") == "off"


def test_the_plain_server_redirects_to_where_the_device_door_is_seen_from_outside(nginx, found):
    assert "return 308 https://gateway.example.net:443$request_uri;" in found["80"]
    assert "uwsgi_pass" not in found["80"]


def test_only_enrolment_is_limited_in_rate(found):
    assert "limit_req zone=enrol" in found["443"].partition("location = /v1/enrol")[2]
    assert "limit_req" not in found["8443"]


def test_a_machine_without_ipv6_listens_on_ipv4_only(nginx):
    assert "[::]" not in nginx.render(CONF, nginx_addresses=["0.0.0.0"])  # noqa: S104


@pytest.mark.parametrize(("profile", "kind", "key"), [("server", "ECDSA", "nginx"), ("server-rsa", "RSA", "nginx-rsa")])
def test_ciphers_and_key_fit_the_certificate(nginx, profile, kind, key):
    text = nginx.render(CONF, nginx_certificate_profile=profile)
    ciphers = one(text, "ssl_ciphers").split(":")
    assert len(ciphers) == 3
    assert all(re.fullmatch(rf"ECDHE-{kind}-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)", cipher) for cipher in ciphers)
    for block in (servers(text)["443"], servers(text)["8443"]):
        assert one(block, "ssl_certificate_key") == f"/etc/nginx/fleetmint/{key}.key"
