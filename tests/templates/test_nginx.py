"""The web server's configuration, listener by listener."""

import re

import pytest

from tests.templates.conftest import Role

CONF = "etc/nginx/nginx.conf.j2"
PAGE = "var/www/fleetmint/start.html.j2"


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


@pytest.mark.parametrize(("port", "listener"), [("443", "devices"), ("8443", "operators")])
def test_a_listener_trusts_its_own_cas_and_has_their_crls(found, port, listener):
    assert one(found[port], "ssl_client_certificate") == f"/etc/nginx/fleetmint/{listener}.ca.pem"
    assert one(found[port], "ssl_crl") == f"/etc/nginx/fleetmint/{listener}.crl.pem"
    assert one(found[port], "ssl_verify_client") == "optional"
    assert one(found[port], "ssl_verify_depth") == "1"
    assert one(found[port], "error_page 495 496") == "=401 @refused"


@pytest.mark.parametrize(("port", "listener"), [("443", "devices"), ("8443", "operators")])
def test_every_request_carries_what_nginx_knows_of_the_client(found, port, listener):
    block = found[port]
    assert one(block, "uwsgi_param FLEETMINT_LISTENER") == listener
    assert one(block, "uwsgi_param FLEETMINT_VERIFY") == "$ssl_client_verify"
    assert one(block, "uwsgi_param FLEETMINT_CERT") == "$ssl_client_escaped_cert"
    assert one(block, "uwsgi_param HTTP_TRANSFER_ENCODING") == '""'
    # a location with a parameter of its own would inherit none of these
    assert "uwsgi_param" not in block.partition("location")[2]


def test_devices_may_speak_tls_1_2_and_operators_may_not(nginx, found):
    assert one(found["443"], "ssl_protocols") == "TLSv1.2 TLSv1.3"
    assert one(found["8443"], "ssl_protocols") == "TLSv1.3"
    assert one(servers(nginx.render(CONF, nginx_tls_profile="modern"))["443"], "ssl_protocols") == "TLSv1.3"


CLASSES = {
    "modern": {"https_port": 9443, "mqtt_port": 1},
    "tls12": {"https_port": 1, "mqtt_port": 2, "listen_https_port": 7443},
}


def test_a_class_of_devices_has_the_same_listener_at_a_port_of_its_own(nginx):
    found = servers(nginx.render(CONF, nginx_tls_classes=CLASSES, nginx_locations=LOCATIONS))
    assert list(found) == ["80", "443", "9443", "7443", "8443"]

    def but_for_port_and_protocols(port):
        lines = [line for line in found[port].splitlines() if not re.match(r" +(listen|ssl_protocols) ", line)]
        return [line for line in lines if not line.startswith("    # The ")]

    for port, protocols in (("9443", "TLSv1.3"), ("7443", "TLSv1.2 TLSv1.3")):
        assert one(found[port], "ssl_protocols") == protocols
        assert but_for_port_and_protocols(port) == but_for_port_and_protocols("443")


def test_no_session_is_ever_resumed(nginx):
    text = nginx.render(CONF)
    assert one(text, "ssl_session_tickets") == "off"
    assert one(text, "ssl_session_cache") == "off"


def test_the_plain_server_answers_people_and_does_not_say_where_devices_go(nginx, found):
    assert "try_files /start.html" in found["80"]
    assert "uwsgi_pass" not in found["80"]
    page = nginx.render(PAGE, __nginx_root_fingerprints=["AA:BB"])
    for said in (found["80"], page):
        assert "/v1/" not in said
        assert ":443" not in said
        assert "return 30" not in said


def test_the_page_has_the_root_its_fingerprints_and_the_way_to_the_operators_listener(nginx):
    page = nginx.render(PAGE, __nginx_root_fingerprints=["AA:BB", "CC:DD"], fleet_operators_https_port=9443)
    assert 'href="/root-ca.crt"' in page
    assert 'href="https://gateway.example.net:9443/"' in page
    assert [page.count(each) for each in ("AA:<wbr>BB", "CC:<wbr>DD")] == [1, 1]
    assert [name for name in ("Windows", "macOS", "iPhone", "Android", "Firefox", "Linux") if name not in page] == []


def test_the_page_links_to_an_ipv6_address_in_brackets(nginx):
    page = nginx.render(PAGE, __nginx_root_fingerprints=[], fleet_gateway_names=["2001:db8::7"])
    assert 'href="https://[2001:db8::7]:8443/"' in page


def test_the_page_loads_nothing_and_runs_nothing(nginx):
    page = nginx.render(PAGE, __nginx_root_fingerprints=["AA:BB"])
    assert "<script" not in page
    assert re.findall(r"(?:src|@import|url\()", page) == []
    assert "default-src 'none'" in servers(nginx.render(CONF))["80"]


