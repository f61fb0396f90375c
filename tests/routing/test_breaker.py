from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.breaker import TRANSITIONS, Breaker, BreakerSettings, Event, Shared, State, Transition, after
from routing.failures import Outcome

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
PAGE = Path(__file__).parents[2] / "docs" / "resilience.md"


def make(**changes: float) -> tuple[Breaker, list[Transition]]:
    heard: list[Transition] = []
    return Breaker("openai/gpt-5", BreakerSettings(jitter=0, **changes), heard.append), heard  # type: ignore[arg-type]


def fail(breaker: Breaker, times: int, now_s: float, outcome: Outcome = "failure") -> None:
    for _ in range(times):
        breaker.record(outcome, now_s, 0.0, now_s)


def probe(breaker: Breaker, outcome: Outcome, now_s: float, holder: str = "p") -> Transition | None:
    assert breaker.begin_probe(now_s, holder)
    return breaker.record(outcome, now_s, 0.0, now_s, holder)


def opened(now_s: float = 0.0) -> tuple[Breaker, list[Transition]]:
    breaker, heard = make()
    fail(breaker, 5, now_s)
    assert breaker.state == "open"
    return breaker, heard


# --- the table ---


def diagram() -> str:
    """The table as Mermaid draws it."""
    moves = [f"    {state} --> {target}: {event}" for (state, event), target in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> closed", *moves])


def test_the_documentation_draws_the_table() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)
    assert drawn is not None
    assert drawn[1] == diagram(), f"docs/resilience.md should draw:\n{diagram()}"


def test_every_state_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS.values()) == set(STATES)
    assert {state for state, _ in TRANSITIONS} == set(STATES)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)
    assert all(state != target for (state, _), target in TRANSITIONS.items())


@pytest.mark.parametrize("state", STATES)
def test_only_probes_and_operators_lead_out_of_trouble(state: State) -> None:
    for event in EVENTS:
        if after(state, event) == "closed":
            assert (state, event) in {("half_open", "recovered"), ("forced_closed", "release")}
        if after(state, event) == "half_open":
            assert (state, event) in {("open", "waited"), ("forced_open", "release")}


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_an_operators_word_holds_until_released(state: State, event: Event) -> None:
    if state.startswith("forced") and not event.startswith("force"):
        assert (after(state, event) is not None) == (event == "release")
    if event == "force_open":
        assert (after(state, event) or state) == "forced_open"
    if event == "force_closed":
        assert (after(state, event) or state) == "forced_closed"


# --- opening ---


def test_failures_in_a_row_open_it() -> None:
    breaker, heard = make()
    fail(breaker, 4, 10)
    assert breaker.admits(10) == "yes"
    fail(breaker, 1, 11)
    assert breaker.admits(11) == "no"
    assert heard == [Transition("openai/gpt-5", "closed", "open", 11, "consecutive_failures")]


def test_one_good_answer_ends_the_row() -> None:
    breaker, _ = make()
    for _ in range(3):
        fail(breaker, 4, 10)
        fail(breaker, 1, 10, "ok")
    assert breaker.state == "closed"


def test_a_share_of_failures_opens_it_once_there_are_enough_outcomes() -> None:
    breaker, heard = make()
    for step in range(9):
        fail(breaker, 1, step, "ok")
        fail(breaker, 1, step)
    fail(breaker, 1, 9, "ok")
    assert breaker.state == "closed"
    fail(breaker, 1, 9)
    assert heard[-1].reason == "failure_ratio"


def test_old_failures_are_forgotten() -> None:
    breaker, _ = make()
    for step in range(9):
        fail(breaker, 1, step / 9, "ok")
        fail(breaker, 1, step / 9)
    fail(breaker, 9, 60, "ok")
    for _ in range(4):
        fail(breaker, 1, 60, "ok")
        fail(breaker, 1, 60)
    assert breaker.state == "closed"


@pytest.mark.parametrize("outcome", ["ok", "ignored"])
def test_what_is_no_failure_never_opens_it(outcome: Outcome) -> None:
    breaker, _ = make()
    fail(breaker, 4, 0)
    fail(breaker, 1000, 1, outcome)
    assert breaker.state == "closed"


def test_what_does_not_count_does_not_end_a_row_either() -> None:
    breaker, _ = make()
    fail(breaker, 4, 0)
    fail(breaker, 50, 1, "ignored")
    fail(breaker, 1, 2)
    assert breaker.state == "open"


# --- waiting, probing, closing ---


def test_after_its_wait_it_lets_a_few_probes_through() -> None:
    breaker, heard = opened()
    assert breaker.retry_at_s(1) == 5
    assert not breaker.begin_probe(4.9, "a")
    assert breaker.admits(5) == "probe"
    assert breaker.begin_probe(5, "a")
    assert heard[-1][1:] == ("open", "half_open", 5, "waited")
    assert breaker.begin_probe(5, "b")
    assert not breaker.begin_probe(5, "c")
    assert breaker.admits(6) == "no"
    assert 6 < breaker.retry_at_s(6) <= 11


