"""The gateway's configuration: one flat TOML file, with every path in it, so that nothing is found by guessing."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from fleetmint import commands, files, notices
from fleetmint.choices import LOG_FORMATS, TEXT_LOG
from fleetmint.errors import NameRefusedError, StateError
from fleetmint.gateway.ca_key.wanted import PLAIN, way
from fleetmint.x509 import names

DEFAULT_PATH = Path("/etc/fleetmint/gateway.toml")
PATH_VARIABLE = "FLEETMINT_CONFIG"
# What a key was called one version before.
_BEFORE = {"kick_socket": "disconnect_socket"}

# What is a number, and the largest that means anything: ten years, and a terabyte.
_NUMBERS = {"grace_days": 3650, "overlap_hours": 87600, "disk_reserve_mib": 2**20}


@dataclass(frozen=True)
class Config:
    """What gateway.toml says. `site` and `gateway` are required, the rest has these defaults.

    `trust` holds {root,operator,factory,device}.crt and the devices' trust bundle, `crls` {root,operator,factory}.pem:
    both are delivered to the gateway. `device_crl` is signed here. The bundles of a listener are written to `nginx` and
    `mosquitto`; through the sockets of the broker root ends sessions and the watch sees what is published, and finds
    `broker_alarms`; at `publish_socket` the service asks root to publish, and at `alert_socket` for a try of the
    command in `alert`. What is due, and what was told of it, is in `alerts`; `served` has copies of the servers'
    certificates. The CA certificates and CRLs that everybody may read go to `public`, unless that is empty. `published`
    remembers which reloads are still owed and which sessions have been ended. The service answers at `service_socket`;
    in the directory `counters` its processes count what the metrics tell, and they write to the journal as `log_format`
    says. `attested_clock` is what a person has said about the clock, until the next restart. `device_ca_key` says how
    the key in `device_ca` is kept, and at `seal_socket` the service asks root to seal and open it. `program_*` are
    commands, for a gateway that has other names. A device comes back with a certificate that has ended within
    `grace_days`; once it uses a new one, the one before is good for `overlap_hours` more. Nothing new is
    begun while less than `disk_reserve_mib` is free.
    """

    site: str
    gateway: str
    ledger: str = "sqlite:////var/lib/fleetmint/ledger.sqlite"
    device_ca: Path = Path("/etc/fleetmint/device-ca")
    trust: Path = Path("/etc/fleetmint/ca")
    crls: Path = Path("/etc/fleetmint/crl")
    device_crl: Path = Path("/var/lib/fleetmint/crl/device.pem")
    nginx: Path = Path("/etc/nginx/fleetmint")
    mosquitto: Path = Path("/etc/mosquitto/fleetmint")
    disconnect_socket: Path = Path("/run/mosquitto/disconnect.sock")
    publish_socket: Path = Path("/run/fleetmint-publish.sock")
    watch_socket: Path = Path("/run/mosquitto/watch.sock")
    broker_alarms: Path = Path("/var/lib/fleetmint-broker-watch/alarms.json")
    alerts: Path = Path("/var/lib/fleetmint-expiries")
    alert: Path = Path("/etc/fleetmint/alert.json")
    served: Path = Path("/run/fleetmint-served")
    alert_socket: Path = Path("/run/fleetmint-alert.sock")
    published: Path = Path("/var/lib/fleetmint/published.json")
    service_socket: Path = Path("/run/fleetmint/uwsgi.sock")
    counters: Path = Path("/run/fleetmint/counters")
    attested_clock: Path = Path("/run/fleetmint-clock.json")
    public: Path | None = None
    device_ca_key: str = PLAIN
    log_format: str = TEXT_LOG
    seal_socket: Path = Path("/run/fleetmint-key.sock")
    program_systemctl: str = "systemctl"
    program_nginx: str = "nginx"
    stations: str = ""
    grace_days: int = 180
    overlap_hours: int = 24
    disk_reserve_mib: int = 64

    @property
    def grace(self) -> timedelta:
        """Return how long after its end a certificate can be recovered."""
        return timedelta(days=self.grace_days)

    @property
    def overlap(self) -> timedelta:
        """Return how long a certificate is good beside its successor that is in use."""
        return timedelta(hours=self.overlap_hours)

    @property
    def disk_reserve(self) -> int:
        """Return how many bytes have to be free before anything new is begun."""
        return self.disk_reserve_mib * 2**20

    @property
    def state(self) -> Path:
        """Return the directory of the service's account, in which root has to expect anything."""
        return self.published.parent

    @property
    def station_names(self) -> frozenset[str]:
        """Return who may tell this gateway what the factory did."""
        return frozenset(self.stations.split())

    def trusted(self, name: str) -> Path:
        """Return the path of the certificate of the CA called root, operator, factory or device."""
        return self.trust / f"{name}.crt"

    @property
    def trust_bundle(self) -> Path:
        """Return the path of the trust bundle that this gateway delivers and cannot make."""
        return self.trust / "bundle.bin"

    def crl(self, name: str) -> Path:
        """Return the path of the newest CRL of that CA."""
        return self.device_crl if name == "device" else self.crls / f"{name}.pem"


def config_path() -> Path:
    """Return where the configuration is: the path in FLEETMINT_CONFIG, else the usual place."""
    return Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load_config(path: Path) -> Config:
    """Read a configuration; raise StateError naming the file and the key when something is wrong with it."""
    try:
        values = tomllib.loads(files.read(path, "configuration").decode())
    except ValueError as error:
        raise StateError(f"{path} is not TOML: {error}") from error
    return _checked(path, values)


def _checked(path: Path, values: Mapping[str, Any]) -> Config:
    known = {field.name for field in fields(Config)}
    for old, new in _BEFORE.items():
        if old in values:
            notices.add(f"{path}: {old} is called {new} now, and the old name ends with the next version")
    values = {_BEFORE.get(key, key): value for key, value in values.items()}
    texts = {
        "site",
        "gateway",
        "ledger",
        "program_systemctl",
        "program_nginx",
        "stations",
        "device_ca_key",
        "log_format",
    }
    for key, value in values.items():
        if key not in known:
            raise StateError(f"{path} has the key {key!r}, which means nothing: choose from {', '.join(sorted(known))}")
        if key in _NUMBERS:
            if type(value) is not int or not 0 <= value <= _NUMBERS[key]:
                raise StateError(f"{path}: {key} has to be a whole number of at most {_NUMBERS[key]}")
        elif not isinstance(value, str):
            raise StateError(f"{path}: {key} has to be text in quotes")
    if values.get("log_format", TEXT_LOG) not in LOG_FORMATS:
        raise StateError(f"{path}: log_format has to be one of {', '.join(LOG_FORMATS)}")
    for key in ("site", "gateway"):
        if key not in values:
            raise StateError(f"{path} has no {key!r}: run {commands.playbook('gateway.yml')}, which writes this file")
    try:
        names.site_name(values["site"])
        names.device_id(values["gateway"])
        for station in values.get("stations", "").split():
            names.operator_name(station)
        way(values.get("device_ca_key", PLAIN))
    except (NameRefusedError, StateError) as error:
        raise StateError(f"{path}: {error}") from error
    plain = texts | _NUMBERS.keys()
    taken: dict[str, Any] = {key: value if key in plain else Path(value) for key, value in values.items()}
    if values.get("public") == "":
        taken["public"] = None
    return Config(**taken)
