"""What is told again, and what is not."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.alerting.alert import Alert, Subject
from gateway.alerting.memory import FLAPS, MOST_OF_AN_AGENT, REMEMBERED, Memory
from tests.gateway.alerting.samples import NOW_S, alert

HOUR_S = 3_600.0


def breaker(after_s: float, status: str = "firing") -> Alert:
    return alert(kind="breaker", key="b", subject=Subject(breaker="b"), at_s=NOW_S + after_s, status=status)


@given(st.lists(st.floats(0, 1_000), max_size=60))
def test_the_same_is_told_once_in_a_while(gaps_s: list[float]) -> None:
    memory, at_s, told = Memory(HOUR_S), NOW_S, []
    for gap_s in gaps_s:
        at_s += gap_s
        if memory.is_news(alert(at_s=at_s)):
            told.append(at_s)
        assert at_s - told[-1] < HOUR_S, "it is never silent for longer"
    assert all(later - earlier >= HOUR_S for earlier, later in pairwise(told))


def test_the_end_is_told_once_and_only_where_the_beginning_was() -> None:
    memory = Memory(HOUR_S)
    assert not memory.is_news(breaker(0, "resolved"))
    assert memory.is_news(breaker(1))
    assert not memory.is_news(breaker(2))
    assert memory.is_news(breaker(3, "resolved"))
    assert not memory.is_news(breaker(4, "resolved"))
    assert memory.is_news(breaker(5)), "it began again: that it is over is not true any more"


def test_what_comes_and_goes_is_left_standing() -> None:
    memory = Memory(HOUR_S)
    told = [(memory.is_news(breaker(n)), memory.is_news(breaker(n + 0.5, "resolved"))) for n in range(20)]
    assert told[:FLAPS] == [(True, True)] * (FLAPS - 1) + [(True, False)]
    assert told[FLAPS:] == [(False, False)] * (20 - FLAPS)
    assert memory.is_news(breaker(HOUR_S + 30)), "it still is, an hour later"
    assert memory.is_news(breaker(HOUR_S + 31, "resolved"))


def test_what_another_gateway_tells_it_tells_to_the_end() -> None:
    memory = Memory(HOUR_S)
    assert memory.is_news(breaker(0))
    memory.told_elsewhere(breaker(0))
    assert not memory.is_news(breaker(1))
    assert not memory.is_news(breaker(2, "resolved"))
    assert memory.is_news(breaker(3)), "the journal is asked again"


def test_an_agents_runs_cannot_flood() -> None:
    memory = Memory(HOUR_S)

    def of_run(number: int, agent: str = "researcher", after_s: float = 0.0) -> Alert:
        subject = Subject(agent=agent, run=f"{agent}/{number}")
        return alert(key=f"{agent}{number}", subject=subject, at_s=NOW_S + after_s)

    assert sum(memory.is_news(of_run(number)) for number in range(500)) == MOST_OF_AN_AGENT
    assert memory.is_news(of_run(0, "other"))
    assert memory.is_news(of_run(999, after_s=HOUR_S))


def test_memory_is_bounded() -> None:
    memory = Memory(HOUR_S)
    for number in range(REMEMBERED + 1):
        assert memory.is_news(breaker(0)._replace(key=str(number)))
    assert memory.is_news(breaker(1)._replace(key="0")), "told longest ago"
    assert not memory.is_news(breaker(1)._replace(key=str(REMEMBERED)))
