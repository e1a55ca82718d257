"""A controller whose CAs are replaced: what the listeners make of it at every moment is judged by openssl."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.gateway_files import gateway_file
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import Kind, device_ca
from fleetmint.ca.rollover import Moved, plan_move
from fleetmint.ca.rollover.steps import Rollover
from fleetmint.passphrases import open_source
from fleetmint.plan import Plan
from fleetmint.x509 import keys, names, revocation
from fleetmint.x509.authority import load_certificate, pem

MOVES = {
    **dict.fromkeys(("device", "operator", "factory"), ("introduce", "switch", "retire")),
    "server": ("switch", "retire"),
    "root": ("introduce", "switch", "leave", "retire"),
}
# What ends with these is refused from then on.
ENDS = [(kind, "retire") for kind in ("device", "operator", "factory")]
EVERYTHING = [(kind, move) for kind, moves in MOVES.items() for move in moves]
GATEWAY = "gateway"
Openssl = Callable[..., subprocess.CompletedProcess[bytes]]


class Cut(BaseException):
    """The power is gone."""


class World:
    """A controller, and whoever has a certificate of its CAs."""

    def __init__(self, directory: Path, now: datetime, openssl: Openssl) -> None:
        self.state = directory
        self.now = now
        self._openssl = openssl
        self.hierarchy = Hierarchy(directory / "ca", "test", open_source(f"file:{directory / 'passphrases'}"))
        self.leaves: dict[str, x509.Certificate] = {}

    @property
    def ca(self) -> Path:
        return self.hierarchy.directory

    def rollover(self, kind: str, **options: Any) -> Rollover:
        return Rollover(self.hierarchy, Kind(kind), [GATEWAY], self.state / "issued", **options)

    def make(self) -> None:
        """What ca.yml and the rest of the play do."""
        plan_hierarchy(self.hierarchy, [GATEWAY], self.now).apply()

    def move(self, kind: str, move: str, **options: Any) -> Plan[Moved]:
        plan = plan_move(self.rollover(kind, **options), move, self.now)
        plan.apply()
        return plan

    def issue(self, ca: str, profile: str, name: str) -> x509.Certificate:
        key = keys.new_key()
        leaf = self.hierarchy.authority(ca).issue(profile, key.public_key(), name, now=self.now)
        self.leaves[f"{name} {len(self.leaves)}"] = leaf
        return leaf

    def lets_in(self, leaf: x509.Certificate, listener: str = "devices") -> bool:
        """Ask openssl with the very files of a listener."""
        place = self.state / "listener"
        place.mkdir(exist_ok=True)
        (place / "ca.pem").write_bytes(gateway_file(self.ca, GATEWAY, f"{listener}.ca"))
        lists = [gateway_file(self.ca, GATEWAY, f"{name}.crl") for name in ("root", "factory", "operator")]
        (place / "crl.pem").write_bytes(b"".join([*lists, *self._device_crls()]))
        (place / "leaf.pem").write_bytes(pem(leaf))
        done = self._openssl(
            "verify", "-crl_check_all", "-purpose", "sslclient", "-no-CApath", "-no-CAstore",
            "-CAfile", place / "ca.pem", "-CRLfile", place / "crl.pem", place / "leaf.pem",
        )  # fmt: skip
        return done.returncode == 0

    def _device_crls(self) -> Iterator[bytes]:
        """What the gateway signs: for each device CA that it has."""
        for each in self.hierarchy.store.generations(device_ca(GATEWAY)):
            crl = revocation.build_crl(
                self.hierarchy.authority(each), [], number=1, now=self.now, lifetime=timedelta(days=7)
            )
            yield revocation.crl_pem(crl)

    def shape(self) -> set[str]:
        """The files of the CAs, without what a power cut leaves behind of half-written ones."""
        paths = [path.relative_to(self.ca) for path in self.ca.rglob("*") if path.is_file()]
        return {
            re.sub(r"[.][0-9a-f]{16}/", ".FINGERPRINT/", str(path)) for path in paths if not path.name.startswith(".")
        }

    def keys(self) -> set[bytes]:
        return {path.read_bytes() for path in self.ca.rglob("ca.key")}


def write_request(path: Path) -> None:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(keys.new_key(), hashes.SHA256())
    path.write_bytes(csr.public_bytes(serialization.Encoding.PEM))


def common_names(world: World, file: str) -> list[str | None]:
    path = world.state / "found.pem"
    found = []
    for block in gateway_file(world.ca, GATEWAY, file).split(b"-----BEGIN")[1:]:
        path.write_bytes(b"-----BEGIN" + block)
        found.append(names.common_name(load_certificate(path).subject))
    return found


def copy(world: World, tmp_path_factory: pytest.TempPathFactory, openssl: Openssl) -> World:
    place = tmp_path_factory.mktemp("copy") / "state"
    shutil.copytree(world.state, place)
    return World(place, world.now, openssl)


def cut_at(number: int, monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> bool:
    """Run until the change of a file before which the power goes; whether it came to that."""
    left = [number]

    def counting(name: str) -> Callable[..., Any]:
        real = getattr(Path, name)

        def change(self: Path, *arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Cut
            return real(self, *arguments, **options)

        return change

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "unlink"):
            patched.setattr(Path, name, counting(name))
        try:
            run()
        except Cut:
            return True
    return False