def test_enough_good_probes_close_it() -> None:
    breaker, heard = opened()
    assert probe(breaker, "ok", 5) is None
    assert probe(breaker, "ok", 6) is None
    assert breaker.admits(6) == "probe"
    assert probe(breaker, "ok", 7) == heard[-1]
    assert heard[-1][1:] == ("half_open", "closed", 7, "recovered")
    assert breaker.admits(7) == "yes"


def test_one_bad_probe_opens_it_for_twice_as_long_up_to_a_bound() -> None:
    breaker, _ = opened()
    now_s = 0.0
    for wait_s in (5, 10, 20, 40, 80, 120, 120):
        assert breaker.retry_at_s(now_s) == now_s + wait_s
        now_s += wait_s
        probe(breaker, "ok", now_s)
        probe(breaker, "failure", now_s)
        assert breaker.admits(now_s) == "no"


def test_after_it_closed_the_next_wait_is_short_again() -> None:
    breaker, _ = opened()
    probe(breaker, "failure", 5)
    for _ in range(3):
        probe(breaker, "ok", 20)
    fail(breaker, 5, 21)
    assert breaker.retry_at_s(21) == 26


@given(draw=st.floats(0, 1, exclude_max=True))
def test_waits_are_shortened_by_chance(draw: float) -> None:
    breaker = Breaker("a", BreakerSettings(jitter=0.2, consecutive_failures=1))
    breaker.record("failure", 100.0, draw, 100.0)
    assert breaker.retry_at_s(100.0) == pytest.approx(105 - draw)


def test_the_wait_after_a_bad_probe_is_shortened_by_chance_too() -> None:
    breaker = Breaker("a", BreakerSettings(jitter=0.5, consecutive_failures=1))
    breaker.record("failure", 0.0, 0.0, 0.0)
    assert breaker.begin_probe(5, "p")
    breaker.record("failure", 5, 0.5, 5, "p")
    assert breaker.retry_at_s(5) == 5 + 7.5


def test_a_probe_that_says_nothing_gives_its_place_back() -> None:
    breaker, _ = opened()
    for _ in range(10):
        assert probe(breaker, "ignored", 5) is None
    assert breaker.begin_probe(5, "a")
    assert breaker.begin_probe(5, "b")
    breaker.end_probe("a")
    assert breaker.begin_probe(5, "c")
    assert breaker.state == "half_open"


def test_a_probe_that_hangs_gives_its_place_back_and_still_counts_in_the_end() -> None:
    breaker, _ = opened()
    assert breaker.begin_probe(5, "a")
    assert breaker.begin_probe(5, "b")
    assert breaker.retry_at_s(34.5) == 35
    assert breaker.begin_probe(35, "c")
    assert breaker.record("failure", 60, 0.0, 5, "a") is not None
    assert breaker.state == "open"


def test_running_probes_keep_their_places_when_it_opens_again() -> None:
    breaker, _ = opened()
    assert breaker.begin_probe(5, "slow")
    probe(breaker, "failure", 5, "quick")
    assert breaker.begin_probe(15, "next")
    assert not breaker.begin_probe(15, "one too many")


def test_the_probe_of_an_earlier_opening_no_longer_counts() -> None:
    breaker, _ = opened()
    assert breaker.begin_probe(5, "slow")
    probe(breaker, "failure", 5, "quick")
    probe(breaker, "ok", 15)
    assert breaker.record("failure", 16, 0.0, 5, "slow") is None
    assert breaker.state == "half_open"


def test_hung_probes_do_not_fill_the_memory() -> None:
    breaker, _ = opened()
    for step in range(1000):
        assert breaker.begin_probe(5 + 40.0 * step, f"p{step}")
    assert len(breaker._leases) <= 64


# --- failures end first ---


def burst(breaker: Breaker, calls: int, failing: Callable[[int], bool], *, seconds: float = 1.0) -> None:
    """Calls that begin evenly over `seconds`; those that fail do so at once, the others go on."""
    for number in range(calls):
        now_s = seconds * number / calls
        breaker.begin(now_s, f"c{number}")
        if failing(number):
            breaker.record("failure", now_s + 0.01, 0.0, now_s, f"c{number}")


def test_a_burst_of_long_answers_does_not_open_it_though_only_failures_have_ended() -> None:
    breaker, heard = make()
    burst(breaker, 1_000, lambda number: number % 20 == 0)
    assert breaker.failures(1.01) == 50
    assert heard == []


