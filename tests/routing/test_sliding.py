from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from routing.sliding import BUCKETS, SlidingCount

WIDTH_S = 2


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60))
@example([(0, 1), (WIDTH_S * (BUCKETS - 1), 1), (WIDTH_S, 0)])
def test_it_holds_between_nine_tenths_and_the_whole_of_the_window(steps: list[tuple[int, int]]) -> None:
    window = SlidingCount(WIDTH_S * BUCKETS)
    now_s, events = 1_800_000_000, []
    for passed_s, times in steps:
        now_s += passed_s
        for _ in range(times):
            window.add(now_s)
            events.append(now_s)
        least = sum(at_s > now_s - WIDTH_S * (BUCKETS - 1) for at_s in events)
        most = sum(at_s > now_s - WIDTH_S * BUCKETS for at_s in events)
        assert least <= window.count(now_s) <= most


def test_cleared_it_holds_nothing() -> None:
    window = SlidingCount(10)
    window.add(1)
    window.add(5)
    window.clear()
    assert window.count(5) == 0
    window.add(6)
    assert window.count(6) == 1


def test_time_that_goes_backwards_counts_as_no_time() -> None:
    window = SlidingCount(10)
    window.add(100)
    window.add(50)
    assert window.count(40) == 2
    assert window.count(100) == 2
    assert window.count(111) == 0
