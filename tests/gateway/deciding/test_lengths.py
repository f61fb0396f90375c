"""How long answers usually become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deciding.lengths import KEPT, MEMORY, Lengths
from gateway.learned.expectations import START, Expectation


def unknown(_agent: str, _model: str) -> Expectation:
    return START


def test_nothing_is_known_at_first() -> None:
    assert Lengths(unknown).of("a", "m") is None


def test_what_reservations_are_made_of_stands_in() -> None:
    lengths = Lengths(lambda agent, _model: Expectation(700, 0.3) if agent == "a" else START)
    assert (lengths.of("a", "m"), lengths.of("b", "m")) == (700.0, None)
    lengths.observe("a", "m", 100)
    assert lengths.of("a", "m") == 100.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=MEMORY))
def test_it_is_the_mean(seen: list[float]) -> None:
    lengths = Lengths(unknown)
    for tokens in seen:
        lengths.observe("a", "m", tokens)
    assert lengths.of("a", "m") == pytest.approx(sum(seen) / len(seen), abs=1e-3)


def test_old_habits_are_forgotten() -> None:
    lengths = Lengths(unknown)
    for tokens in [10] * 200 + [1_000] * (4 * MEMORY):
        lengths.observe("a", "m", tokens)
    known = lengths.of("a", "m")
    assert known is not None
    assert known > 950


def test_agents_and_models_are_apart_and_bounded() -> None:
    lengths = Lengths(unknown)
    for number in range(KEPT + 2):
        lengths.observe("a", f"m{number}", number)
    assert (lengths.of("a", "m0"), lengths.of("a", "m1"), lengths.of("a", "m2")) == (None, None, 2.0)
    lengths.observe("a", "m2", 4)  # one that is known makes nobody forgotten
    assert (lengths.of("a", "m2"), lengths.of("a", "m3"), lengths.of("b", "m3")) == (3.0, 3.0, None)