def test_all_at_once_neither() -> None:
    breaker, heard = make()
    for number in range(200):
        breaker.begin(0.0, f"c{number}")
    for number in range(0, 200, 10):
        breaker.record("failure", 0.1, 0.0, 0.0, f"c{number}")
    assert heard == []


@pytest.mark.parametrize("seed", range(20))
def test_one_in_twenty_at_random_opens_it_in_no_burst(seed: int) -> None:
    dice = Random(seed)
    breaker, heard = make()
    burst(breaker, 1_000, lambda _: dice.random() < 0.05)
    assert heard == []


def test_an_outage_opens_it_as_soon_as_ever_beside_answers_that_began_before() -> None:
    breaker, heard = make()
    for number in range(200):
        breaker.begin(0.0, f"answering {number}")
    breaker.record("failure", 0.0, 0.0, 0.0, "failed at once")
    assert heard == []
    for _ in range(5):
        breaker.record("failure", 1.0, 0.0, 1.0)
    assert [each.reason for each in heard] == ["consecutive_failures"]


def test_time_outs_open_it_though_later_calls_wait_for_theirs() -> None:
    breaker, heard = make()
    for number in range(100):
        breaker.begin(number / 10, f"c{number}")
    for number in range(5):
        breaker.record("failure", number / 10 + 10, 0.0, number / 10, f"c{number}")
    assert [each.reason for each in heard] == ["consecutive_failures"]


@pytest.mark.parametrize(("under_way", "opens"), [(2, True), (3, False)])
def test_five_failures_outweigh_two_calls_under_way_among_them(under_way: int, opens: bool) -> None:
    breaker, heard = make()
    for number in range(5 + under_way):
        breaker.begin(float(number), f"c{number}")
    for number in (0, *range(1 + under_way, 5 + under_way)):  # the first of all and the last four
        breaker.record("failure", 10.0, 0.0, float(number), f"c{number}")
    assert bool(heard) == opens


def test_the_share_counts_calls_under_way_that_began_before() -> None:
    breaker, heard = make(consecutive_failures=1_000)
    for number in range(20):
        breaker.begin(0.0, f"answering {number}")
    fail(breaker, 19, 1)
    breaker.cancel("answering 0")
    assert breaker.state == "closed"
    fail(breaker, 1, 1)
    assert [each.reason for each in heard] == ["failure_ratio"]


def test_what_began_before_it_closed_is_not_under_way() -> None:
    breaker, heard = make()
    for number in range(100):
        breaker.begin(0.0, f"answering {number}")
    breaker.force("open", 1)
    breaker.force("closed", 2)
    breaker.force("auto", 3)
    fail(breaker, 5, 3)
    assert heard[-1].reason == "consecutive_failures"


# --- late outcomes ---


@pytest.mark.parametrize("outcome", ["ok", "failure", "ignored"])
def test_calls_that_began_before_it_opened_say_nothing(outcome: Outcome) -> None:
    breaker, heard = opened(now_s=10)
    for now_s in (11, 15, 16):
        for _ in range(20):
            assert breaker.record(outcome, now_s, 0.0, 9, "not a probe") is None
        if now_s == 15:
            probe(breaker, "ignored", 15)
    assert breaker.state == "half_open"
    for _ in range(3):
        probe(breaker, "ok", 17)
    fail_late = [breaker.record(outcome, 18, 0.0, 9) for _ in range(20)]
    assert fail_late == [None] * 20
    assert breaker.state == "closed"
    assert len(heard) == 3


# --- parking and forcing ---


def test_a_parked_deployment_is_left_alone_and_not_broken() -> None:
    breaker, heard = make()
    breaker.park(20, now_s=10)
    breaker.park(15, now_s=11)
    assert breaker.admits(19.9) == "no"
    assert breaker.only_parked(19)
    assert breaker.parked_until_s(19) == 20
    assert breaker.retry_at_s(19) == 20
    assert breaker.admits(20) == "yes"
    assert breaker.parked_until_s(20) is None
    assert breaker.state == "closed"
    assert heard == []


def test_a_park_is_bounded() -> None:
    breaker, _ = make(park_max_s=600)
    breaker.park(1e9, now_s=10)
    assert breaker.admits(610) == "yes"


def test_a_parked_one_that_is_open_waits_for_both() -> None:
    breaker, _ = opened()
    breaker.park(8, now_s=1)
    assert not breaker.only_parked(1)
    assert breaker.retry_at_s(1) == 8
    assert breaker.admits(7) == "no"
    assert breaker.admits(8) == "probe"


