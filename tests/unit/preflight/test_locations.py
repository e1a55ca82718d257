"""What nginx_locations may say, and the sentence for what it may not."""

import pytest

from fleetmint.preflight.locations import locations
from fleetmint.preflight.reading import ValueRefusedError

PAGES = {"listener": "devices", "path": "/hello/", "certificate": "none", "root": "/srv/hello"}
WSGI = {"listener": "operators", "path": "/who/", "certificate": "optional", "uwsgi": "unix:/run/who/who.sock"}
PROXY = {"listener": "devices", "path": "/app/", "certificate": "required", "proxy": "http://127.0.0.1:3000"}
AFAR = {**PROXY, "proxy": "https://192.0.2.9:8443", "proxy_name": "app.example.net"}


def refusal(value):
    with pytest.raises(ValueRefusedError) as refused:
        locations(value)
    return refused.value


@pytest.mark.parametrize(
    "item",
    [
        PAGES, WSGI, PROXY, AFAR,
        PAGES | {"root": "/srv/hello/"},
        PAGES | {"path": "/a/b.c/d_e-f~/"},
        PAGES | {"root": "/opt/maker/pages"},
        WSGI | {"uwsgi": "127.0.0.1:3031", "max_body": "10m"},
        WSGI | {"uwsgi": "[::1]:3031"},
        PROXY | {"proxy": "http://unix:/run/app.sock", "streaming": True, "max_body": 1000},
        AFAR | {"proxy": "https://[2001:db8::9]:443", "proxy_ca": "/etc/maker/ca.crt"},
    ],
)  # fmt: skip
def test_what_is_clear_is_taken(item):
    assert locations([item]) == [item]


def test_one_path_may_be_at_both_listeners_and_one_below_the_other():
    assert locations([PAGES, PAGES | {"listener": "operators"}, PAGES | {"path": "/hello/more/"}])


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/", "page of the service"), ("", "no path"), ("app/", "no path"), ("/app", "begin of other names"),
        ("/v1/", "service has"), ("/v1/enrol/", "service has"), ("/V1/x/", "service has"),
        ("/.well-known/", "service has"), ("/.well-known/acme/", "service has"), ("/healthz/", "service has"),
        ("/metrics/", "service has"), ("/app/../v1/", "leads elsewhere"), ("/./v1/", "leads elsewhere"),
        ("//v1/", "service has"), ("/app//", "no path"), ("/%761/", "no path"), ("/a b/", "no path"),
        ("/a;b/", "no path"),
        ("/app(.*)/", "no path"), ("/a$uri/", "no path"), ("/a{/", "no path"), ("/a\n/", "no path"),
        ("/a/\n", "no path"), ("/.git/", "no path"), ("/ä/", "no path"), ("~ ^/a/", "no path"), (7, "no text"),
    ],
)  # fmt: skip
def test_a_path_that_is_ours_or_that_nginx_reads_otherwise_is_refused(path, what):
    assert what in refusal([PAGES | {"path": path}]).what


@pytest.mark.parametrize(
    ("root", "what"),
    [
        ("/", "no path"), ("/etc", "no place"), ("/etc/nginx/fleetmint", "no place"), ("/home/me/www", "no place"),
        ("/root", "no place"), ("/run/x", "no place"), ("/var/lib/fleetmint", "no place"), ("/srvice", "no place"),
        ("/opt", "no place"), ("/opt/fleetmint", "files of the gateway"), ("/opt/fleetmint/lib", "of the gateway"),
        ("/var/www", "files of the gateway"), ("/var/www/fleetmint", "files of the gateway"),
        ("/srv/../etc", "no path"), ("/srv/./x", "no path"), ("/srv//x", "no path"), ("srv/x", "no path"),
        ("/srv/$document_uri", "no path"), ("/srv/a b", "no path"), ("/srv/a;}", "no path"), ("/srv/a\n", "no path"),
        (None, "no text"),
    ],
)  # fmt: skip
def test_a_directory_that_is_not_for_everybody_is_refused(root, what):
    assert what in refusal([PAGES | {"root": root}]).what


