from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.attempts import (
    RETRY_AFTER_MAX_S,
    AttemptRules,
    Call,
    Candidate,
    GiveUp,
    Hedge,
    History,
    Step,
    Tried,
    Wait,
    next_step,
)
from routing.failures import FAILURE_KINDS, MEANINGS, Failure, FailureKind, Fallback

RULES = AttemptRules()
WELL = Candidate()
OPEN = Candidate("no", retry_at_s=7.0)
PARKED = Candidate("no", retry_at_s=4.0, parked=True)


def failed(candidate: int, kind: FailureKind, at_s: float = 1.0, **more: object) -> Tried:
    return Tried(candidate, at_s - 0.5, at_s, Failure(kind, **more))  # type: ignore[arg-type]


def step(tried: Sequence[Tried], view: Sequence[Candidate], now_s: float = 1.0, **more: object) -> Step:
    rules = more.pop("rules", RULES)
    draw = more.pop("draw", 0.5)
    history = History(tried, **{"deadline_s": 60.0, **more})  # type: ignore[arg-type]
    return next_step(history, rules, view, now_s, draw)  # type: ignore[arg-type]


# --- the first call ---


def test_the_first_call_offers_every_candidate_that_is_admitted_in_order() -> None:
    assert step((), (WELL, OPEN, Candidate("probe"), PARKED, WELL)) == Call((0, 2, 4), "first")


def test_nothing_is_called_when_every_breaker_is_open() -> None:
    assert step((), (OPEN, replace_retry_at(OPEN, 90))) == GiveUp("breakers_open", 6.0)
    assert step((), (replace_retry_at(OPEN, float("inf")),)) == GiveUp("breakers_open", RETRY_AFTER_MAX_S)
    assert step((), (OPEN, PARKED)) == GiveUp("breakers_open", 3.0)
    assert step((), ()) == GiveUp("breakers_open", RETRY_AFTER_MAX_S)


def replace_retry_at(candidate: Candidate, at_s: float) -> Candidate:
    return candidate._replace(retry_at_s=at_s)


def test_nothing_is_called_when_every_candidate_is_parked() -> None:
    assert step((), (PARKED, PARKED)) == GiveUp("parked", 3.0)


def test_a_pause_is_waited_for_as_long_as_a_retry_after() -> None:
    later = replace_retry_at(PARKED, 9.0)
    assert step((), (OPEN, later, PARKED), arrived_s=1.0, draw=0.0) == Wait(4.25)
    assert step((), (PARKED,), arrived_s=1.0, draw=0.5) == Wait(4.1875), "not all that wait at the same moment"
    assert step((), (PARKED,), 5.0, arrived_s=1.0, waited=True, draw=0.0) == Wait(5.25), "parked once more meanwhile"
    assert step((), (replace_retry_at(PARKED, 30.9),), arrived_s=1.0) == GiveUp("parked", 29.9)
    assert step((), (PARKED,), arrived_s=-27.0) == GiveUp("parked", 3.0)
    assert step((), (PARKED,), arrived_s=1.0, deadline_s=4.0) == GiveUp("parked", 3.0)


def test_an_outage_is_not_waited_for_and_nor_is_a_pause_where_nothing_is_retried() -> None:
    assert step((), (OPEN, OPEN), arrived_s=1.0) == GiveUp("breakers_open", 6.0)
    for rules in (AttemptRules(retries=0), AttemptRules(retry_on=frozenset(("server_error",)))):
        assert step((), (PARKED,), arrived_s=1.0, rules=rules) == GiveUp("parked", 3.0)


# --- fallback ---


@pytest.mark.parametrize("kind", FAILURE_KINDS)
def test_fallback_is_at_once_and_needs_no_budget(kind: FailureKind) -> None:
    view = (
        Candidate(may_retry=False, context_tokens=1000),
        OPEN,
        Candidate(may_retry=False, context_tokens=2000),
        Candidate(may_retry=False, context_tokens=3000),
    )
    found = step([failed(0, kind, billable=True)], view)
    assert found == (GiveUp("final") if MEANINGS[kind].fallback is None else Call((2, 3), "fallback"))


@pytest.mark.parametrize("kind", [kind for kind in FAILURE_KINDS if MEANINGS[kind].fallback])
def test_each_fallback_can_be_switched_off(kind: FailureKind) -> None:
    fallbacks: frozenset[Fallback] = frozenset(get_args(Fallback))
    rules = replace(RULES, fallback_on=fallbacks - {MEANINGS[kind].fallback}, retry_on=frozenset())
    view = (Candidate(context_tokens=1000), Candidate(context_tokens=2000))
    assert step([failed(0, kind)], view, rules=rules) == GiveUp("final")