def test_forced_open_nothing_passes_until_released_to_prove_itself() -> None:
    breaker, heard = make()
    assert breaker.force("open", 1) == heard[-1]
    fail(breaker, 100, 2, "ok")
    assert breaker.admits(1e6) == "no"
    assert breaker.retry_at_s(1e6) == float("inf")
    assert breaker.force("open", 2) is None
    breaker.force("auto", 3)
    assert breaker.admits(3) == "probe"
    for _ in range(3):
        probe(breaker, "ok", 4)
    assert breaker.state == "closed"
    assert breaker.force("auto", 5) is None


def test_forced_closed_everything_passes_until_released() -> None:
    breaker, heard = opened()
    breaker.park(100, now_s=1)
    breaker.force("closed", 2)
    assert breaker.admits(2) == "yes"
    fail(breaker, 100, 3)
    assert breaker.admits(3) == "yes"
    breaker.force("auto", 4)
    assert [each.reason for each in heard[1:]] == ["force_closed", "release"]
    fail(breaker, 4, 5)
    assert breaker.state == "closed"
    fail(breaker, 1, 5)
    assert breaker.state == "open"


def test_it_goes_on_with_other_settings() -> None:
    breaker, _ = make()
    fail(breaker, 2, 0)
    breaker.configure(BreakerSettings(consecutive_failures=3, window_s=5))
    fail(breaker, 1, 1)
    assert breaker.state == "open"


# --- other gateways ---


def test_the_newer_state_wins() -> None:
    mine, heard = make()
    other, _ = opened()
    assert mine.adopt(other.shared(), 1) == heard[-1]
    assert heard[-1][1:] == ("closed", "open", 1, "shared")
    assert mine.admits(4) == "no"
    assert mine.admits(5) == "probe"
    assert mine.adopt(other.shared(), 2) is None
    assert other.adopt(Shared(0, 0.0, "closed", 0.0, 0, 0.0), 2) is None
    assert other.state == "open"


def test_an_adopted_wait_is_bounded_should_clocks_disagree() -> None:
    breaker, _ = make()
    breaker.adopt(Shared(1, 1e9, "open", 1e9, 1, -1e9), now_s=10)
    assert breaker.retry_at_s(10) == 130


def test_a_park_is_shared_whichever_state_wins() -> None:
    breaker, _ = opened()
    breaker.adopt(Shared(0, 0.0, "closed", 0.0, 0, 50.0), now_s=1)
    assert breaker.state == "open"
    assert breaker.retry_at_s(1) == 50


def test_another_gateways_opening_is_followed_by_the_longer_wait() -> None:
    mine, _ = make()
    other, _ = opened()
    probe(other, "failure", 5)
    mine.adopt(other.shared(), 6)
    probe(mine, "failure", 15)
    assert mine.retry_at_s(15) == 35


def test_own_probes_do_not_count_past_another_gateways_opening() -> None:
    mine, _ = opened()
    other, _ = make()
    assert mine.begin_probe(5, "slow")
    other.adopt(mine.shared(), 5)
    probe(other, "failure", 6)
    assert other.begin_probe(16, "new")
    mine.adopt(other.shared(), 16)
    assert mine.state == "half_open"
    assert mine.record("failure", 17, 0.0, 5, "slow") is None


def test_another_gateways_opening_leaves_running_probes_their_places() -> None:
    mine, _ = opened()
    assert mine.begin_probe(5, "a")
    assert mine.begin_probe(5, "b")
    mine.adopt(Shared(3, 6.0, "open", 7.0, 2, -1.0), now_s=6)
    assert mine.admits(8) == "no"
    mine.end_probe("a")
    assert mine.admits(8) == "probe"


STEPS = st.tuples(st.integers(0, 2), st.sampled_from(("fail", "probe_ok", "open", "closed", "auto", "park", "tell")))


@given(st.lists(STEPS, max_size=40), st.permutations(range(3)))
@settings(max_examples=300)
def test_gateways_that_hear_the_same_end_in_the_same_state(steps: list[tuple[int, str]], order: list[int]) -> None:
    gateways = [make(consecutive_failures=1, successes=1)[0] for _ in range(3)]
    for now_s, (which, what) in enumerate(steps):
        breaker = gateways[which]
        if what == "fail":
            breaker.record("failure", now_s, 0.0, now_s)
        elif what == "probe_ok":
            breaker.begin_probe(now_s, "p")
            breaker.record("ok", now_s, 0.0, now_s, "p")
        elif what == "park":
            breaker.park(now_s + 9, now_s)
        elif what == "tell":
            gateways[(which + 1) % 3].adopt(breaker.shared(), now_s)
        else:
            breaker.force(what, now_s)  # type: ignore[arg-type]
    told = [gateways[index].shared() for index in order]
    for breaker in gateways:
        for state in told:
            breaker.adopt(state, len(steps))
    assert len({breaker.shared()[:3] for breaker in gateways}) == 1
    assert len({breaker.parked_until_s(len(steps)) for breaker in gateways}) == 1
