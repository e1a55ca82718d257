"""A site of two machines: that of the root, without a network, and a controller that never sees the root's key."""

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fleetmint.ca.ceremony.root import Custody, Root, plan_answers, plan_root
from fleetmint.ca.create import Created, plan_hierarchy
from fleetmint.ca.external_root import Exchange, ExternalRoot
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.store import fingerprint
from fleetmint.passphrases import open_source
from fleetmint.plan import Plan
from fleetmint.x509.authority import Authority, load_certificate

PEOPLE = ("Alice Example", "Bob Example")


@dataclass(frozen=True)
class CeremonySite:
    """Two machines below `base`; a stick with requests and answers is carried between them by hand()."""

    base: Path
    now: datetime
    site: str = "test"
    root_fingerprint: str = ""

    @property
    def vault(self) -> Path:
        return self.base / "root-machine"

    @property
    def custody(self) -> Custody:
        return Custody(self.base / "memory", 5, 3)

    @property
    def post(self) -> Exchange:
        return Exchange(self.base / "stick/requests", self.base / "stick/answers", self.root_fingerprint)

    @property
    def controller(self) -> Hierarchy:
        passphrases = open_source(f"file:{self.base / 'controller/passphrases'}")
        return Hierarchy(self.base / "controller/ca", self.site, passphrases)

    def papers(self) -> list[Path]:
        return sorted(self.custody.into.glob("*/share-*.txt"))

    def root_machine(self) -> Hierarchy:
        """The root's machine with three of the shares."""
        brought = self.base / "brought"
        shutil.rmtree(brought, ignore_errors=True)
        brought.mkdir()
        for paper in self.papers()[1:4]:
            shutil.copy(paper, brought)
        return Hierarchy(self.vault, self.site, open_source(f"shares:{brought}"))

    def root(self) -> Authority:
        return self.root_machine().authority("root")

    def make_root(self) -> "CeremonySite":
        plan_root(self.vault, self.site, self.custody, PEOPLE, self.now).apply()
        return replace(self, root_fingerprint=fingerprint(load_certificate(self.vault / "root/ca.crt")))

    def ask(self, *gateways: str) -> Plan[Created]:
        plan = plan_hierarchy(self.controller, gateways or ("gateway",), self.now, ExternalRoot(self.post))
        plan.apply()
        return plan

    def answer(self, **options: Any) -> Plan[Root]:
        plan = plan_answers(
            self.root_machine(), self.post.requests, self.post.answers, PEOPLE, options.pop("now", self.now), **options
        )
        plan.apply()
        return plan
