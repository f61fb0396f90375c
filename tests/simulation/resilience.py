"""What must be true of attempts, retries and breakers after every simulation: an outage is never made worse by us."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.config.snapshot import Resilience
from gateway.telemetry.events import BreakerChanged
from routing.attempts import AttemptRules
from routing.breaker import BreakerSettings
from routing.retry_budget import RetryBudgetSettings
from routing.row import OUTWEIGH
from tests.simulation.loop import MONOTONIC_START_S
from tests.simulation.provider import SimCall
from tests.simulation.scenario import Scenario

_STEP = 0.1
"""A sliding window forgets in steps of a tenth."""
_MOMENT_S = 1e-6


class Began(NamedTuple):
    """A call of a provider."""

    call: SimCall


class Turned(NamedTuple):
    """A breaker changed its state."""

    event: BreakerChanged


class Saw(NamedTuple):
    """A client's first byte."""

    request_id: str
    at_s: float


Entry = Began | Turned | Saw
"""What happened, in the order in which it happened: many things do in the same moment."""


def resilience_violations(log: list[Entry], rules: Resilience, *, hedges: bool) -> Iterator[str]:
    """Everything that is wrong."""
    yield from broken_deployments_get_probes_only(log, rules.breaker)
    yield from nothing_begins_after_the_first_byte(log)
    calls: dict[str, list[SimCall]] = defaultdict(list)
    for entry in log:
        if isinstance(entry, Began):
            calls[entry.call.request_id].append(entry.call)
    for request_id, made in calls.items():
        for wrong in attempts_of_a_request(made, rules.attempts, hedges=hedges):
            yield f"request {request_id}: {wrong}"
    yield from retries_stay_within_their_budget(list(calls.values()), rules.retry_budget)


def broken_deployments_get_probes_only(log: list[Entry], settings: BreakerSettings) -> Iterator[str]:
    """While a breaker waits, nothing is called; while it tries again, no more than its probes run at once."""
    states: dict[str, str] = {}
    trying: dict[str, list[SimCall]] = defaultdict(list)
    for entry in log:
        if isinstance(entry, Turned):
            name = entry.event.breaker
            states[name] = entry.event.state_to
            if entry.event.state_to != "half_open":
                trying[name] = []
        if not isinstance(entry, Began):
            continue
        call = entry.call
        for name in (call.deployment.id, call.deployment.provider):
            state = states.get(name, "closed")
            if state == "open":
                yield f"call {call.number} went to {name} at {call.began_s:.3f} s, though its breaker was open"
            if state == "half_open":
                at_s = call.began_s
                running = [each for each in trying[name] if _runs(each, at_s, settings.probe_s)]
                trying[name] = [*running, call]
                if len(running) >= settings.probes:
                    yield f"{name} got {len(running) + 1} probes at once, at {at_s:.3f} s"


def _runs(probe: SimCall, at_s: float, lease_s: float) -> bool:
    """Whether a probe holds its place: it was not ended, nor answered, nor is its lease over."""
    until_s = min(probe.began_s + lease_s, probe.ended_s if probe.ended_s is not None else float("inf"))
    if probe.answered_s is not None:
        until_s = min(until_s, probe.answered_s)
    return at_s < until_s - _MOMENT_S


def nothing_begins_after_the_first_byte(log: list[Entry]) -> Iterator[str]:
    """Once the client has seen a byte, the request is never sent again, and no other call of it goes on."""
    seen = set()
    calls: dict[str, list[SimCall]] = defaultdict(list)
    for entry in log:
        if isinstance(entry, Began):
            calls[entry.call.request_id].append(entry.call)
            if entry.call.request_id in seen:
                yield f"call {entry.call.number} of {entry.call.request_id} began after the client's first byte"
        elif isinstance(entry, Saw):
            seen.add(entry.request_id)
            after_s = entry.at_s + _MOMENT_S
            on = [call.number for call in calls[entry.request_id] if call.ended_s is None or call.ended_s > after_s]
            if len(on) > 1:
                yield f"calls {on} of {entry.request_id} went on after the client's first byte"


def attempts_of_a_request(calls: list[SimCall], rules: AttemptRules, *, hedges: bool) -> Iterator[str]:
    """Each candidate once but for retries, few of these, and one call at a time but for one hedge."""
    candidates = {call.deployment.id for call in calls}
    if len(calls) - len(candidates) > rules.retries:
        yield f"{len(calls)} calls of {len(candidates)} candidates, with {rules.retries} retries"
    if len(calls) > rules.max_attempts:
        yield f"{len(calls)} calls"
    besides = 0
    for index, call in enumerate(calls):
        beside = sum(each.ended_s is None or each.ended_s > call.began_s + _MOMENT_S for each in calls[:index])
        besides += beside > 0
        if beside > 1:
            yield f"{beside + 1} calls at once"
    if besides > hedges:
        yield f"{besides} calls began beside another"