@pytest.mark.parametrize(
    ("uwsgi", "what"),
    [
        ("192.0.2.9:3031", "travel readable"), ("0.0.0.0:3031", "travel readable"), ("localhost:3031", "readable"),
        ("127.0.0.1", "no port"), ("127.0.0.1:0", "no port"), ("127.0.0.1:99999", "no address"),
        ("127.0.0.1:3031;", "no "), ("unix:run/x.sock", "no path"), ("unix:/srv/x.sock", "below /run"),
        ("unix:/run", "below /run"), ("unix:/run/x/", "below /run"), ("unix:/run/../etc/x", "no path"),
        ("unix:/run/fleetmint/uwsgi.sock", "yours"), ("unix:/run/mosquitto/disconnect.sock", "yours"),
        ("unix:/run/systemd/private", "yours"), ("unix:/run/x.sock:/y", "no path"),
    ],
)  # fmt: skip
def test_an_application_elsewhere_or_a_socket_of_others_is_refused(uwsgi, what):
    assert what in refusal([WSGI | {"uwsgi": uwsgi}]).what


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"proxy": "http://192.0.2.9:80"}, "travel readable"), ({"proxy": "127.0.0.1:80"}, "no address"),
        ({"proxy": "ftp://127.0.0.1:21"}, "no address"), ({"proxy": "http://127.0.0.1:80/"}, "has a path"),
        ({"proxy": "http://127.0.0.1:80/$request_uri"}, "has a path"), ({"proxy": "http://a@127.0.0.1:80"}, "no port"),
        ({"proxy": "http://127.0.0.1"}, "no port"), ({"proxy": "http://$host:80"}, "no port"),
        ({"proxy": "http://unix:/run/fleetmint/bodies.sock"}, "yours"),
        ({"proxy": "https://app.example.net:443"}, "nobody can resolve"),
        ({"proxy": "https://192.0.2.9:443"}, "nobody would know"),
        ({"proxy": "https://192.0.2.9:443", "proxy_name": "192.0.2.9"}, "is an address"),
        ({"proxy": "https://192.0.2.9:443", "proxy_name": "a b"}, "proxy_name"),
        ({"proxy": "https://192.0.2.9:443", "proxy_name": "a.b", "proxy_ca": "ca.crt"}, "proxy_ca"),
        ({"proxy_name": "app.example.net"}, "https://"), ({"proxy_ca": "/etc/ca.crt"}, "https://"),
        ({"streaming": "yes"}, "neither true nor false"), ({"max_body": "many"}, "no size"),
    ],
)  # fmt: skip
def test_a_proxy_that_could_be_read_or_mistaken_is_refused(changed, what):
    assert what in refusal([PROXY | changed]).what


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ("/hello/", "no mapping"), (PAGES | {"listener": "device"}, "no choice"),
        (PAGES | {"certificate": "no"}, "no choice"), (PAGES | {"certificate": False}, "no choice"),
        (PAGES | {"rot": "/srv"}, "'rot' is nothing"),
        ({"listener": "devices", "path": "/x/", "certificate": "none"}, "nothing to serve"),
        (PAGES | {"uwsgi": "127.0.0.1:1"}, "root and uwsgi"), (PAGES | {"streaming": True}, "for a proxy"),
        (PAGES | {"max_body": "1m"}, "no body"), (WSGI | {"streaming": False}, "for a proxy"),
        ({"path": "/x/", "certificate": "none", "root": "/srv/x"}, "no listener"),
        ({"listener": "devices", "certificate": "none", "root": "/srv/x"}, "no path"),
        ({"listener": "devices", "path": "/x/", "root": "/srv/x"}, "no certificate"),
    ],
)  # fmt: skip
def test_a_location_is_whole_and_one_thing(item, what):
    assert what in refusal([item]).what


def test_two_at_one_place_are_refused_at_the_second():
    found = refusal([PAGES, PROXY, WSGI | {"listener": "devices", "path": "/hello/"}])
    assert (found.index, "item 0 too" in found.what) == (2, True)