def test_with_fallback_off_a_failure_that_may_pass_is_tried_again_where_it_was() -> None:
    rules = replace(RULES, fallback_on=frozenset())
    assert step([failed(0, "server_error")], (WELL, WELL), waited=True, rules=rules) == Call((0,), "retry")


def test_with_fallback_off_for_a_failure_nobody_else_is_tried_again_for_it() -> None:
    rules = replace(RULES, fallback_on=frozenset[Fallback](("rate_limit",)))
    tried = [failed(0, "rate_limited"), failed(1, "server_error")]
    assert step(tried, (WELL, WELL), waited=True, rules=rules) == Call((1,), "retry")


def test_a_context_that_was_too_long_goes_to_larger_windows_only() -> None:
    view = tuple(Candidate(context_tokens=tokens) for tokens in (8000, 4000, 8000, 16000, None, 32000))
    first = failed(0, "context_too_long")
    assert step([first], view) == Call((3, 5), "fallback")
    assert step([first, failed(3, "context_too_long")], view) == Call((5,), "fallback")
    assert step([first, failed(3, "server_error")], view) == Call((5,), "fallback")
    assert step([first, failed(3, "context_too_long"), failed(5, "context_too_long")], view) == GiveUp("exhausted")


def test_a_window_that_was_too_small_elsewhere_is_not_tried_again() -> None:
    tried = [failed(0, "server_error"), failed(1, "context_too_long")]
    same, larger = Candidate(context_tokens=1000), Candidate(context_tokens=1001)
    assert step(tried, (same, same), waited=True) == GiveUp("exhausted")
    assert step(tried, (larger, same), waited=True) == Call((0,), "retry")


def test_a_window_that_is_unknown_is_not_known_to_be_larger() -> None:
    assert step([failed(0, "context_too_long")], (WELL, WELL)) == GiveUp("exhausted")
    assert step([failed(0, "context_too_long")], (WELL, Candidate(context_tokens=9))) == Call((1,), "fallback")


# --- retries ---


def test_when_no_candidate_is_left_those_that_may_pass_are_tried_again_after_a_wait() -> None:
    tried = [failed(0, "server_error"), failed(1, "credentials"), failed(2, "unreachable", 2.0)]
    view = (WELL, WELL, WELL)
    assert step(tried, view, 2.0, draw=0.5) == Wait(2.0 + 0.125)
    assert step(tried, view, 2.125, waited=True) == Call((0, 2), "retry")


def test_waits_double_up_to_their_bound() -> None:
    rules = replace(RULES, retries=9, max_attempts=99)
    for retries, most_s in enumerate((0.25, 0.5, 1, 2, 4, 8, 8, 8)):
        tried = [failed(0, "server_error")] * (retries + 1)
        found = step(tried, (WELL,), draw=0.999, rules=rules)
        assert isinstance(found, Wait)
        assert found.until_s == pytest.approx(1 + 0.999 * most_s)


def test_a_retry_after_is_honoured_and_spread() -> None:
    tried = [failed(0, "rate_limited", retry_after_s=3.0)]
    assert step(tried, (PARKED,), draw=0.0) == Wait(4.0)
    assert step(tried, (PARKED,), draw=0.4) == Wait(4.1)
    assert step(tried, (WELL,), 4.0, waited=True) == Call((0,), "retry")


def test_a_park_that_grew_meanwhile_ends_it() -> None:
    tried = [failed(0, "rate_limited", retry_after_s=3.0)]
    assert step(tried, (replace_retry_at(PARKED, 9.0),), 4.0, waited=True) == GiveUp("exhausted", 5.0)


def test_no_wait_reaches_the_deadline_or_is_too_long() -> None:
    tried = [failed(0, "rate_limited", retry_after_s=3.0)]
    assert step(tried, (PARKED,), draw=0.0, deadline_s=4.0) == GiveUp("deadline", 3.0)
    assert step(tried, (PARKED,), draw=0.0, deadline_s=4.01) == Wait(4.0)
    long = [failed(0, "rate_limited", retry_after_s=300.0)]
    assert step(long, (WELL,), draw=0.0, deadline_s=900.0) == GiveUp("deadline", RETRY_AFTER_MAX_S)


