"""A maker's own pages and applications at the listeners of nginx: what `nginx_locations` may say.

What is read here is written into a configuration as it stands, so each part has a grammar of its own in which nothing
needs quoting, and what nginx would understand otherwise than a person does is refused.
"""

import ipaddress
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from fleetmint.preflight.reading import ValueRefusedError, one_of, port, text
from fleetmint.x509.hosts import HostRefusedError, host
from fleetmint.x509.listeners import LISTENERS

CERTIFICATE = ("required", "optional", "none")
KINDS = ("root", "uwsgi", "proxy")
# The first part of the paths that the service and nginx have themselves.
OURS = ("v1", ".well-known", "healthz", "metrics")
# Where pages may lie: what systemd lets nginx see, and where no secret of the machine is.
PLACES = ("/srv", "/var/www", "/opt", "/usr/share", "/usr/local/share", "/mnt", "/media")
_NOT_PAGES = ("/var/www/fleetmint", "/opt/fleetmint")
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/")
_FILE = re.compile(r"(/[A-Za-z0-9._~@+-]+)+")
_SIZE = re.compile("[1-9][0-9]*[kKmM]?")


def location(value: Any) -> Mapping[str, Any]:
    """Return one item of nginx_locations; raise ValueRefusedError for one that is not exactly clear."""
    if not isinstance(value, Mapping):
        raise ValueRefusedError(f"{value!r} is no mapping", "write listener, path, certificate, and what is served")
    for name in value:
        if name not in _READERS:
            raise ValueRefusedError(f"{name!r} is nothing that a location has", f"write {', '.join(_READERS)}")
    for name in ("listener", "path", "certificate"):
        if name not in value:
            raise ValueRefusedError(f"it has no {name}", f"say {_EXAMPLES[name]}")
    given = [kind for kind in KINDS if kind in value]
    if len(given) != 1:
        what = f"it has {' and '.join(given)}" if given else "it says nothing to serve"
        raise ValueRefusedError(what, f"say exactly one of {', '.join(KINDS)}")
    for name, item in value.items():
        try:
            _READERS[name](item)
        except ValueRefusedError as error:
            raise ValueRefusedError(f"{name}: {error.what}", error.remedy) from error
    _together(value, given[0])
    return value


def locations(value: Any) -> list[Mapping[str, Any]]:
    """Return nginx_locations: each good by itself, and no two at one place."""
    if not isinstance(value, (list, tuple)):
        raise ValueRefusedError(f"{value!r} is no list", "write a list, with an item for each location")
    taken: dict[tuple[str, str], int] = {}
    refused: list[ValueRefusedError] = []
    for index, item in enumerate(value):
        try:
            found = location(item)
            first = taken.setdefault((found["listener"], found["path"]), index)
            if first != index:
                what = f"path: {found['path']} of the {found['listener']}' listener is that of item {first} too"
                raise ValueRefusedError(what, "choose another")
        except ValueRefusedError as error:
            refused.append(ValueRefusedError(error.what, error.remedy, index))
    if refused:
        first_refused = refused[0]
        first_refused.each = refused
        raise first_refused
    return list(value)


def path(value: Any) -> str:
    """Return the path of a location: whole parts between slashes, none of them ours."""
    given = text(value)
    if any(part in (".", "..") for part in given.split("/")):
        raise ValueRefusedError(f"{given!r} leads elsewhere", "write it without . and ..")
    if given == "/":
        raise ValueRefusedError("'/' is the page of the service", "write a part of its own, such as /app/")
    first = given.strip("/").partition("/")[0].lower()
    if first in OURS:
        raise ValueRefusedError(f"{given!r} is below /{first}, which the service has", "choose another, such as /app/")
    if not given.endswith("/") and _PATH.fullmatch(f"{given}/"):
        raise ValueRefusedError(f"{given!r} would also be the begin of other names", f"write {given}/")
    if not _PATH.fullmatch(given):
        grammar = "write letters, digits and . _ ~ - between slashes, no part with a dot first, such as /app/"
        raise ValueRefusedError(f"{given!r} is no path of a location", grammar)
    return given


def directory(value: Any) -> str:
    """Return the directory of pages on the gateway: one that nginx can see, and that is for everybody."""
    given = _file(value).rstrip("/")
    if not _below(given, PLACES) or given in ("/opt", "/mnt", "/media", "/usr/share", "/usr/local/share"):
        places = ", ".join(PLACES)
        raise ValueRefusedError(f"{given!r} is no place for pages", f"put them into a directory below one of {places}")
    if _below(given, _NOT_PAGES) or any(_below(ours, (given,)) for ours in _NOT_PAGES):
        raise ValueRefusedError(f"{given!r} has files of the gateway", "put the pages into a directory of their own")
    return given


def uwsgi(value: Any) -> str:
    """Return where a uWSGI listens: on this machine, since its protocol has neither keys nor passwords."""
    given = text(value)
    if given.startswith("unix:"):
        return _socket(given)
    return _loopback(given, given, "write unix:/run/NAME.sock, or 127.0.0.1:PORT")