def retries_stay_within_their_budget(requests: list[list[SimCall]], rules: RetryBudgetSettings) -> Iterator[str]:
    """In any window, of any deployment: no more retries than the floor and the share of its other calls."""
    firsts: dict[str, list[float]] = defaultdict(list)
    again: dict[str, list[float]] = defaultdict(list)
    for calls in requests:
        seen = set()
        for call in calls:
            name = call.deployment.id
            (again if name in seen else firsts)[name].append(call.began_s)
            seen.add(name)
    window_s = rules.window_s
    for name, times in again.items():
        times.sort()
        for at_s in times:
            retries = sum(at_s - (1 - _STEP) * window_s < each <= at_s for each in times)
            others = sum(at_s - window_s <= each <= at_s for each in firsts[name])
            if retries > rules.floor + rules.ratio * others:
                yield f"{name}: {retries} retries beside {others} other calls in {window_s:g} s, at {at_s:.3f} s"


_CLEAR: Final = frozenset(("refused", "unanswered", "dropped", "status 500", "status 503", "status 401", "stalled"))
"""Faults that fail every answer, as every breaker must see."""


def outages_are_left_alone(scenario: Scenario, calls: list[SimCall]) -> Iterator[str]:
    """By the weather alone, whatever the breaker says of itself: an outage gets its first failures and some probes."""
    settings = scenario.snapshot.resilience.breaker
    for name, manner in scenario.manners.items():
        by_deployment: dict[str, list[SimCall]] = defaultdict(list)
        for call in calls:
            if call.deployment.provider == name:
                by_deployment[call.deployment.id].append(call)
        for spell in manner.weather.spells:
            if spell.kind in _CLEAR and spell.share >= 1:
                from_s, until_s = (MONOTONIC_START_S + at_s for at_s in (spell.from_s, spell.until_s))
                for deployment, mine in by_deployment.items():
                    yield from _left_alone(mine, from_s, until_s, settings, f"{deployment} ({spell})")


def _left_alone(
    calls: list[SimCall], from_s: float, until_s: float, settings: BreakerSettings, name: str
) -> Iterator[str]:
    known_s = _known_broken_s(calls, from_s, settings.consecutive_failures)
    if known_s is None:
        return
    late = [call for call in calls if known_s + _MOMENT_S < call.began_s < until_s]
    rounds, next_s, wait_s = 0, known_s, settings.open_s
    while (next_s := next_s + wait_s * (1 - settings.jitter)) < until_s:
        rounds += 1
        wait_s = min(settings.open_max_s, wait_s * 2)
    given_up = sum(map(_says_nothing, late))  # and gives its place to another
    if len(late) > rounds * settings.probes + given_up:
        yield f"{name}: {len(late)} calls after it was known to be broken, in {rounds} rounds of {settings.probes}"


def _known_broken_s(calls: list[SimCall], from_s: float, failures: int) -> float | None:
    """When so many requests in a row had failed, twice as many as began among them, or the last of them, and ran on."""
    row: list[float] = []
    firsts: dict[str, int] = {}
    for call in sorted(calls, key=lambda call: call.began_s):
        firsts.setdefault(call.request_id, call.number)
    for call in sorted((call for call in calls if call.ended_s is not None), key=lambda call: call.ended_s or 0.0):
        failed_again = call.plan.fault in _CLEAR and firsts[call.request_id] != call.number
        if _says_nothing(call) or failed_again:
            continue
        row = [*row, call.began_s] if call.plan.fault in _CLEAR and call.began_s >= from_s else []
        if len(row) >= failures:
            at_s = call.ended_s or 0.0
            under_way = [each.began_s for each in calls if each.ended_s is None or each.ended_s > at_s]
            if any(_outweigh(each, under_way) for each in (row, row[-failures:])):
                return at_s
    return None


def _outweigh(failed: list[float], under_way: list[float]) -> bool:
    return len(failed) >= OUTWEIGH * sum(min(failed) <= each <= max(failed) for each in under_way)


def _says_nothing(call: SimCall) -> bool:
    """It was given up, or its client's own time was over."""
    return call.aborted_s is not None or (call.hurried and call.outcome == "TimedOut")