@pytest.mark.parametrize("kind", FAILURE_KINDS)
@pytest.mark.parametrize("billable", [False, True])
def test_only_what_may_pass_and_was_not_billed_is_tried_again(kind: FailureKind, billable: bool) -> None:
    found = step([failed(0, kind, billable=billable)], (WELL,), waited=True)
    assert (found == Call((0,), "retry")) == (kind in RULES.retry_on and not billable)
    permissive = replace(RULES, retry_billable=True)
    permitted = step([failed(0, kind, billable=billable)], (WELL,), waited=True, rules=permissive)
    assert (permitted == Call((0,), "retry")) == (kind in RULES.retry_on)


def test_retries_are_bounded() -> None:
    tried = [failed(0, "server_error")] * 3
    assert step(tried, (WELL,)) == GiveUp("attempts")
    assert step(tried, (WELL,), rules=replace(RULES, max_attempts=3, retries=9)) == GiveUp("attempts")


def test_without_room_in_the_retry_budget_there_is_no_retry() -> None:
    tried = [failed(0, "server_error"), failed(1, "server_error")]
    spent = Candidate(may_retry=False)
    assert step(tried, (spent, spent)) == GiveUp("retry_budget")
    assert step(tried, (spent, WELL), waited=True) == Call((1,), "retry")


def test_an_open_breaker_is_not_waited_for() -> None:
    assert step([failed(0, "unreachable")], (OPEN,)) == GiveUp("exhausted", 6.0)


def test_a_candidate_that_comes_back_during_a_wait_is_a_fallback() -> None:
    assert step([failed(0, "server_error")], (WELL, WELL), waited=True) == Call((1,), "fallback")


# --- the end ---


def test_nothing_is_begun_after_the_clients_first_byte_the_deadline_or_an_answer() -> None:
    tried = [failed(0, "cut")]
    assert step(tried, (WELL, WELL), client_started=True) == GiveUp("client_started")
    assert step(tried, (WELL, WELL), deadline_s=1.0) == GiveUp("deadline")
    assert step((), (WELL, WELL), deadline_s=1.0) == GiveUp("deadline")
    assert step([Tried(0, 0.0, 1.0)], (WELL, WELL)) == GiveUp("answered")


# --- hedging ---


def test_a_late_first_byte_is_hedged_once() -> None:
    running = Tried(0, 0.0)
    view = (WELL, OPEN, WELL)
    assert step([running], view, 1.0) == Wait(60.0)
    assert step([running], view, 1.0, hedge_at_s=2.0) == Wait(2.0)
    assert step([running], view, 2.0, hedge_at_s=2.0) == Hedge((2,))
    hedge = Tried(2, 2.0, hedge=True)
    assert step([running, hedge], (WELL, WELL, WELL), 3.0, hedge_at_s=2.0) == Wait(60.0)
    assert step([running], (WELL, OPEN), 3.0, hedge_at_s=2.0) == Wait(60.0)


def test_while_one_of_two_still_runs_it_is_waited_for() -> None:
    tried = [Tried(0, 0.0), Tried(1, 2.0, 2.5, Failure("unreachable"), hedge=True)]
    assert step(tried, (WELL, WELL, WELL), 2.5, hedge_at_s=2.0) == Wait(60.0)


def test_after_both_failed_the_next_is_called() -> None:
    tried = [failed(0, "timeout", 3.0, billable=True), Tried(1, 2.0, 2.5, Failure("unreachable"), hedge=True)]
    assert step(tried, (WELL, WELL, WELL), 3.0) == Call((2,), "fallback")


def test_of_two_that_failed_the_one_that_ended_last_counts() -> None:
    tried = [failed(0, "server_error", 3.0), Tried(1, 2.7, 2.8, Failure("refused"), hedge=True)]
    assert step(tried, (WELL, WELL, WELL), 3.0) == Call((2,), "fallback")


# --- whatever happens ---

CANDIDATES = st.builds(
    Candidate,
    admits=st.sampled_from(("yes", "yes", "probe", "no")),
    retry_at_s=st.floats(0, 100),
    parked=st.booleans(),
    may_retry=st.booleans(),
    context_tokens=st.sampled_from((None, 1000, 2000, 4000)),
)
FAILURES = st.builds(
    Failure, st.sampled_from(FAILURE_KINDS), st.sampled_from((None, None, 0.0, 0.5, 5.0, 500.0)), st.booleans()
)
RULE_SETS = st.builds(
    AttemptRules,
    retries=st.integers(0, 4),
    retry_on=st.frozensets(st.sampled_from(FAILURE_KINDS)),
    retry_billable=st.booleans(),
    fallback_on=st.frozensets(st.sampled_from(get_args(Fallback))),
    max_attempts=st.integers(1, 8),
)


