from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from routing import health as module
from routing.attempts import Candidate
from routing.breaker import Admits, BreakerSettings, Transition
from routing.catalog import Deployment
from routing.failures import FAILURE_KINDS, MEANINGS, Failure, FailureKind
from routing.health import LOOK_S, UNKNOWN_PARK_S, Health
from routing.retry_budget import RetryBudgetSettings

BREAKER = BreakerSettings(jitter=0)


def deployment(provider: str, name: str, context_tokens: int | None = None) -> Deployment:
    return Deployment(f"{provider}/{name}", provider, name, None, context_tokens=context_tokens)


A, B, C = (deployment("acme", name) for name in "abc")
OTHER = deployment("zenith", "a", 8000)


def make(*deployments: Deployment, **changes: float) -> tuple[Health, list[Transition]]:
    heard: list[Transition] = []
    health = Health(BREAKER, RetryBudgetSettings(**changes), heard.append)  # type: ignore[arg-type]
    for each in deployments:
        health.watch(each)
    return health, heard


def fail(health: Health, which: Deployment, now_s: float, kind: FailureKind = "server_error", times: int = 5) -> None:
    for _ in range(times):
        health.record(which.id, Failure(kind), "-", now_s, now_s, 0.0)


def call(health: Health, which: Deployment, now_s: float, kind: FailureKind | None = None, holder: str = "x") -> Admits:
    """Begin a call and end it at once, well or with a failure."""
    admits = health.begin(which, now_s, holder)
    if admits != "no":
        health.record(which.id, None if kind is None else Failure(kind), holder, now_s, now_s, 0.0)
    return admits


def admits(health: Health, which: Deployment, now_s: float) -> Admits:
    return health.availability((which,), now_s)[0].admits


# --- one deployment ---


def test_all_are_well_until_one_is_not_and_after_it_is_again() -> None:
    health, _ = make(A, OTHER)
    assert health.all_well(1.0)
    fail(health, A, 1.0)
    assert not health.all_well(1.0)
    assert health.begin(OTHER, 1.0, "x") == "yes"
    assert health.begin(A, 1.0, "y") == "no"
    health.force(A.id, "closed", 2.0)
    assert not health.all_well(2.0 + LOOK_S), "an operator's word is told of"
    health.force(A.id, "auto", 3.0)
    assert health.all_well(3.0 + LOOK_S)
    fail(health, OTHER, 4.0, "rate_limited", 1)
    assert not health.all_well(4.0)
    assert health.begin(OTHER, 4.0, "x") == "no"
    assert health.all_well(4.0 + UNKNOWN_PARK_S + LOOK_S)
    fail(health, B, 5.0)
    health.forget([B.id])
    assert health.all_well(5.0)


def test_who_was_never_called_is_well() -> None:
    health, _ = make()
    assert health.availability((A, OTHER), 1.0) == (Candidate(), Candidate(context_tokens=8000))
    assert health.begin(A, 1.0, "x") == "yes"


@pytest.mark.parametrize("kind", FAILURE_KINDS)
def test_only_some_failures_count(kind: FailureKind) -> None:
    health, _ = make(A)
    fail(health, A, 1.0, kind, times=100)
    assert (admits(health, A, 3.0) == "no") == (MEANINGS[kind].outcome == "failure")


def test_one_that_stands_alone_is_not_exempt() -> None:
    health, heard = make(A)
    fail(health, A, 1.0)
    assert health.begin(A, 1.0, "x") == "no"
    (candidate,) = health.availability((A,), 2.0)
    assert candidate == Candidate("no", retry_at_s=6.0)
    assert [each.name for each in heard] == ["acme/a"], "one deployment is no reason to suspect its provider"


def test_a_rate_limit_parks_until_its_retry_after() -> None:
    health, heard = make(A)
    health.record(A.id, Failure("rate_limited", retry_after_s=20.0), "x", 9.0, 10.0, 0.0)
    assert health.availability((A,), 11.0) == (Candidate("no", retry_at_s=30.0, parked=True),)
    assert admits(health, A, 30.0) == "yes"
    health.record(A.id, Failure("rate_limited"), "x", 39.0, 40.0, 0.0)
    assert admits(health, A, 40.9) == "no"
    assert admits(health, A, 41.0) == "yes"
    assert heard == []


def test_refused_credentials_are_told_until_they_are_accepted() -> None:
    health, _ = make(A, B, OTHER)
    fail(health, A, 1.0, "credentials", times=1)
    assert health.refused_credentials() == ["acme"]
    call(health, B, 2.0)
    assert health.refused_credentials() == []


