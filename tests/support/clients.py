"""Clients of a gateway: curl, openssl and mosquitto's own, so that nothing of ours decides whether a listener held."""

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from fleetmint.x509 import keys
from fleetmint.x509.authority import pem

# What mosquitto_sub exits with after the time of -W.
TIMED_OUT = 27
# How long somebody waits for an answer that has to come, in seconds.
PATIENCE = 20


@dataclass(frozen=True)
class Client:
    """Key and certificate files of somebody who wants in. `name` is the certificate's common name, where it counts."""

    key: Path
    certificate: Path
    name: str = ""

    def options(self) -> list[str]:
        """Return what curl and mosquitto's clients call them."""
        return ["--cert", str(self.certificate), "--key", str(self.key)]


def save(directory: Path, file: str, key: keys.PrivateKey, *chain: x509.Certificate, name: str = "") -> Client:
    """Write a key and its certificate with what follows it; return them as a client."""
    made = Client(directory / f"{file}.key", directory / f"{file}.crt", name)
    made.key.write_bytes(keys.plain_pem(key))
    made.certificate.write_bytes(pem(*chain))
    return made


@dataclass(frozen=True)
class Gateway:
    """A gateway on this machine: `state` is its site's, `ports` maps the name of a listener to its port here."""

    state: Path
    ports: Mapping[str, int]

    @property
    def server_ca(self) -> Path:
        return self.state / "ca/server/ca.crt"

    @property
    def root(self) -> Path:
        """What mosquitto's clients need: their OpenSSL takes no intermediate for an anchor."""
        return self.state / "ca/root/ca.crt"

    # --- HTTP ---

    def curl(self, listener: str, path: str = "/", client: Client | None = None, *options: str) -> tuple[int, str]:
        """Return status and body; status 0 and curl's reason when the connection failed."""
        identity = [] if client is None else client.options()
        trust = ["--cacert", str(self.server_ca)]
        return _curl(f"https://localhost:{self.ports[listener]}{path}", *trust, *identity, *options)

    def plain(self, path: str, *options: str) -> tuple[int, str]:
        """Return status and body of the listener that speaks without TLS."""
        return _curl(f"http://localhost:{self.ports['http']}{path}", *options)

    # --- TLS ---

    def handshake(self, listener: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Return what openssl says of a connection."""
        where = f"localhost:{self.ports[listener]}"
        trust = ["-CAfile", str(self.server_ca), "-partial_chain", "-verify_return_error"]
        command = ["openssl", "s_client", "-connect", where, *trust, *options]
        return subprocess.run(command, input="Q\n", capture_output=True, text=True, timeout=PATIENCE, check=False)

    def connect(
        self, listener: str, client: Client | None = None, *, trust: Path | None = None, seconds: float = PATIENCE
    ) -> ssl.SSLSocket:
        """Return a connection with which a test can say whatever it wants; `trust` is the server CAs' by default."""
        context = ssl.create_default_context(cafile=trust or self.server_ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        plain = socket.create_connection(("localhost", self.ports[listener]), timeout=seconds)
        return context.wrap_socket(plain, server_hostname="localhost")

    # --- MQTT ---

    def mosquitto_command(
        self, program: str, listener: str, client: Client | None, *options: str, trust: Path | None = None
    ) -> list[str]:
        """Return a command of mosquitto's; in MQTT 5, which tells reasons, if the options do not say otherwise."""
        version = [] if "-V" in options else ["-V", "5"]
        where = ["-h", "localhost", "-p", str(self.ports[listener]), "--cafile", str(trust or self.root)]
        return [program, *version, *where, *([] if client is None else client.options()), *options]

    def mosquitto(
        self, program: str, listener: str, client: Client | None, *options: str, seconds: float = 6
    ) -> subprocess.CompletedProcess[str]:
        """Run mosquitto_pub, or mosquitto_sub for so long."""
        if program == "mosquitto_sub":
            options = ("-W", str(int(seconds)), *options)
        command = self.mosquitto_command(program, listener, client, *options)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 18)
        except subprocess.TimeoutExpired as late:
            # mosquitto_sub ends itself in the handler of a signal, which can wait for a lock that its own loop holds
            heard = [(output or b"").decode() for output in (late.stdout, late.stderr)]
            done = subprocess.CompletedProcess(command, TIMED_OUT, *heard)
        # a refusal by the client itself would say nothing about the broker
        assert "certificate verify failed" not in done.stderr
        return done

    def publish(
        self, listener: str, client: Client | None, topic: str, text: str, *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Send one message that the broker has to acknowledge."""
        return self.mosquitto("mosquitto_pub", listener, client, "-t", topic, "-m", text, "-q", "1", *options)

    @contextlib.contextmanager
    def listening(self, listener: str, client: Client, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Give a mosquitto_sub that has subscribed, with everything that it prints; what it hears, as `options` say."""
        # without stdbuf the line that says it has subscribed stays in a buffer until the end
        command = ["stdbuf", "-oL", *self.mosquitto_command("mosquitto_sub", listener, client, "-d", *options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                for line in process.stdout or ():
                    if line.startswith("Subscribed"):
                        break
                yield process
            finally:
                process.terminate()


def _curl(url: str, *options: str) -> tuple[int, str]:
    # behind ours, so that a test can say otherwise
    command = ["curl", "--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body or done.stderr
