"""Assumed lengths of answers."""

from __future__ import annotations

from hypothesis import given

from routing.lengths import ENOUGH, MOST, Lengths
from routing.money import Usage
from routing.recorded import Recorded
from tests.routing.recordings import recorded, recordings


def answers(model: str, tokens: int, agent: str = "tester", count: int = ENOUGH) -> list[Recorded]:
    return [recorded(number, model, agent=agent, usage=Usage(10, tokens)) for number in range(count)]


def test_an_agents_own_ratio_comes_first() -> None:
    lengths = Lengths([*answers("a", 100), *answers("b", 300), *answers("a", 100, "x"), *answers("b", 50, "x")])
    assert lengths.ratio("tester", "a", "b") == 3
    assert lengths.ratio("x", "a", "b") == 0.5
    pooled = lengths.ratio("stranger", "a", "b")
    assert pooled is not None
    assert 1.2 < pooled < 1.3  # the geometric mean of 3 and 1/2


def test_few_answers_prove_nothing() -> None:
    lengths = Lengths([*answers("a", 100), *answers("b", 300, count=ENOUGH - 1)])
    assert lengths.ratio("tester", "a", "b") is None
    row = recorded(1, "a", usage=Usage(10, 100))
    assert lengths.assumed(row, "b") == (100, False)
    assert lengths.usual("tester", "b") is None
    assert lengths.usual("stranger", "a") == 100


def test_ratios_are_bounded() -> None:
    lengths = Lengths([*answers("a", 1), *answers("b", 1_000)])
    assert (lengths.ratio("tester", "a", "b"), lengths.ratio("tester", "b", "a")) == (MOST, 1 / MOST)


def test_no_answer_becomes_longer_than_the_request_allows() -> None:
    lengths = Lengths([*answers("a", 100), *answers("b", 300)])
    row = recorded(1, "a", usage=Usage(10, 100), max_output_tokens=200)
    assert lengths.assumed(row, "b") == (200, True)
    assert lengths.assumed(row._replace(usage=Usage(10, 250)), "b") == (250, True)


@given(recordings())
def test_the_model_that_answered_keeps_its_length(rows: list[Recorded]) -> None:
    lengths = Lengths(rows)
    for row in rows:
        assert lengths.assumed(row, row.model).tokens == row.usage.output_tokens