def test_a_probe_that_is_cancelled_gives_its_place_back() -> None:
    health, _ = make(A)
    fail(health, A, 0.0)
    for step in range(10):
        assert health.begin(A, 5.0, f"x{step}") == "probe"
        health.cancel(A.id, f"x{step}")
    assert health.begin(A, 5.0, "y") == "probe"
    assert health.begin(A, 5.0, "z") == "probe"
    assert health.begin(A, 5.0, "w") == "no"


@pytest.mark.parametrize("kind", [None, "cut"])
def test_a_probe_is_good_from_its_first_byte_and_counts_once(kind: FailureKind | None) -> None:
    health, _ = make(A)
    fail(health, A, 0.0)
    for holder in ("x", "y", "z"):
        assert health.begin(A, 5.0, holder) == "probe"
        health.answered(A.id, holder, 5.0, 6.0)
        if holder == "y":
            for _ in range(5):
                health.record(A.id, kind and Failure(kind), "y", 5.0, 6.0, 0.0)
            assert admits(health, A, 6.0) == "probe"
    assert admits(health, A, 6.0) == "yes"
    for _ in range(5):
        health.record(A.id, kind and Failure(kind), "z", 5.0, 7.0, 0.0)
    assert admits(health, A, 7.0) == "yes"


def test_first_bytes_of_usual_calls_are_nothing() -> None:
    health, _ = make(A)
    for _ in range(2):
        health.begin(A, 1.0, "x")
        health.answered(A.id, "x", 1.0, 1.0)
        fail(health, A, 1.0, times=2)
    fail(health, A, 1.0, times=1)
    assert admits(health, A, 1.0) == "no"
    health.answered(A.id, "x", 1.0, 7.0)
    health.answered("nobody/x", "x", 1.0, 7.0)
    assert admits(health, A, 7.0) == "probe"


def test_retries_are_taken_from_the_deployments_own_budget() -> None:
    health, _ = make(A, B, floor=2)
    assert health.begin(A, 1.0, "x", retry=True) == "yes"
    assert health.begin(A, 1.0, "x", retry=True) == "yes"
    assert not health.availability((A,), 1.0)[0].may_retry
    assert health.begin(A, 1.0, "x", retry=True) == "no"
    assert health.begin(A, 1.0, "x") == "yes"
    assert health.availability((B,), 1.0)[0].may_retry
    for _ in range(5):
        health.begin(A, 1.0, "x")
    assert health.begin(A, 1.0, "x", retry=True) == "yes"


def test_a_deployment_that_is_configured_anew_is_known_as_such() -> None:
    health, _ = make(A)
    larger = deployment("acme", "a", 16_000)
    assert health.availability((A,), 1.0)[0].context_tokens is None
    assert health.availability((larger,), 1.0)[0].context_tokens == 16_000


def test_settings_of_its_own_and_state_that_stays() -> None:
    health, _ = make(A, B)
    health.watch(A, BreakerSettings(consecutive_failures=2))
    fail(health, A, 1.0, times=2)
    fail(health, B, 1.0, times=2)
    assert admits(health, A, 1.0) == "no"
    assert admits(health, B, 1.0) == "yes"
    health.watch(A)
    assert admits(health, A, 1.0) == "no"


# --- their provider ---


def test_several_open_deployments_open_their_provider() -> None:
    health, heard = make(A, B, C, OTHER)
    fail(health, A, 1.0)
    assert admits(health, C, 1.0) == "yes"
    fail(health, B, 2.0)
    assert heard[-1] == Transition("acme", "closed", "open", 2.0, "deployments_open")
    assert admits(health, C, 3.0) == "no"
    assert admits(health, OTHER, 3.0) == "yes"


def test_two_of_many_are_not_enough() -> None:
    health, heard = make(*(deployment("acme", str(number)) for number in range(5)))
    for number in range(2, 5):
        call(health, deployment("acme", str(number)), 1.0)
    for number in range(2):
        fail(health, deployment("acme", str(number)), 1.0)
    assert {each.name for each in heard} == {"acme/0", "acme/1"}
    fail(health, deployment("acme", "2"), 1.0)
    assert heard[-1].name == "acme"


def test_one_that_was_open_long_ago_is_no_witness() -> None:
    health, heard = make(A, B)
    fail(health, A, 1.0)
    fail(health, B, 100.0)
    assert [each.name for each in heard] == ["acme/a", "acme/b"]


def test_those_that_nobody_calls_say_nothing_for_their_provider() -> None:
    unused = [deployment("acme", str(number)) for number in range(20)]
    health, heard = make(A, B, *unused)
    call(health, unused[0], 1.0)
    fail(health, A, 60.0)
    fail(health, B, 60.0)
    assert [each.name for each in heard] == ["acme/a", "acme/b", "acme"]


