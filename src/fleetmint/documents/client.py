"""A directory from which a program becomes a client of a gateway: a device that is no board, a dashboard, a service.

ca.pem  cert.pem  key.pem   what `tls_set` of paho and the options of other clients take
client.json                 {"format": "fleetmint-client-1", "name": …, "gateway": HOST, "https_port": …,
                            "mqtt_port": …}: whose it is, and where the listeners for its kind are
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fleetmint import files
from fleetmint.documents.reach import Reach
from fleetmint.errors import FleetmintError, StateError
from fleetmint.files import File
from fleetmint.trust import anchors as anchor_files
from fleetmint.x509.hosts import host

FORMAT = "fleetmint-client-1"
ABOUT, CA, CERTIFICATE, KEY = "client.json", "ca.pem", "cert.pem", "key.pem"


@dataclass(frozen=True)
class About:
    """Whose a directory is, a device id or an operator's name, and how it reaches its gateway."""

    name: str
    reach: Reach


def read(directory: Path) -> About:
    """Return what client.json says; raise StateError when it is missing or damaged."""
    path = directory / ABOUT
    try:
        said = json.loads(files.read(path, "description of the client"))
        if said["format"] != FORMAT:
            raise ValueError(f"it is of another format, {said['format']}")
        return About(str(said["name"]), Reach(host(said["gateway"]), int(said["https_port"]), int(said["mqtt_port"])))
    except StateError:
        raise
    except (ValueError, KeyError, TypeError, FleetmintError) as error:
        raise StateError(f"{path} is damaged ({error}): enrol or export again, which writes it anew") from error


def description(directory: Path, about: About) -> File:
    """Return client.json for a directory, to be written."""
    content = {"format": FORMAT, "name": about.name, **asdict(about.reach)}
    return File(directory / ABOUT, json.dumps(content, indent=1).encode() + b"\n", files.PUBLIC_FILE)


def write(directory: Path, about: About, anchors: Sequence[bytes], certificate: bytes, key: bytes) -> None:
    """Write a directory whole, with plain files; `certificate` and `key` are PEM, `anchors` DER. Raises StateError."""
    files.write_together(
        [
            File(directory / KEY, key),
            File(directory / CERTIFICATE, certificate, files.PUBLIC_FILE),
            File(directory / CA, anchor_files.pem(anchors), files.PUBLIC_FILE),
            description(directory, about),
        ]
    )
