"""Estimates of quality."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.outcomes import Outcomes
from routing.recorded import Recorded
from tests.routing.recordings import recorded, recordings


def outcomes(rows: list[Recorded], draws: int = 200, **chosen: str) -> Outcomes:
    """Every world sends every request to one model; `asked`: to the recorded one."""
    found = Outcomes(list(chosen), draws)
    for row in rows:
        found.add(row, {world: row.model if model == "asked" else model for world, model in chosen.items()})
    return found


def test_what_was_judged_and_stays_keeps_its_score() -> None:
    rows = [recorded(number, "small", score=number % 2) for number in range(100)]
    same = outcomes(rows, today="asked").estimates()["today"]
    assert same is not None
    assert same.mean == 0.5
    assert 0.35 < same.low < 0.5 < same.high < 0.65
    assert (same.covered, same.judged) == (1.0, 100)


def test_another_model_is_as_good_as_its_own_answers() -> None:
    rows = [recorded(number, "small", score=0.5) for number in range(100)]
    rows += [recorded(number, "large", score=1.0) for number in range(100, 300)]
    found = outcomes(rows, cheap="small", dear="large", today="asked").estimates()
    means = [found[name].mean for name in ("cheap", "today", "dear")]  # type: ignore[union-attr]  # all are known
    assert means == pytest.approx([0.5, 250 / 300, 1.0])


def test_an_agent_of_few_answers_is_drawn_to_all() -> None:
    rows = [recorded(number, "small", agent="a", score=1.0) for number in range(90)]
    rows += [recorded(number, "small", agent="b", score=0.0) for number in range(10)]
    unseen = recorded(1_000, "large", agent="b")
    found = Outcomes(["moved"])
    for row in rows:
        found.add(row, {"moved": ""})
    found.add(unseen, {"moved": "small"})
    quality = found.estimates()["moved"]
    assert quality is not None
    assert quality.mean == pytest.approx((0 + 10 * 0.9) / 20)


def test_models_that_nobody_judged_are_not_guessed() -> None:
    rows = [recorded(number, "small", score=1.0) for number in range(10)] + [recorded(11, "large")]
    found = outcomes(rows, today="asked", dear="large").estimates()
    assert found["dear"] is None
    assert found["today"] is not None
    assert found["today"].covered == pytest.approx(10 / 11)


def test_no_score_at_all_says_nothing() -> None:
    assert outcomes([recorded()], today="asked").estimates() == {"today": None}
    assert Outcomes(["today"]).estimates() == {"today": None}


def test_runs_widen_the_interval() -> None:
    single = [recorded(number, "small", score=number % 2) for number in range(100)]
    runs = [recorded(number, "small", score=number // 25 % 2, run=f"tester/{number // 25}") for number in range(100)]
    one, other = (outcomes(rows, today="asked").estimates()["today"] for rows in (single, runs))
    assert one is not None
    assert other is not None
    assert other.high - other.low > 2 * (one.high - one.low)


@given(recordings(), st.sampled_from(("small", "large", "asked", "")))
def test_estimates_are_scores_within_their_intervals(rows: list[Recorded], model: str) -> None:
    quality = outcomes(rows, 5, world=model).estimates()["world"]
    if quality is not None:
        assert 0 <= quality.low <= quality.mean <= quality.high <= 1 + 1e-9
        assert 0 < quality.covered <= 1
