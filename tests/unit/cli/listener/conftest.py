"""A site whose gateway has a real operators' listener: TLS, client certificates, and the service behind it."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ledger import factory, open_ledger, writing
from fleetmint.service.app import create_app
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_site import GatewaySite, make_gateway_site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Done = TypeVar("Done")


@pytest.fixture
def gateway_side(tmp_path_factory: pytest.TempPathFactory) -> GatewaySite:
    return make_gateway_site(
        tmp_path_factory.mktemp("there") / "gateway", tmp_path_factory.getbasetemp() / "gateway-template"
    )


@pytest.fixture
def hierarchy(gateway_side: GatewaySite) -> Hierarchy:
    """The site's CAs are those of the gateway: they lie elsewhere than in the state, which only its file says."""
    return gateway_side.hierarchy


class _Quiet(WSGIRequestHandler):
    def log(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def publisher(gateway_side: GatewaySite) -> Iterator[Path]:
    """What systemd does at the socket: start the command for each connection, here without servers to reload."""
    systemctl = gateway_side.root / "systemctl"
    systemctl.write_text("#!/bin/sh\necho inactive\n")
    systemctl.chmod(0o755)
    command = [str(Path(sys.executable).with_name("fleetmint")), "gateway", "--config", str(gateway_side.config_path)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(gateway_side.config.publish_socket))
        listener.listen()

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if connection.recv(1, socket.MSG_PEEK) == b"":
                        return
                    subprocess.run(
                        [*command, "publish", "--answer"],
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        check=True,
                    )

        thread = threading.Thread(target=serve)
        thread.start()
        yield gateway_side.config.publish_socket
        if gateway_side.config.publish_socket.exists():
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(str(gateway_side.config.publish_socket))
                end.shutdown(socket.SHUT_WR)
                thread.join()


@pytest.fixture
def listener(gateway_side: GatewaySite, publisher: Path, state: Path, now: datetime, tmp_path: Path) -> Iterator[Flask]:
    """The operators' listener: what nginx does there, done by Python's own TLS, and the service behind it."""
    app = create_app(gateway_side.config)

    def behind_nginx(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        shown = environ.get("SSL_CLIENT_CERT", "")
        environ |= {"FLEETMINT_LISTENER": "operators", "FLEETMINT_VERIFY": "SUCCESS" if shown else "NONE"}
        environ["FLEETMINT_CERT"] = quote(shown, safe="")
        return app(environ, start_response)

    server, key = gateway_side.hierarchy.authority("server"), keys.new_key()
    leaf = server.issue("server", key.public_key(), "localhost", now=now, sans=["localhost", "127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(pem(leaf) + keys.plain_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    (tmp_path / "server.pem").unlink()
    context.verify_mode = ssl.CERT_OPTIONAL
    for name in ("root", "operator"):
        context.load_verify_locations(gateway_side.config.trust / f"{name}.crt")
    listener = make_server("127.0.0.1", 0, behind_nginx, ssl_context=context, request_handler=_Quiet)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    site = json.loads((state / "site.json").read_text())
    operators = {"host": "127.0.0.1", "https_port": listener.port, "mqtt_port": 1}
    site["gateways"] = {"gateway": {**operators, "devices_https_port": 443, "devices_mqtt_port": 8883}}
    site["wifi"] = []
    (state / "site.json").write_text(json.dumps(site))
    yield app
    listener.shutdown()
    thread.join()
    listener.server_close()
    app.extensions["fleetmint"].engine.dispose()


@pytest.fixture
def bench(state: Path, now: datetime) -> Callable[..., Any]:
    """Do something in the factory's ledger, a second later each time, and before what the commands do by the clock."""
    seconds = iter(range(-600, 0))

    def run(function: Callable[..., Done], *arguments: Any, **options: Any) -> Done:
        engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
        with writing(engine) as connection:
            done = function(connection, *arguments, now=now + timedelta(seconds=next(seconds)), **options)
        engine.dispose()
        return done

    return run


@pytest.fixture
def burned(bench: Callable[..., Any]) -> Callable[..., Any]:
    """Burn the next unit into a board, as far as the ledger knows."""

    def run(number: int = 1) -> factory.Unit:
        unit: factory.Unit = bench(factory.claim, "first", f"24:0a:c4:00:00:{number:02x}", "slot", port="p")
        burned: factory.Unit = bench(factory.record_burned, unit.device, "slot")
        return burned

    return run