def test_ports_of_the_site_move_the_servers(nginx):
    moved = servers(nginx.render(CONF, fleet_https_port=10443, fleet_operators_https_port=9443))
    assert list(moved) == ["80", "10443", "9443"]
    # behind a router the Pi has ports of its own
    assert list(servers(nginx.render(CONF, fleet_https_port=10443, nginx_devices_port=443))) == ["80", "443", "8443"]


def test_hsts_is_sent_to_nobody_who_did_not_ask_for_it(nginx):
    assert "Strict-Transport-Security" not in nginx.render(CONF)
    asked = servers(nginx.render(CONF, nginx_hsts="max-age=600"))
    for port in ("443", "8443"):  # once for the server and once for the location with headers of its own
        assert asked[port].count('add_header Strict-Transport-Security "max-age=600" always;') == 2
    assert "Strict-Transport-Security" not in asked["80"]


def test_enrolments_are_counted_by_household(nginx):
    text = nginx.render(CONF)
    assert "limit_req_zone $network zone=enrolments" in text
    (pattern,) = re.findall(r'"~\(\?s\)\^\(\?<half>(.*)\$" \$half;', text)
    assert pattern == ".{8}).{8}"  # of the 16 bytes of an IPv6 address; IPv4 has 4


def test_renewals_are_counted_by_certificate(nginx, found):
    assert "limit_req_zone $ssl_client_fingerprint zone=renewals:1m rate=6r/m;" in nginx.render(CONF)
    assert "limit_req zone=renewals burst=10 nodelay;" in found["443"].partition("location = /v1/renew")[2]


def test_est_is_counted_by_both_since_either_proof_is_good_at_either_route(found):
    after = found["443"].partition(r"location ~ ^/\.well-known/est/simple(re)?enroll$")[2].partition("}")[0]
    assert "limit_req zone=enrolments burst=2000 delay=300;" in after
    assert "limit_req zone=renewals burst=10 nodelay;" in after


def test_the_log_has_nothing_of_what_a_client_authenticates_itself_with(nginx):
    (form,) = re.findall(r"log_format listeners '(.*)';", nginx.render(CONF))
    assert set(re.findall(r"\$(\w+)", form)) == {
        "remote_addr", "request", "status", "bytes_sent", "ssl_client_s_dn", "ssl_client_verify", "ssl_protocol"
    }  # fmt: skip


def test_only_what_costs_a_signature_is_limited_in_rate(found):
    assert "limit_req zone=enrolments" in found["443"].partition("location ~ ^/v1/(enrol|recover)$")[2]
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


def test_one_listener_cannot_use_up_the_connections_of_the_other(nginx):
    text, limits = nginx.render(CONF), Role("gateway_firewall").defaults
    listeners = limits["gateway_firewall_https_total"] + limits["gateway_firewall_operators_https_total"]
    # whichever worker they all come to
    assert int(one(text, "worker_connections")) >= listeners + 1000
    assert int(one(text, "worker_rlimit_nofile")) >= 2 * int(one(text, "worker_connections"))


def test_who_says_nothing_never_has_so_many_connections_that_the_firewall_shuts_its_source_out(nginx):
    limits, timeout = Role("gateway_firewall").defaults, nginx.defaults["nginx_client_timeout"]
    most = limits["gateway_firewall_rate"] * timeout + limits["gateway_firewall_burst"]
    assert limits["gateway_firewall_https_per_source"] >= most
    assert limits["gateway_firewall_operators_https_per_source"] >= most


def test_bodies_go_as_they_come_to_what_reads_them_and_all_else_to_the_service(nginx, signing_service):
    text = nginx.render(CONF)
    assert one(text, "uwsgi_request_buffering") == "off"
    assert set(re.findall(r"uwsgi_pass ([^;]+);", text)) == {"$reader"}
    sockets = dict(re.findall(r"upstream (\w+) {\s+server unix:(\S+);", text))
    choice = re.search(r"map \$content_length \$reader {\s+default (\w+);\s+\"\" (\w+);\s+}", text)
    uwsgi = signing_service.render("etc/fleetmint/uwsgi.ini.j2")
    assert f"--socket {sockets[choice[1]]} " in one_line(uwsgi, "attach-daemon")
    assert one_line(uwsgi, "socket") == sockets[choice[2]]


def one_line(text: str, option: str) -> str:
    (found,) = re.findall(rf"^{option} = (.*)$", text, re.MULTILINE)
    return found


def test_the_service_says_408_before_nginx_hangs_up(nginx, signing_service):
    seconds = signing_service.defaults["signing_service_body_timeout"]
    assert int(one(nginx.render(CONF), "client_body_timeout").removesuffix("s")) > seconds


def test_what_needs_no_certificate_is_on_the_loopback_address_only_and_only_when_asked_for(nginx, found):
    assert "local" not in "".join(found.values())
    block = servers(nginx.render(CONF, nginx_local_port=9464))["9464"]
    assert one(block, "listen") == "127.0.0.1:9464"
    assert one(block, "uwsgi_param FLEETMINT_LISTENER") == "local"
    assert re.findall(r"location (.+) \{", block) == ["~ ^/(metrics|healthz)$", "/"]


