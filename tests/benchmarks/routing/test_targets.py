from __future__ import annotations

from benchmarks.routing.targets import Point, weight_for

POINTS = [
    Point(1, 0.2, 1.01, 0.005),
    Point(2, 0.5, 1.0, 0.005),
    Point(3, 0.7, 0.992, 0.005),
    Point(4, 0.9, 0.94, 0.005),
]


def test_the_most_is_saved_that_keeps_the_target_with_caution() -> None:
    assert weight_for(POINTS, 0.99, caution=0) == 3
    assert weight_for(POINTS, 0.99, caution=1) == 2
    assert weight_for(POINTS, 1.0, caution=1) == 1


def test_when_nothing_keeps_it_the_strong_model_always_answers() -> None:
    assert weight_for(POINTS, 1.02) < 0


def test_what_costs_more_than_the_strong_model_is_no_choice() -> None:
    assert weight_for([Point(1, -0.3, 1.1, 0.0)], 0.99) < 0
