from datetime import timedelta

from fleetmint.ca.crls import plan_authority_crl
from fleetmint.preflight.clock import WRITTEN, controller_clock


def test_a_clock_that_is_right_is_no_problem(hierarchy, now):
    assert controller_clock(now, hierarchy.directory) == []
    assert controller_clock(now + timedelta(days=4000), hierarchy.directory) == []
    assert controller_clock(now, hierarchy.directory / "nothing there") == []


def test_a_clock_before_this_program_was_written_is_wrong(tmp_path):
    (problem,) = controller_clock(WRITTEN - timedelta(days=1), tmp_path)
    assert "before this program was written" in problem.what


def test_a_clock_before_what_was_signed_is_wrong_and_the_latest_file_is_named(hierarchy, now):
    (problem,) = controller_clock(now - timedelta(minutes=5), hierarchy.directory)
    assert str(hierarchy.directory) in problem.what
    assert f"{now:%Y-%m-%d %H:%M}Z" in problem.what
    assert "preflight_clock_is_right=true" in problem.remedy


def test_a_crl_counts_as_well_as_a_certificate(hierarchy, now):
    later = now + timedelta(days=2)
    plan_authority_crl(hierarchy, "factory", [0xABCDEF], later).apply()
    (problem,) = controller_clock(now + timedelta(days=1), hierarchy.directory)
    assert "factory/crl.pem" in problem.what
    assert controller_clock(later, hierarchy.directory) == []


def test_a_file_that_cannot_be_read_is_told_by_whoever_needs_it(hierarchy, now):
    (hierarchy.directory / "broken.crt").write_text("nothing")
    assert controller_clock(now, hierarchy.directory) == []


def test_a_clock_that_nothing_keeps_is_refused_with_how_to_attest_it(hierarchy, now, monkeypatch):
    monkeypatch.setattr("fleetmint.preflight.clock.timekeeping.kept", lambda: "")
    monkeypatch.setattr("fleetmint.preflight.clock.sys.platform", "linux")
    (problem,) = controller_clock(now, hierarchy.directory)
    assert f"nothing keeps the clock of this machine, which says {now:%Y-%m-%d %H:%M}Z" in problem.what
    assert "-e preflight_clock_is_right=true" in problem.remedy
    monkeypatch.setattr("fleetmint.preflight.clock.timekeeping.kept", lambda: "ntp")
    assert controller_clock(now, hierarchy.directory) == []