LOCATIONS = [
    {"listener": "devices", "path": "/hello/", "certificate": "none", "root": "/srv/hello/"},
    {"listener": "devices", "path": "/a.b/", "certificate": "required", "uwsgi": "unix:/run/a.sock"},
    {"listener": "operators", "path": "/who/", "certificate": "optional", "proxy": "http://127.0.0.1:3000"},
    {
        "listener": "operators", "path": "/far/", "certificate": "none", "proxy": "https://192.0.2.9:8443",
        "proxy_name": "app.example.net", "streaming": True, "max_body": "1m",
    },
]  # fmt: skip


@pytest.fixture
def located(nginx):
    """The text of each location of one's own, by listener and path."""
    text = nginx.render(CONF, nginx_locations=LOCATIONS)
    return {
        (each["listener"], each["path"]): re.search(
            rf"^        location \^~ {re.escape(each['path'])} {{$(.*?)^        }}$",
            servers(text)["443" if each["listener"] == "devices" else "8443"],
            re.MULTILINE | re.DOTALL,
        )[1]
        for each in LOCATIONS
    }


def test_a_site_without_locations_of_its_own_has_nothing_of_them(nginx):
    text = nginx.render(CONF)
    for word in (
        "X-SSL-",
        "devices_client",
        "$ambiguous",
        "worker_shutdown_timeout",
        "absolute_redirect",
        "error_page 401",
    ):
        assert word not in text


def test_each_location_asks_for_what_it_says(located):
    assert 'if ($devices_client = "") {\n                return 401;' in located["devices", "/a.b/"]
    assert "if ($operators_of_another_kind) {\n                return 401;" in located["operators", "/who/"]
    for open_to_all in (located["devices", "/hello/"], located["operators", "/far/"]):
        assert "401" not in open_to_all


def test_path_and_directory_of_pages_end_alike(located):
    block = located["devices", "/hello/"]
    assert one(block, "alias") == "/srv/hello/"
    assert one(block, "disable_symlinks") == "if_not_owner from=/srv/hello/"
    assert "location ~ /\\. {\n                return 404;" in block


def test_an_application_gets_the_identity_as_parameters_and_no_header_under_its_names(located):
    block = located["devices", "/a.b/"]
    assert one(block, "uwsgi_param SSL_CLIENT_VERIFY") == "$ssl_client_verify"
    assert one(block, "uwsgi_param REMOTE_USER") == one(block, "uwsgi_param SSL_CLIENT_S_DN_CN") == "$devices_client"
    told = re.findall(r"uwsgi_param HTTP_(X_SSL_\w+|X_REMOTE_USER|REMOTE_USER|CLIENT_CERT\w*|PROXY) ([^;]+);", block)
    assert len(told) == 11
    assert {value for _, value in told} == {'""'}
    assert "FLEETMINT_" not in block
    assert one(block, "rewrite") == '"(?s)^/a\\.b(/.*)$" $1 break'


def test_a_proxied_service_gets_it_as_headers_and_nothing_where_nobody_is_to_be_told(located):
    known, unknown = located["operators", "/who/"], located["operators", "/far/"]
    assert one(known, "proxy_set_header X-SSL-Client-CN") == "$operators_client"
    assert one(unknown, "proxy_set_header X-SSL-Client-Verify") == "NONE"
    names = set(re.findall(r"proxy_set_header (\S+)", known))
    assert names == set(re.findall(r"proxy_set_header (\S+)", unknown))
    assert {"Client-Cert", "Forwarded", "X-Forwarded-For", "Proxy", "Upgrade", "Connection"} < names
    for name in names:
        if name.startswith("X-SSL-Client-") and name != "X-SSL-Client-Verify":
            assert one(unknown, f"proxy_set_header {name}") == '""'


def test_an_upstream_over_tls_is_verified_by_name(located):
    block = located["operators", "/far/"]
    assert one(block, "proxy_ssl_verify") == "on"
    assert one(block, "proxy_ssl_name") == "app.example.net"
    assert one(block, "proxy_ssl_trusted_certificate") == "/etc/ssl/certs/ca-certificates.crt"
    assert "proxy_ssl" not in located["operators", "/who/"]


def test_only_a_websocket_is_an_upgrade_and_only_where_it_is_asked_for(nginx, located):
    assert one(located["operators", "/who/"], "proxy_set_header Upgrade") == '""'
    assert one(located["operators", "/far/"], "proxy_set_header Upgrade") == "$websocket"
    text = nginx.render(CONF, nginx_locations=LOCATIONS)
    assert '"~*^websocket$" websocket;' in text
    assert one(text, "worker_shutdown_timeout") == "3s"
