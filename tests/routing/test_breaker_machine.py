"""A breaker under any interleaving of calls, probes, late answers, parks and operators."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from routing.breaker import TRANSITIONS, Breaker, BreakerSettings, Transition
from routing.failures import Outcome

SETTINGS = BreakerSettings(
    consecutive_failures=3, min_requests=6, window_s=20, open_s=4, open_max_s=16, probes=2, successes=2, probe_s=10
)
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(("ok", "failure", "ignored"))


class Running(NamedTuple):
    holder: str
    began_s: float
    probe: bool
    opening: int
    """How often it had opened when the call began."""
    moves: int
    """How often it had changed its state; -1 if it was not closed."""


def _outweigh(failed: list[float], under_way: list[float]) -> bool:
    return len(failed) >= 2 * sum(min(failed) <= each <= max(failed) for each in under_way)


class BreakerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Transition] = []
        self.breaker = Breaker("b", SETTINGS, self.heard.append)
        self.now_s = 1000.0
        self.running: list[Running] = []
        self.closed_since_s = 0.0
        self.outcomes: list[tuple[float, bool, float]] = []
        """When, whether it failed, and when it began: of calls that began since it closed."""
        self.good_probes = 0
        self.openings = 0
        self.parked_until_s = 0.0
        self.began = 0

    def learn(self, before: int) -> None:
        """Keep the model's books after a step, which may have made one transition at most."""
        new = self.heard[before:]
        assert len(new) <= 1
        for each in new:
            self.good_probes = 0
            self.openings += each.state_to == "open"
            if each.state_to in ("closed", "forced_closed"):
                self.closed_since_s, self.outcomes = self.now_s, []

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0, 4.0, 10.0, 16.0, 60.0)))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def a_call_wants_to_begin(self) -> None:
        before, admits, holder = len(self.heard), self.breaker.admits(self.now_s), f"c{self.began}"
        self.began += 1
        took = self.breaker.begin_probe(self.now_s, holder)
        assert took == (admits == "probe")
        self.learn(before)
        if admits != "no":
            assert self.now_s >= self.parked_until_s
            if admits == "yes":
                self.breaker.begin(self.now_s, holder)
            moves = len(self.heard) if self.breaker.state == "closed" else -1
            self.running.append(Running(holder, self.now_s, took, self.openings, moves))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=OUTCOMES, draw=st.floats(0, 0.999))
    def a_call_ends(self, data: st.DataObject, outcome: Outcome, draw: float) -> None:
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before, state = len(self.heard), self.breaker.state
        moved = self.breaker.record(outcome, self.now_s, draw, call.began_s, call.holder)
        assert ([moved] if moved else []) == self.heard[before:]
        if state == "closed":
            self._ended_closed(call, outcome, moved)
        elif state == "half_open" and call.probe and call.opening == self.openings:
            self._ended_probe(outcome, moved)
        else:
            assert moved is None, "a late answer decided"
        self.learn(before)

    def _ended_closed(self, call: Running, outcome: Outcome, moved: Transition | None) -> None:
        if call.began_s < self.closed_since_s or outcome == "ignored":
            assert moved is None
            return
        self.outcomes.append((self.now_s, outcome == "failure", call.began_s))
        moves = len(self.heard) - (moved is not None)
        under_way = [each.began_s for each in self.running if each.moves == moves]
        streak = list(itertools.takewhile(lambda each: each[1], reversed(self.outcomes)))
        began_s = [each[2] for each in streak]
        enough = SETTINGS.consecutive_failures
        in_a_row = len(streak) >= enough and any(_outweigh(row, under_way) for row in (began_s, began_s[:enough]))
        recent = [failed for at_s, failed, _ in self.outcomes if at_s > self.now_s - SETTINGS.window_s]
        surely = [failed for at_s, failed, _ in self.outcomes if at_s > self.now_s - 0.9 * SETTINGS.window_s]
        before = sum(self.now_s - SETTINGS.window_s <= each <= call.began_s for each in under_way)
        if moved is None:
            assert outcome == "ok" or not in_a_row
            unsure = len(recent) != len(surely)
            few = len(recent) < SETTINGS.min_requests or 2 * sum(recent) < len(recent) + before
            assert outcome == "ok" or unsure or few
        elif moved.reason == "consecutive_failures":
            assert in_a_row
        else:
            assert moved.reason == "failure_ratio"
            assert len(recent) >= SETTINGS.min_requests
            assert outcome == "failure"
            assert 2 * sum(recent) >= len(surely) + before

    def _ended_probe(self, outcome: Outcome, moved: Transition | None) -> None:
        self.good_probes += outcome == "ok"
        if outcome == "failure":
            assert moved is not None
            assert moved.state_to == "open"
            wait_s = self.breaker._until_s - self.now_s
            assert SETTINGS.open_s * (1 - SETTINGS.jitter) <= wait_s <= SETTINGS.open_max_s
        else:
            assert (moved is not None) == (self.good_probes >= SETTINGS.successes)
            assert moved is None or moved.state_to == "closed"

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_call_comes_to_nothing(self, data: st.DataObject) -> None:
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.breaker.cancel(call.holder)

    @rule(seconds=st.sampled_from((1.0, 5.0, 10_000.0)))
    def it_is_parked(self, seconds: float) -> None:
        self.breaker.park(self.now_s + seconds, self.now_s)
        self.parked_until_s = max(self.parked_until_s, self.now_s + min(seconds, SETTINGS.park_max_s))

    @rule(to=st.sampled_from(("open", "closed", "auto", "auto", "auto")))
    def an_operator_decides(self, to: str) -> None:
        before = len(self.heard)
        self.breaker.force(to, self.now_s)  # type: ignore[arg-type]
        if to == "closed":
            self.parked_until_s = 0.0
        self.learn(before)

    @rule(draw=st.floats(0, 0.999))
    def its_provider_is_suspected(self, draw: float) -> None:
        before = len(self.heard)
        self.breaker.trip(self.now_s, draw, "deployments_open")
        self.learn(before)

    @invariant()
    def only_the_table_moves_it(self) -> None:
        moves = {(state, target) for (state, _), target in TRANSITIONS.items()}
        assert all((each.state_from, each.state_to) in moves for each in self.heard)
        pairs = zip(self.heard, self.heard[1:], strict=False)
        assert all(first.state_to == second.state_from for first, second in pairs)
        assert self.breaker.shared().version == len(self.heard)

    @invariant()
    def full_traffic_only_when_closed(self) -> None:
        admits = self.breaker.admits(self.now_s)
        if admits == "yes":
            assert self.breaker.state in ("closed", "forced_closed")
        if self.breaker.waiting(self.now_s) or self.breaker.state == "forced_open":
            assert admits == "no"
        if self.now_s < self.parked_until_s:
            assert admits == "no"

    @invariant()
    def never_more_probes_than_allowed(self) -> None:
        fresh = [each for each in self.running if each.probe and each.began_s + SETTINGS.probe_s > self.now_s]
        assert len(fresh) <= SETTINGS.probes

    @invariant()
    def it_says_when_to_come_back(self) -> None:
        at_s = self.breaker.retry_at_s(self.now_s)
        assert at_s >= self.now_s
        if self.breaker.admits(self.now_s) != "no":
            assert at_s == self.now_s
        elif self.breaker.state == "forced_open":
            assert at_s == float("inf")
        else:
            assert self.now_s < at_s <= self.now_s + SETTINGS.park_max_s + SETTINGS.probe_s


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
