"""A cut of what `make campaign` does to the disk: each fault at some of the writes and syncs of one enrolment."""

import pytest

from tests.support import broken_disk


@pytest.mark.parametrize(("call", "number"), [("pwrite64", 1), ("pwrite64", 14), ("fdatasync", 1), ("fdatasync", 2)])
@pytest.mark.parametrize("fault", ["kill", "full", "broken for a moment"])
def test_an_enrolment_that_the_disk_interrupts_is_neither_lost_nor_doubled(tmp_path, call, number, fault):
    assert broken_disk.hit(tmp_path, call, fault, number)


def test_a_service_that_is_killed_under_load_has_lost_and_doubled_nothing(tmp_path):
    assert broken_disk.killed_under_load(tmp_path, 4, seed=11, devices=150) == 4


def test_a_token_that_many_use_at_once_is_good_for_one_certificate(tmp_path):
    broken_disk.shared_tokens(tmp_path, 25)
