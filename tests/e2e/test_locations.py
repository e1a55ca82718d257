"""Pages and applications of a maker's own at the gateway, as docs/pages.md has them typed, and attacked."""

import json
import re
import shlex
import ssl

import pytest

from tests.contracts.quoted import ROOT
from tests.e2e.site import PURPOSE, changed
from virtual.pi import container

DOCUMENT = (ROOT / "docs/pages.md").read_text()
# A service that tells what it was asked, as it came, and changes to any protocol that somebody names.
ECHO = r"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        said = f"{self.requestline}\n" + "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        if upgrade := self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", upgrade)
            self.send_header("Connection", "upgrade")
            self.end_headers()
            while heard := self.connection.recv(100):
                self.wfile.write(heard)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("X-Accel-Redirect", "/v1/trust-bundle")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())
http.server.ThreadingHTTPServer(("127.0.0.1", 7001), Handler).serve_forever()
"""
WSGI = """
import json
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()]
"""
MORE = """
  - {listener: devices, path: /environ/, certificate: optional, uwsgi: "127.0.0.1:7002"}
  - {listener: devices, path: /echo/, certificate: optional, proxy: "http://127.0.0.1:7001", streaming: true}
  - {listener: devices, path: /mine/, certificate: required, proxy: "http://127.0.0.1:7001"}
  - {listener: devices, path: /nobody/, certificate: none, proxy: "http://127.0.0.1:7001"}
  - {listener: operators, path: /far/, certificate: none, proxy: "https://127.0.0.1:443", proxy_name: localhost,
     proxy_ca: /var/www/fleetmint/root-ca.crt}
  - {listener: operators, path: /false/, certificate: none, proxy: "https://127.0.0.1:443", proxy_name: other.example,
     proxy_ca: /var/www/fleetmint/root-ca.crt}
