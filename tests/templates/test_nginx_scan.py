"""What gixy says of the web server's configuration, bare and with everything that a site can turn on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.templates.conftest import Role

# What is found above "low", and why it stays so.
REASONS = {
    "hsts_header": "it counts for the whole host name, whose other services it would cut off: nginx_hsts turns it on",
    "missing_resolver": "the variable names an upstream block of the same file, a socket of this machine",
    "try_files_is_evil_too": "one page for people, which nobody asks for often",
}
# Each is found in what locations of one's own bring.
OF_LOCATIONS = {
    "host_spoofing": "an application makes links with the name and port that it was called by",
    "http_splitting": "OpenSSL escapes what cannot be printed in names (RFC 2253); the rest is digits",
}
LOCATIONS = [
    {"listener": "devices", "path": "/hello/", "certificate": "none", "root": "/srv/hello"},
    {"listener": "devices", "path": "/a.b/", "certificate": "required", "uwsgi": "unix:/run/a.sock"},
    {"listener": "operators", "path": "/who/", "certificate": "optional", "proxy": "http://127.0.0.1:3000"},
    {
        "listener": "operators", "path": "/far/", "certificate": "none", "proxy": "https://192.0.2.9:8443",
        "proxy_name": "app.example.net", "streaming": True,
    },
]  # fmt: skip


def findings(directory: Path, text: str) -> set[str]:
    (directory / "nginx.conf").write_text(text)
    command = [Path(sys.executable).with_name("gixy"), "-ll", "-f", "json", directory / "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {found["plugin"] for found in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, REASONS),
        ({"nginx_local_port": 9464, "nginx_tls_profile": "modern"}, REASONS),
        ({"nginx_hsts": "max-age=31536000"}, REASONS.keys() - {"hsts_header"}),
        ({"nginx_locations": LOCATIONS}, REASONS | OF_LOCATIONS),
    ],
    ids=["bare", "local", "hsts", "locations"],
)
def test_nothing_is_found_but_what_has_its_reason(nginx: Role, tmp_path: Path, changed, expected):
    found = findings(tmp_path, nginx.render("etc/nginx/nginx.conf.j2", **changed))
    assert found == set(expected)


def test_the_scanner_finds_what_is_wrong(tmp_path: Path):
    text = (
        "http { server { listen 80; location /i { alias /srv/i/; } location ~ /p/(.*) { return 301 http://x$uri; } } }"
    )
    assert {"alias_traversal", "http_splitting"} <= findings(tmp_path, text)
