from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.quality import MIN_OUTCOMES, SIGNALS, SLOPE_PRECISION, Candidate, Quality, Record

STRONG, CHEAP = Candidate("strong", 0.01), Candidate("cheap", 0.001)
USUAL = (0.0,) * SIGNALS
PER_USD = 10.0

signals = st.tuples(*[st.floats(-8, 8)] * SIGNALS)
outcomes = st.lists(st.tuples(signals, st.floats(0, 1)), max_size=40)


def learned(shares: dict[str, float], count: int = 100, agent: str = "agent") -> Quality:
    quality = Quality()
    for model, share in shares.items():
        for number in range(count):
            quality.learn(agent, model, USUAL, float(number < share * count))
    return quality


def test_a_cheap_model_that_is_as_good_is_chosen() -> None:
    assert learned({"strong": 0.9, "cheap": 0.9}).choose("agent", STRONG, [CHEAP], USUAL, PER_USD) == "cheap"


def test_a_cheap_model_that_is_worse_than_it_saves_is_not() -> None:
    quality = learned({"strong": 0.9, "cheap": 0.6})
    assert quality.choose("agent", STRONG, [CHEAP], USUAL, PER_USD) == "strong"
    assert quality.choose("agent", STRONG, [CHEAP], USUAL, 100 * PER_USD) == "cheap"


@pytest.mark.parametrize("thin", ["strong", "cheap"])
def test_thin_evidence_is_for_the_strong_model(thin: str) -> None:
    quality = learned({"strong": 0.5, "cheap": 1.0}, MIN_OUTCOMES)
    assert quality.choose("agent", STRONG, [CHEAP], USUAL, PER_USD) == "cheap"
    thinner = Quality()
    for model in ("strong", "cheap"):
        for _ in range(MIN_OUTCOMES - (model == thin)):
            thinner.learn("agent", model, USUAL, float(model == "cheap"))
    assert thinner.choose("agent", STRONG, [CHEAP], USUAL, PER_USD) == "strong"


def test_an_unknown_agent_gets_the_strong_model() -> None:
    assert learned({"strong": 0.5, "cheap": 1.0}).choose("new", STRONG, [CHEAP], USUAL, PER_USD) == "strong"


def test_records_are_drawn_towards_the_models_overall_one() -> None:
    quality = learned({"strong": 0.9, "cheap": 0.5}, 1_000)
    quality.learn("other", "cheap", USUAL, 1.0)
    quality.learn("other", "strong", USUAL, 1.0)
    assert 0.5 < quality.p("other", "cheap", USUAL) < 0.65
    assert quality.p("other", "strong", USUAL) > 0.9


def test_an_agent_whose_work_is_hard_for_one_model_is_expected_to_be_hard_for_another() -> None:
    quality = learned({"strong": 0.9, "cheap": 0.9}, 200)
    for _ in range(100):
        quality.learn("hard", "strong", USUAL, 0.0)
    assert quality.p("hard", "cheap", USUAL) < quality.p("agent", "cheap", USUAL) - 0.3


def test_without_any_outcome_nothing_is_known() -> None:
    assert Quality().p("agent", "model", USUAL) == 0.5
    assert Quality().outcomes("agent", "model") == 0


def test_the_text_corrects_the_record() -> None:
    """Outcomes that follow the first signal: a request that looks easy is more likely to be got right."""
    chance = random.Random(5)
    quality = Quality()
    for _ in range(1_000):
        seen = tuple(chance.gauss(0, 1) for _ in range(SIGNALS))
        quality.learn("agent", "cheap", seen, float(seen[0] + chance.gauss(0, 0.5) > 0))
    easy, hard = (1.0, *USUAL[1:]), (-1.0, *USUAL[1:])
    assert quality.p("agent", "cheap", easy) > 0.75
    assert quality.p("agent", "cheap", hard) < 0.25
    assert quality.p("agent", "cheap", (0.0, 1.0, *USUAL[2:])) == pytest.approx(0.5, abs=0.06)


def test_slopes_need_evidence() -> None:
    quality = Quality()
    for value in (1.0, -1.0):
        quality.learn("agent", "cheap", (value, *USUAL[1:]), float(value > 0))
    spread = quality.p("agent", "cheap", (1.0, *USUAL[1:])) - quality.p("agent", "cheap", (-1.0, *USUAL[1:]))
    assert 0 < spread < 0.05


@given(outcomes, signals)
def test_p_is_a_probability_whatever_was_learned(
    seen: list[tuple[tuple[float, ...], float]], now: tuple[float, ...]
) -> None:
    quality = Quality()
    for each, score in seen:
        quality.learn("agent", "model", each, score)
    assert 0.0 < quality.p("agent", "model", now) < 1.0


@given(outcomes, st.randoms(use_true_random=False), signals)
def test_order_does_not_matter_and_records_merge(
    seen: list[tuple[tuple[float, ...], float]], chance: random.Random, now: tuple[float, ...]
) -> None:
    whole, left, right = Record(), Record(), Record()
    for each, score in seen:
        whole.add(each, score)
    chance.shuffle(seen)
    for number, (each, score) in enumerate(seen):
        (left if number % 2 else right).add(each, score)
    left.merge(right)
    assert left.count == whole.count
    assert left.mean == pytest.approx(whole.mean)
    assert left.correction(now) == pytest.approx(whole.correction(now), abs=1e-9)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_is_a_share(score: float) -> None:
    with pytest.raises(ValueError, match="a score is"):
        Quality().learn("agent", "model", USUAL, score)


def test_slopes_are_a_ridge_regression_on_what_differs_from_the_usual() -> None:
    chance = np.random.default_rng(7)
    seen = chance.normal(loc=(1.5, -2.0, 0.5, 3.0, 0.0), size=(80, SIGNALS)).clip(-6, 6)
    scores = (seen @ (0.1, 0.0, -0.05, 0.02, 0.0) + chance.uniform(size=80)).clip(0, 1)
    record = Record()
    for each, score in zip(seen.tolist(), scores.tolist(), strict=True):
        record.add(each, score)
    apart = seen - seen.mean(axis=0)
    slopes = np.linalg.solve(apart.T @ apart + SLOPE_PRECISION * np.eye(SIGNALS), apart.T @ (scores - scores.mean()))
    now = [0.3, -1.0, 2.0, 2.5, 0.0]
    assert record.correction(now) == pytest.approx(float(slopes @ (now - seen.mean(axis=0))))
