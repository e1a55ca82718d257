"""Whatever write the power goes at, and whatever answer is lost: the device comes back as itself."""

import pytest

from tests.support.firmware_agent import said
from tests.support.firmware_power import lost_answers, power_cuts
from tests.support.firmware_site import DEVICE

pytestmark = pytest.mark.micropython


def check(interrupted):
    """Hold that the device works again by the next boot, and that nothing is left to do for the one after."""
    case = interrupted
    assert said(case.after, "published reading 1"), (case.where, case.after["said"])
    assert said(case.last, "published reading 1"), (case.where, case.last["said"])
    assert case.last["log"] == [], case.where
    assert {name for names in case.gateway.broker.sessions for name in names} == {DEVICE}, case.where


def test_enrolment_survives_a_power_cut_at_every_write_with_one_token(board, site, tmp_path):
    cuts = list(power_cuts(board, site, tmp_path, lambda gateway: {}))
    for cut in cuts:
        check(cut)
        # however often it asked, it was for one key
        assert len(set(cut.gateway.enrolled)) == 1, cut.where
        assert "token" not in cut.last["stored"]
    assert len(cuts) == 2 * len(["key0", "cert0", "slot", "token"])


def test_enrolment_survives_the_loss_of_any_answer_with_one_token(board, site, tmp_path):
    losses = list(lost_answers(board, site, tmp_path, lambda gateway: {}))
    for loss in losses:
        check(loss)
        assert len(set(loss.gateway.enrolled)) == 1, loss.where
    assert len(losses) == 2


def test_a_change_of_the_trust_bundle_survives_a_power_cut_at_every_write(board, site, tmp_path):
    made = site.device()
    newer = site.bundle(6)

    def prepare(gateway):
        gateway.offer(newer)
        return {"token": None, "slot": 0, "key0": made.key_der, "cert0": made.der, "bundle": site.bundle(5).encode()}

    cuts = list(power_cuts(board, site, tmp_path, prepare))
    for cut in cuts:
        check(cut)
        assert cut.last["stored"]["bundle"] == newer.encode().hex()
    assert len(cuts) == 2