"""
# What a client would say to be somebody else.
FORGED = (
    "X-SSL-Client-Verify: SUCCESS", "X-SSL-Client-CN: evil", "x-ssl-client-cn: evil", "X_SSL_Client_CN: evil",
    "X.SSL.Client.CN: evil", "X-SSL-Client-CN: evil", "X-SSL-Client-DN: CN=evil", "SSL_CLIENT_VERIFY: SUCCESS",
    "SSL-Client-Verify: SUCCESS", "X-Remote-User: evil", "Remote-User: evil", "Remote_User: evil",
    "Client-Cert: :ZXZpbA==:", "Forwarded: for=evil", "X-Forwarded-For: evil", "X-Real-IP: evil", "Proxy: evil",
    "Connection: X-SSL-Client-Verify, X-SSL-Client-CN",
)  # fmt: skip


def typed(prompt):
    """Return the lines of the document that are typed at `prompt`."""
    blocks = re.findall(r"^```console\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^{re.escape(prompt)} (.+)$", "".join(blocks), re.MULTILINE)


def on_the_pi(command):
    return container.of(PURPOSE.name).execute("sh", "-ec", command).strip()


@pytest.fixture(scope="module")
def pages(site):
    """The site with what the document has a reader type; as it was when the tests are done."""
    variables = site.scratch / "locations.yml"
    variables.write_text("".join(re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)) + MORE)
    files = {f"/root/{name}": (ROOT / "examples/hello" / name).read_text() for name in ("hello.py", "hello.service")}
    for path, text in {**files, "/srv/echo.py": ECHO, "/srv/environ.py": WSGI}.items():
        on_the_pi(f"printf %s {shlex.quote(text)} > {path}")
    on_the_pi("cd /root\n" + "\n".join(typed("pi$")).replace("sudo ", ""))
    on_the_pi(
        "systemd-run -q --collect --unit=test-echo /usr/bin/python3 /srv/echo.py;"
        "systemd-run -q --collect --unit=test-environ /usr/bin/uwsgi --plugin python3 --master --die-on-term"
        " --socket 127.0.0.1:7002 --wsgi-file /srv/environ.py"
    )
    try:
        assert changed(site.playbook("gateway.yml", "--tags", "web", "-e", f"@{variables}")) > 0
        yield site
    finally:
        changed(site.playbook("gateway.yml", "--tags", "web"))
        on_the_pi(
            "systemctl disable -q --now hello.service; systemctl stop test-echo test-environ; userdel hello;"
            "rm -r /srv/hello /srv/hello-app /srv/*.py /root/hello.* /etc/systemd/system/hello.service"
        )


def test_the_commands_of_the_document_get_what_it_says(pages):
    (pages.scratch / "root-ca.crt").write_bytes(pages.root.read_bytes())
    alice = pages.operator()
    said = []
    for line in typed("$"):
        if not line.startswith("curl "):
            continue
        words = shlex.split(line)[1:]
        place = re.fullmatch(r"https://gateway\.local(:8443)?(/\w+/)", words.pop())
        assert words[:2] == ["--cacert", "root-ca.crt"]
        client = alice if "--cert" in words else None
        trust = ("--cacert", str(pages.scratch / "root-ca.crt"))
        said.append(pages.curl("operators" if place[1] else "https", place[2], client, *trust))
    assert [status for status, _ in said] == [200, 200, 200]
    assert "this page needs no certificate" in said[0][1]
    assert said[1][1].startswith("Hello, stranger")
    assert re.fullmatch(r"Hello alice@demo: certificate [0-9A-F]+ is in order.\n", said[2][1])


def test_where_a_certificate_is_needed_only_one_of_that_listener_opens(pages):
    status, body = pages.curl("https", "/mine/")
    assert (status, "a client certificate of the devices is needed here" in body) == (401, True)
    status, body = pages.curl("https", "/mine/", pages.operator())
    assert (status, "the client certificate was refused" in body) == (401, True)
    assert pages.curl("https", "/mine/", pages.stolen("lamp-000001"))[0] == 200


@pytest.mark.parametrize("client", [None, "lamp-000001"])
def test_nobody_is_whom_he_says_he_is(pages, client):
    shown = pages.stolen(client) if client else None
    options = [word for header in FORGED for word in ("--header", header)]
    expected = {"SSL_CLIENT_VERIFY": "SUCCESS" if client else "NONE", "SSL_CLIENT_S_DN_CN": client or ""}
    status, body = pages.curl("https", "/environ/a%20b?x=1", shown, *options)
    environ = json.loads(body)
    assert status == 200
    assert {name: environ[name] for name in expected} == expected
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/environ", "/a b", "x=1")
    assert [name for name, value in environ.items() if "evil" in value or "ZXZpbA" in value] == []
    status, body = pages.curl("https", "/echo/a%20b?x=1", shown, *options)
    assert status == 200
    assert body.startswith("GET /echo/a%20b?x=1 HTTP/1.1\n")
    # "Ssl-Client-Verify" is no header of ours, and no application is told to read it
    lines = [line for line in body.splitlines() if not line.startswith("SSL-Client-Verify:")]
    assert [line for line in lines if "evil" in line or "ZXZpbA" in line] == []
    told = [
        line for line in lines if line.lower().startswith(("x-ssl-client-verify", "x-ssl-client-cn", "x-remote-user"))
    ]
    name = [f"X-SSL-Client-CN: {client}", f"X-Remote-User: {client}"] if client else []
    assert told == [f"X-SSL-Client-Verify: {expected['SSL_CLIENT_VERIFY']}", *name]


def test_where_nobody_is_told_not_even_a_device_is_named(pages):
    body = pages.curl("https", "/nobody/", pages.stolen("lamp-000001"), "--header", "X-SSL-Client-CN: evil")[1]
    assert "X-SSL-Client-Verify: NONE\n" in body
    assert ("lamp-000001" in body, "evil" in body) == (False, False)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/echo/..;/mine/", 400), ("/echo/.;/x", 400), ("/echo//x", 400), ("/echo/a;b", 400), ("/echo/a\\b", 400),
        ("/echo/%2e%2e;/mine/", 400), ("/echo/a%5cb", 400), ("/environ/..;/x", 400), ("/echo/x%2Fy", 400),
        # nginx knows where these lead
        ("/echo/../mine/", 401), ("/echo/%2e%2e/mine/", 401), ("/echo/..%2fmine/", 401), ("//mine/", 401),
        ("/hello/..%2f..%2fetc/passwd", 400), ("/hello../etc/passwd", 404), ("/hello/.htaccess", 404), ("/hell", 404),
        # a question is none of the path
        ("/echo/?next=//x;..%2f", 200),
    ],
)  # fmt: skip
def test_no_path_leads_past_the_certificate_of_another(pages, path, status):
    assert pages.curl("https", path, None, "--path-as-is")[0] == status


def test_a_request_without_headers_or_with_an_address_in_its_first_line_is_nobodys(pages):
    elsewhere = "GET https://evil.example/echo/x HTTP/1.1"
    for first, rest in (("GET /echo/x", ""), (elsewhere, "Host: evil.example\r\nConnection: close\r\n\r\n")):
        with pages.connect("https") as connection:
            connection.sendall(f"{first}\r\n{rest}".encode())
            heard = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        assert "X-SSL-Client-Verify: NONE\n" in heard
        assert "GET /echo/x HTTP/1." in heard


def test_only_a_websocket_changes_the_protocol_and_a_reload_ends_it(pages):
    ask = "GET /{}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {}\r\n\r\n"
    for path, protocol, answer in (("echo", "h2c", 200), ("nobody", "websocket", 200), ("echo", "websocket", 101)):
        with pages.connect("https") as connection:
            connection.sendall(ask.format(path, protocol).encode())
            assert connection.recv(4096).startswith(f"HTTP/1.1 {answer} ".encode())
            if answer == 101:
                connection.sendall(b"still here")
                assert connection.recv(4096).endswith(b"still here")
                on_the_pi("systemctl reload nginx")
                assert _ends(connection)


def _ends(connection):
    try:
        return connection.recv(4096) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def test_an_application_cannot_send_a_client_to_a_route_of_the_service(pages):
    # it tried to, by X-Accel-Redirect
    assert pages.curl("https", "/nobody/")[1].startswith("GET /nobody/ ")


def test_an_upstream_over_tls_is_the_one_that_is_named_or_none(pages):
    # the devices' listener itself, which has no such route
    assert pages.curl("operators", "/far/")[0] == 404
    assert pages.curl("operators", "/false/")[0] == 503


def test_a_location_that_is_none_stops_the_play_with_file_and_line(site):
    variables = site.scratch / "wrong.yml"
    variables.write_text(
        "nginx_locations:\n"
        "  - {listener: devices, path: /v1/x/, certificate: none, root: /srv/hello}\n"
        "  - {listener: devices, path: /x/, certificate: none, root: /etc}\n"
    )
    done = site.playbook("gateway.yml", "--tags", "web", "-e", f"@{variables}")
    assert done.returncode != 0
    assert re.search(r"wrong\.yml:2: nginx_locations\[0\] .*/v1, which the service has: choose another", done.stdout)
    assert re.search(r"wrong\.yml:3: nginx_locations\[1\] .*'/etc' is no place for pages", done.stdout)


def test_pages_that_are_not_there_stop_it_too(site):
    variables = site.scratch / "missing.yml"
    missing = {"listener": "devices", "path": "/x/", "certificate": "none", "root": "/srv/nothing"}
    variables.write_text(json.dumps({"nginx_locations": [missing]}))
    done = site.playbook("gateway.yml", "--tags", "web", "-e", f"@{variables}")
    assert done.returncode != 0
    assert "nginx_locations names /srv/nothing" in done.stdout
    assert "No such file or directory" in done.stdout