class World(NamedTuple):
    """What a request meets: drawn as it goes."""

    data: st.DataObject
    count: int
    rules: AttemptRules
    deadline_s: float

    def view(self) -> tuple[Candidate, ...]:
        return tuple(self.data.draw(st.lists(CANDIDATES, min_size=self.count, max_size=self.count)))

    def chance(self, of: float) -> bool:
        return self.data.draw(st.floats(0, 1)) < of


def check_call(found: Call | Hedge, tried: list[Tried], view: Sequence[Candidate], world: World) -> None:
    seen = {each.candidate for each in tried}
    assert found.candidates
    assert list(found.candidates) == sorted(set(found.candidates))
    for index in found.candidates:
        assert view[index].admits != "no"
    if isinstance(found, Call) and found.kind == "retry":
        for index in found.candidates:
            assert index in seen
            assert view[index].may_retry
            last = [each for each in tried if each.candidate == index][-1]
            assert last.failure is not None
            assert last.failure.kind in world.rules.retry_on
            assert world.rules.retry_billable or not last.failure.billable
        assert len(tried) - len(seen) < world.rules.retries
    else:
        assert not seen & set(found.candidates), "a candidate twice by fallback"
    assert len(tried) < world.rules.max_attempts
    too_small = [view[each.candidate].context_tokens or 0 for each in tried if each.failure and _too_long(each.failure)]
    assert all((view[index].context_tokens or 0) > tokens for index in found.candidates for tokens in too_small)


def _too_long(failure: Failure) -> bool:
    return failure.kind == "context_too_long"


@given(st.data(), st.integers(1, 4), RULE_SETS, st.floats(0, 60))
@settings(max_examples=400)
def test_every_request_ends_within_its_bounds(
    data: st.DataObject, count: int, rules: AttemptRules, deadline_s: float
) -> None:
    world = World(data, count, rules, deadline_s)
    tried: list[Tried] = []
    now_s, waited, hedge_at_s, steps, pauses = 0.0, False, None, 0, 0
    while True:
        steps += 1
        assert steps - pauses <= 3 * (count + rules.retries) + 3, "it does not end"
        view, draw = world.view() if pauses < 3 or tried else (WELL,) * count, data.draw(st.floats(0, 0.999))
        history = History(tried, deadline_s, False, waited, hedge_at_s, 0.0)
        found = next_step(history, rules, view, now_s, draw)
        assert next_step(history._replace(client_started=True), rules, view, now_s, draw) == GiveUp("client_started")
        running = [index for index, each in enumerate(tried) if each.ended_s is None]
        if isinstance(found, GiveUp):
            assert found.retry_after_s is None or 0 <= found.retry_after_s <= RETRY_AFTER_MAX_S
            assert not running or now_s >= deadline_s
            break
        if isinstance(found, Wait):
            assert found.until_s <= deadline_s
            if not running:
                assert not waited or not tried, "two waits without an attempt between"
                assert now_s <= found.until_s < deadline_s
                assert tried or found.until_s <= rules.wait_max_s
                pauses += not tried
                now_s, waited = found.until_s, True
                continue
            hedge_due = found.until_s < deadline_s
            if hedge_due and world.chance(0.5):
                now_s = found.until_s
                continue
        else:
            assert now_s < deadline_s
            check_call(found, tried, view, world)
            assert isinstance(found, Hedge) == bool(running)
            candidate = data.draw(st.sampled_from(found.candidates))
            tried.append(Tried(candidate, now_s, hedge=isinstance(found, Hedge)))
            waited = False
            hedge_at_s = now_s + 0.5 if world.chance(0.5) else None
            continue
        now_s += data.draw(st.floats(0, 5))  # one of the running attempts ends
        ended = data.draw(st.sampled_from(running))
        tried[ended] = tried[ended]._replace(ended_s=now_s, failure=data.draw(FAILURES))
    assert len(tried) <= min(rules.max_attempts, count + rules.retries)
    assert sum(each.hedge for each in tried) <= 1