def proxy(value: Any) -> str:
    """Return where a service speaks HTTP: on this machine, or over TLS."""
    given = text(value)
    if given.startswith("http://unix:"):
        _socket(given.removeprefix("http://"))
        return given
    remedy = "write http://127.0.0.1:PORT, http://unix:/run/NAME.sock or https://ADDRESS:PORT"
    scheme, _, where = given.partition("://")
    if scheme not in ("http", "https"):
        raise ValueRefusedError(f"{given!r} is no address of a service", remedy)
    if "/" in where:
        what = f"{given!r} has a path"
        raise ValueRefusedError(what, f"write {scheme}://{where.partition('/')[0]}; a request keeps the whole path")
    if scheme == "http":
        return _loopback(given, where, remedy)
    address, _ = _parts(given, where, remedy)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        what = f"{given!r} has a name, and nginx would not start while nobody can resolve it"
        raise ValueRefusedError(what, "write the address there, and the name as proxy_name") from None
    return given


def _name(value: Any) -> str:
    try:
        found = host(value)
    except HostRefusedError as error:
        raise ValueRefusedError(f"{value!r} {error.wrong}", error.remedy) from error
    if re.fullmatch(r"[0-9a-fA-F:.]*[0-9:]", found):
        raise ValueRefusedError(f"{value!r} is an address", "write the DNS name of the upstream's certificate")
    return found


def _file(value: Any) -> str:
    given = text(value)
    plain = given.rstrip("/") or "/"
    if not _FILE.fullmatch(plain) or posixpath.normpath(plain) != plain:
        remedy = "write it from / on, with letters, digits and . _ ~ @ + - between slashes, and without . and .."
        raise ValueRefusedError(f"{given!r} is no path of this kind", remedy)
    return given


def _socket(given: str) -> str:
    file = _file(given.removeprefix("unix:"))
    if not _below(file, ("/run",)) or file == "/run" or file.endswith("/"):
        raise ValueRefusedError(f"{given!r} is no socket below /run", "have the service listen at /run/NAME/NAME.sock")
    if file.split("/")[2].lower().startswith(("fleetmint", "mosquitto", "systemd", "dbus")):
        raise ValueRefusedError(f"{given!r} is no socket of a service of yours", "name that of your application")
    return given


def _loopback(given: str, where: str, remedy: str) -> str:
    address, _ = _parts(given, where, remedy)
    try:
        local = ipaddress.ip_address(address).is_loopback
    except ValueError:
        local = False
    if not local:
        what = f"{given!r} is not on the gateway itself, and who a client is would travel readable"
        raise ValueRefusedError(what, remedy)
    return given


def _parts(given: str, where: str, remedy: str) -> tuple[str, int]:
    try:
        found = urlsplit(f"//{where}")
        address, number = found.hostname or "", found.port
    except ValueError:
        raise ValueRefusedError(f"{given!r} is no address of a service", remedy) from None
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[1-9][0-9]*", where) or number is None:
        raise ValueRefusedError(f"{given!r} has no port, or something else than an address and a port", remedy)
    return address, port(number)


def _below(file: str, places: tuple[str, ...]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


def _size(value: Any) -> str:
    given = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
    if not _SIZE.fullmatch(given):
        raise ValueRefusedError(f"{given!r} is no size", "write one such as 64k or 10m")
    return given


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueRefusedError(f"{value!r} is neither true nor false", "write true or false")
    return value


def _together(value: Mapping[str, Any], kind: str) -> None:
    """Refuse what each part may say, and not beside the others."""
    encrypted = kind == "proxy" and value["proxy"].startswith("https://")
    if encrypted and "proxy_name" not in value:
        what = "proxy: nobody would know whether the upstream is the right one"
        raise ValueRefusedError(what, "say proxy_name, the DNS name in its certificate")
    for name, why in (("proxy_name", "https://"), ("proxy_ca", "https://")):
        if name in value and not encrypted:
            raise ValueRefusedError(f"{name}: it is for a proxy to {why}", "take it out")
    if "streaming" in value and kind != "proxy":
        raise ValueRefusedError("streaming: it is for a proxy", "take it out")
    if "max_body" in value and kind == "root":
        raise ValueRefusedError("max_body: files take no body", "take it out")


_READERS: Mapping[str, Callable[[Any], object]] = {
    "listener": one_of(*LISTENERS),
    "path": path,
    "certificate": one_of(*CERTIFICATE),
    "root": directory,
    "uwsgi": uwsgi,
    "proxy": proxy,
    "proxy_name": _name,
    "proxy_ca": _file,
    "streaming": _yes_or_no,
    "max_body": _size,
}
_EXAMPLES = {
    "listener": "devices or operators",
    "path": "where it is, such as /app/",
    "certificate": "required, optional or none",
}
