"""What a plan promises to whoever carries it out."""

import json
from dataclasses import dataclass

import pytest

from fleetmint.plan import Plan, plain


@dataclass(frozen=True)
class Made:
    number: int
    names: tuple[str, ...] = ()
    place: str | None = None


def test_a_look_ahead_gives_what_is_expected_and_makes_nothing():
    made = []
    plan = Plan(("make one",), lambda: made.append(1) or Made(2), expected=Made(1))
    assert plan.carry_out(check=True) == Made(1)
    assert made == []


def test_a_plan_that_is_applied_gives_what_came_of_it():
    plan = Plan(("make one",), lambda: Made(2), expected=Made(1))
    assert plan.carry_out(check=False) == plan.apply() == Made(2)


def test_where_nothing_is_to_be_done_applying_changes_nothing_and_gives_what_is_there():
    plan = Plan(expected=Made(1))
    assert (plan.changed, plan.apply()) == (False, Made(1))
    assert Plan().apply() is None


def test_a_result_is_plain_for_json_and_leaves_out_what_is_not_known():
    assert json.dumps(plain(Made(1, ("a", "b")))) == '{"number": 1, "names": ["a", "b"]}'
    assert plain({"document": "x"}) == {"document": "x"}
    assert plain(None) == {}


def test_a_result_without_names_is_not_for_json():
    with pytest.raises(TypeError, match="int"):
        plain(7)