def test_calls_that_were_cancelled_are_not_under_way() -> None:
    health, heard = make(A)
    for number in range(20):
        health.begin(A, 1.0, f"answering {number}")
    for _ in range(5):
        call(health, A, 1.0, "server_error")
    assert heard == []
    for number in range(20):
        health.cancel(A.id, f"answering {number}")
    call(health, A, 1.0, "server_error")
    assert [each.reason for each in heard] == ["consecutive_failures"]


def test_a_request_that_fails_again_says_nothing_new() -> None:
    health, heard = make(A, floor=10)
    for number in range(8):
        retry = number % 2 == 1
        assert health.begin(A, 1.0, f"x{number}", retry=retry) == "yes"
        health.record(A.id, Failure("server_error"), f"x{number}", 1.0, 1.0, 0.0)
    assert heard == []
    call(health, A, 1.0, "server_error")
    assert [each.reason for each in heard] == ["consecutive_failures"]


def test_a_request_that_goes_well_when_it_is_tried_again_is_good_news() -> None:
    health, heard = make(A, floor=10)
    for number in range(8):
        call(health, A, 1.0, "server_error")
        assert health.begin(A, 1.0, "again", retry=number % 2 == 1) == "yes"
        health.record(A.id, None, "again", 1.0, 1.0, 0.0)
    assert heard == []


def test_calls_that_went_well_are_not_under_way() -> None:
    health, heard = make(A)
    for number in range(20):
        health.begin(A, 1.0, f"answering {number}")
        health.record(A.id, None, f"answering {number}", 1.0, 1.0, 0.0)
    for _ in range(5):
        call(health, A, 1.0, "server_error")
    assert [each.reason for each in heard] == ["consecutive_failures"]


def test_other_settings_hold_for_all_that_is_watched() -> None:
    health, heard = make(A, ratio=0.0, floor=0)
    assert health.begin(A, 0.0, "r", retry=True) == "no"
    health.configure(BreakerSettings(consecutive_failures=1), RetryBudgetSettings(floor=1))
    fail(health, A, 1.0, times=1)
    fail(health, OTHER, 1.0, times=1)  # it is not known, and so nothing is learned of it
    assert call(health, OTHER, 1.0, "server_error") == "yes"
    assert [each.name for each in heard] == ["acme/a", "zenith/a"]
    health.configure(BREAKER, RetryBudgetSettings(floor=1))
    health.begin(B, 2.0, "b")
    assert health.begin(B, 2.0, "b2", retry=True) == "yes"
    health.configure(BREAKER, RetryBudgetSettings(floor=1))  # the same: what was used stays used
    assert health.begin(B, 2.0, "b3", retry=True) == "no"
    assert [health.breakers()[0].settings, heard[-1].name] == [BREAKER, "zenith/a"]


def test_all_deployments_share_the_providers_probes() -> None:
    health, _ = make(A, B, C)
    fail(health, A, 0.0)
    fail(health, B, 0.0)
    assert admits(health, C, 4.9) == "no"
    assert health.begin(C, 5.0, "1") == "probe"
    assert health.begin(A, 5.0, "2") == "probe"
    assert health.begin(B, 5.0, "3") == "no"
    health.record(C.id, None, "1", 5.0, 6.0, 0.0)
    assert health.begin(B, 6.0, "4") == "probe"


def test_a_cancelled_probe_gives_its_place_at_the_provider_back() -> None:
    health, _ = make(A, B, C)
    fail(health, A, 0.0)
    fail(health, B, 0.0)
    for step in range(10):
        assert health.begin(C, 5.0, f"x{step}") == "probe"
        health.cancel(C.id, f"x{step}")


def test_a_provider_that_recovers_leaves_its_deployments_to_prove_themselves() -> None:
    health, heard = make(A, B, C)
    fail(health, A, 0.0)
    fail(health, B, 0.0)
    for _ in range(3):
        assert call(health, C, 5.0) == "probe"
    assert heard[-1][:3] == ("acme", "half_open", "closed")
    assert admits(health, C, 5.0) == "yes"
    assert admits(health, A, 5.0) == "probe"
    for _ in range(3):
        assert call(health, A, 5.0) == "probe"
    assert admits(health, A, 5.0) == "yes"


def test_a_bad_probe_holds_all_of_them_back() -> None:
    health, _ = make(A, B, C)
    fail(health, A, 0.0)
    fail(health, B, 0.0)
    assert call(health, C, 5.0, "unreachable") == "probe"
    assert [admits(health, each, 6.0) for each in (A, B, C)] == ["no", "no", "no"]
    assert health.availability((C,), 6.0) == (Candidate("no", retry_at_s=15.0),)


# --- what is watched ---


