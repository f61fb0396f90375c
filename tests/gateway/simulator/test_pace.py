import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator import chance
from gateway.simulator.models import MODELS, Pace
from gateway.simulator.pace import Timing, pieces_due, plan

SIZES = st.lists(st.integers(1, 16), min_size=1, max_size=50)


@settings(deadline=None)
@given(SIZES, st.floats(0, 100), st.floats(0.1, 10), st.integers(0, 1000))
def test_never_decreasing_and_seeded(sizes: list[int], speed: float, slowdown: float, seed: int) -> None:
    timing = Timing(speed=speed, slowdown=slowdown, stalls=((3, 1.5), (0, 0.5)))
    due = plan(MODELS["sim-small"].pace, sizes, timing, chance.dice(seed))
    assert len(due) == len(sizes)
    assert due == sorted(due)
    assert due == plan(MODELS["sim-small"].pace, sizes, timing, chance.dice(seed))
    assert due[0] >= 0.5


def test_no_waiting_at_speed_nought() -> None:
    assert plan(MODELS["sim-large"].pace, [1] * 10, Timing(speed=0.0), chance.dice(1)) == [0.0] * 10


def test_the_rate_and_the_first_token() -> None:
    pace = Pace(first_token_s=0.5, first_token_sigma=0.3, tokens_per_s=100, jitter=0.2)
    plans = [plan(pace, [1] * 101, Timing(), chance.dice(seed)) for seed in range(400)]
    firsts = sorted(due[0] for due in plans)
    assert 0.45 < firsts[200] < 0.55  # the median
    assert math.log(firsts[336] / firsts[200]) > 0.2  # one sigma
    rates = [100 / (due[-1] - due[0]) for due in plans]
    assert 95 < sum(rates) / len(rates) < 105
    twice = plan(pace, [1] * 101, Timing(speed=2.0), chance.dice(1))
    assert [2 * t for t in twice] == pytest.approx(plans[1])


def test_fixed_times_stand_at_any_speed() -> None:
    timing = Timing(speed=0.0, first_ms=10.0, token_ms=2.0, stalls=((2, 1.0),))
    due = plan(MODELS["sim-small"].pace, [1, 1, 1, 2], timing, chance.dice(1))
    assert [round(t, 6) for t in due] == [0.010, 0.012, 1.014, 1.018]
    assert [pieces_due(due, t) for t in (0.0, 0.0101, 1.0, 2.0)] == [0, 1, 2, 4]
