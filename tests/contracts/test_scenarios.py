"""Each role is converged by molecule: alone on this machine, or as a part of the whole site on a virtual Pi."""

import yaml

from tests.contracts.quoted import ROOT
from virtual.pi.ports import INSIDE

ROLES = {path.parents[1].name for path in ROOT.glob("roles/*/meta/main.yml")}
SCENARIOS = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")}
# They act on devices and gateways that are at work, which tests/e2e has.
AT_WORK = {"ca_rollover", "revocation", "verification"}


def roles_of_the_whole_site() -> set[str]:
    """Return the roles of the play that the whole site's scenario converges."""
    scenario = yaml.safe_load((ROOT / "molecule/default/molecule.yml").read_text())
    playbook = ROOT / "molecule/default" / scenario["ansible"]["playbooks"]["converge"]
    return {given["role"] for play in yaml.safe_load(playbook.read_text()) for given in play.get("roles", [])}


def test_every_role_is_converged_by_a_scenario() -> None:
    whole = roles_of_the_whole_site()
    assert "nginx" in whole
    assert ROLES - SCENARIOS - whole - AT_WORK == set()


def test_every_scenario_but_that_of_the_whole_site_is_a_roles() -> None:
    assert SCENARIOS - {"default"} <= ROLES


def test_every_scenario_asks_somebody_what_came_of_it() -> None:
    for name in SCENARIOS:
        (play,) = yaml.safe_load((ROOT / "molecule" / name / "verify.yml").read_text())
        assert play["tasks"], name


def test_scenarios_without_a_pi_know_every_port_that_one_would_have() -> None:
    assert yaml.safe_load((ROOT / "molecule/shared/vars/no_pi.yml").read_text()) == {"virtual_pi_ports": INSIDE}