def test_breakers_are_listed_and_forced_by_name() -> None:
    health, heard = make(B, A, OTHER)
    assert [each.name for each in health.breakers()] == ["acme", "zenith", "acme/a", "acme/b", "zenith/a"]
    health.force("acme", "open", 1.0)
    assert admits(health, A, 1e6) == "no"
    health.force("acme", "auto", 2.0)
    health.force("acme/a", "open", 2.0)
    assert admits(health, A, 2.0) == "no"
    assert admits(health, B, 2.0) == "probe"
    assert len(heard) == 3
    with pytest.raises(KeyError):
        health.force("nobody", "open", 1.0)


def test_what_is_forgotten_begins_anew_and_its_late_answers_are_nothing() -> None:
    health, _ = make(A, OTHER)
    fail(health, A, 1.0)
    health.forget([A.id, "nobody/x"])
    assert [each.name for each in health.breakers()] == ["zenith", "zenith/a"]
    health.record(A.id, None, "x", 1.0, 2.0, 0.0)
    health.cancel(A.id, "x")
    assert admits(health, A, 2.0) == "yes"


def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEPLOYMENTS_MAX", 10)
    health, _ = make(A, OTHER)
    bad = deployment("acme", "bad")
    fail(health, A, 0.0, times=3)
    health.begin(bad, 0.0, "x")
    fail(health, bad, 0.0)
    for number in range(100):
        call(health, deployment("acme", f"made-up-{number}"), 1.0)
    names = {each.name for each in health.breakers()}
    assert len(names) <= 12
    assert {A.id, OTHER.id, bad.id} <= names


def test_gateways_exchange_what_happened_and_nothing_else() -> None:
    mine, heard = make(A, B)
    other, _ = make(A, B, C)
    assert other.shared() == {}
    fail(other, A, 1.0)
    fail(other, C, 1.0)
    assert set(other.shared()) == {"acme", "acme/a", "acme/c"}
    mine.adopt(other.shared(), 2.0)
    assert {each.name for each in heard} == {"acme", "acme/a"}
    assert admits(mine, B, 2.0) == "no"


# --- whatever happens ---


class Running(NamedTuple):
    which: Deployment
    holder: str
    began_s: float
    probe: bool


KNOWN = (A, B, C, OTHER)


class HealthMachine(RuleBasedStateMachine):
    """Probes are counted per deployment and per provider, whichever way calls begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.health, self.heard = make(*KNOWN)
        self.now_s = 100.0
        self.running: list[Running] = []
        self.began = 0

    @rule(seconds=st.sampled_from((0.1, 2.0, 5.0, 31.0)))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(which=st.sampled_from(KNOWN), retry=st.booleans())
    def a_call_begins(self, which: Deployment, retry: bool) -> None:
        (candidate,) = self.health.availability((which,), self.now_s)
        self.began += 1
        found = self.health.begin(which, self.now_s, f"c{self.began}", retry=retry)
        assert found == ("no" if retry and not candidate.may_retry else candidate.admits)
        if found != "no":
            self.running.append(Running(which, f"c{self.began}", self.now_s, found == "probe"))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), kind=st.sampled_from((None, None, *FAILURE_KINDS)))
    def a_call_ends(self, data: st.DataObject, kind: FailureKind | None) -> None:
        which, holder, began_s, _ = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.health.record(which.id, kind and Failure(kind), holder, began_s, self.now_s, 0.0)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_call_is_cancelled(self, data: st.DataObject) -> None:
        which, holder, _, _ = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.health.cancel(which.id, holder)

    @rule(which=st.sampled_from(KNOWN))
    def everything_fails(self, which: Deployment) -> None:
        fail(self.health, which, self.now_s)

    @invariant()
    def probes_are_bounded_for_each_deployment_and_each_provider(self) -> None:
        fresh = [each for each in self.running if each.probe and each.began_s + BREAKER.probe_s > self.now_s]
        for breaker in self.health.breakers():
            if breaker.state != "half_open":
                continue
            since_s = max(
                each.at_s for each in self.heard if each.name == breaker.name and each.state_to == "half_open"
            )
            mine = [each for each in fresh if breaker.name in (each.which.id, each.which.provider)]
            assert len([each for each in mine if each.began_s >= since_s]) <= BREAKER.probes

    @invariant()
    def all_are_well_only_if_every_call_may_begin(self) -> None:
        if self.health.all_well(self.now_s):
            assert {admits(self.health, which, self.now_s) for which in KNOWN} == {"yes"}

    @invariant()
    def a_call_has_to_get_past_both(self) -> None:
        for which in KNOWN:
            for name in (which.id, which.provider):
                breaker = self.health.breaker(name)
                assert breaker is not None
                if breaker.state != "closed":
                    assert admits(self.health, which, self.now_s) != "yes"

    @invariant()
    def it_says_when_to_come_back(self) -> None:
        for candidate in self.health.availability(KNOWN, self.now_s):
            assert candidate.admits != "no" or candidate.retry_at_s > self.now_s


TestHealth = HealthMachine.TestCase
TestHealth.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
