"""Calls in flight and the peak EWMA of first bytes."""

from __future__ import annotations

from math import e, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.load import FADE_S, UNKNOWN_S, Load, PeakEwma, Traffic

TIMES = st.floats(0.001, 600.0)


def seen(*took_s: float, at_s: float = 0.0) -> PeakEwma:
    """An average after first bytes that came one right after the other."""
    ewma = PeakEwma()
    for each_s in took_s:
        ewma.begin(at_s - each_s)
        ewma.end(at_s - each_s, at_s, answered=True)
    return ewma


def test_nothing_is_known_until_something_has_answered() -> None:
    ewma = PeakEwma()
    assert ewma.latency_s(0.0) is None
    ewma.begin(0.0)
    assert ewma.latency_s(5.0) == UNKNOWN_S  # one is finding out: that is enough
    ewma.end(0.0, 5.0, answered=False)
    assert ewma.latency_s(5.0) is None
    ewma.begin(5.0)
    ewma.end(5.0, 7.0, answered=True)
    assert ewma.latency_s(7.0) == 2.0


def test_a_peak_counts_at_once_and_fades() -> None:
    ewma = seen(1.0, 1.0, 9.0)
    assert ewma.latency_s(0.0) == 9.0
    assert ewma.latency_s(FADE_S) == pytest.approx(9.0 / e)
    assert ewma.latency_s(FADE_S * log(9.0)) == pytest.approx(1.0)


def test_earlier_ones_pull_it_down_slowly() -> None:
    ewma = seen(10.0)
    ewma.begin(FADE_S - 1.0)
    ewma.end(FADE_S - 1.0, FADE_S, answered=True)
    latency_s = ewma.latency_s(FADE_S)
    assert latency_s == pytest.approx(10.0 / e + 1.0 * (1 - 1 / e))


def test_waiting_counts_before_the_first_byte_comes() -> None:
    ewma = seen(0.5)
    ewma.begin(0.0)
    ewma.begin(10.0)
    assert ewma.latency_s(20.0) == 15.0  # 20 s and 10 s
    ewma.end(0.0, 20.0, answered=False)
    assert ewma.latency_s(20.0) == 20.0  # it would have taken longer than that
    ewma.end(10.0, 20.0, answered=True)


def test_a_quick_failure_is_no_quick_answer() -> None:
    ewma = seen(2.0)
    ewma.begin(0.0)
    ewma.end(0.0, 0.001, answered=False)
    assert ewma.latency_s(0.0) == 2.0


@given(st.lists(st.tuples(TIMES, TIMES, st.booleans()), min_size=1, max_size=30))
def test_it_never_leaves_what_was_seen(calls: list[tuple[float, float, bool]]) -> None:
    ewma = PeakEwma()
    now_s = 0.0
    answered: list[float] = []
    for pause_s, took_s, well in calls:
        began_s = now_s + pause_s
        now_s = began_s + took_s
        ewma.begin(began_s)
        ewma.end(began_s, now_s, answered=well)
        if well or answered:
            answered.append(took_s)
        latency_s = ewma.latency_s(now_s)
        if not answered:
            assert latency_s is None
        else:
            assert latency_s is not None
            assert 0.0 < latency_s <= max(answered) * (1 + 1e-9)
    assert ewma.waiting == 0


@given(st.lists(TIMES, min_size=1, max_size=20))
def test_nobody_waits_when_all_have_ended(began_s: list[float]) -> None:
    ewma = seen(1.0)
    for each_s in began_s:
        ewma.begin(each_s)
    for each_s in reversed(began_s):
        ewma.end(each_s, 1_000.0, answered=True)
    assert ewma.waiting == 0
    assert ewma.latency_s(1_000_000.0) == pytest.approx(0.0, abs=1e-9)


def test_streams_and_whole_answers_are_told_apart() -> None:
    traffic = Traffic()
    traffic.in_flight = 3
    traffic.whole.begin(0.0)
    traffic.whole.end(0.0, 30.0, answered=True)
    assert traffic.load(30.0, False) == Load(3, 30.0)
    assert traffic.load(30.0, True) == Load(3, None)
