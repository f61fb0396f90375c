"""What to do next for a request: call, wait, hedge, or give up. Pure.

1. The first call goes to whichever candidate of the route fits first. When there is none because providers asked for a
   pause, it waits until the first of them may be called again.
2. After a failure that another candidate may not share, the next one that was not tried yet is called at once.
3. When none is left, one that failed without being billed may be tried again: after a wait (the provider's Retry-After,
   or full jitter, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), within its retry budget.
4. A first byte that is late may be hedged, once a request, by a candidate that was not tried yet.
5. Nothing is begun once the client has seen a byte, nor at the deadline or later, and no wait goes as far.

Whoever drives it calls `next_step` whenever something changed: an attempt ended, or a `Wait` is over (then with
`History.waited` set). A `Call` that came to nothing because a breaker let nobody in meanwhile is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from routing.breaker import Admits
from routing.failures import MEANINGS, Failure, FailureKind, Fallback

RETRY_AFTER_MAX_S: Final = 30.0
"""The longest Retry-After that clients are told: some sleep for as long as they are told."""

_DOUBLINGS_MAX: Final = 32

Reason = Literal[
    "answered",
    "client_started",
    "deadline",
    "breakers_open",
    "parked",
    "final",
    "attempts",
    "exhausted",
    "retry_budget",
]
"""Why no more is done.

`answered`: an attempt went well. `client_started`: the client has seen a byte. `deadline`: no time is left, or less
than the wait takes. `breakers_open`, `parked`: nothing was tried, because no candidate may be called now. `final`: the
failure would be the same elsewhere, or falling back for it is switched off, and it may not be retried. `attempts`: the
bound on attempts is reached. `exhausted`: every candidate was tried, and may not be tried again. `retry_budget`: one
could be, but too many were lately.
"""


class Candidate(NamedTuple):
    """What is known of a candidate of the route at this moment."""

    admits: Admits = "yes"
    retry_at_s: float = 0.0
    """When it may be called again, where `admits` is `no`."""
    parked: bool = False
    """Its provider asked to leave it alone until `retry_at_s`; it is not broken."""
    may_retry: bool = True
    """Whether its retry budget has room."""
    context_tokens: int | None = None
    """Its context window, if known."""


class Tried(NamedTuple):
    """One attempt of the request."""

    candidate: int
    """Its place in the route."""
    began_s: float
    ended_s: float | None = None
    """None while it runs."""
    failure: Failure | None = None
    """None while it runs, and if it went well."""
    probe: bool = False
    """It took a breaker's probe."""
    hedge: bool = False
    """It was begun while another ran."""


class History(NamedTuple):
    """What happened to a request so far."""

    tried: Sequence[Tried]
    """In the order they began."""
    deadline_s: float
    client_started: bool = False
    """The client has seen a byte of an answer."""
    waited: bool = False
    """The last step was a `Wait` after a failure, and it is over."""
    hedge_at_s: float | None = None
    """When the running attempt is to be hedged; None: never (`routing.hedge` knows)."""
    arrived_s: float = -float("inf")
    """When the request came: it waits for a pause to end until `AttemptRules.wait_max_s` later."""


@dataclass(frozen=True, slots=True)
class AttemptRules:
    """What may be done for one request."""

    retries: int = 2
    """Attempts at candidates that were tried before."""
    retry_on: frozenset[FailureKind] = frozenset(
        ("unreachable", "timeout", "server_error", "cut", "stalled", "malformed", "rate_limited")
    )
    """Failures that may pass by themselves."""
    retry_billable: bool = False
    """Retry what the provider may have billed too (most time-outs, cut streams): it may be paid for twice."""
    fallback_on: frozenset[Fallback] = frozenset(("outage", "rate_limit", "context", "content_filter", "unverified"))
    backoff_s: float = 0.25
    """The first retry waits up to this, drawn evenly; doubled for each further one, ..."""
    backoff_max_s: float = 8.0
    """... up to this."""
    wait_max_s: float = 30.0
    """A Retry-After that is longer is the client's to wait for, as is a pause that began before it came."""
    max_attempts: int = 8
    """Upstream calls for one request, whatever their kind."""


class Call(NamedTuple):
    """Begin an attempt now, at the first of these candidates that has room."""

    candidates: tuple[int, ...]
    """Never empty."""
    kind: Literal["first", "fallback", "retry"]


class Wait(NamedTuple):
    """Do nothing until then, unless a running attempt ends before."""

    until_s: float


class Hedge(NamedTuple):
    """Begin an attempt beside the running one, at the first of these that has room; if none has, go on without."""

    candidates: tuple[int, ...]
    """Never empty."""


class GiveUp(NamedTuple):
    """Begin nothing more. If something was tried, its failure is what the client is told."""

    reason: Reason
    retry_after_s: float | None = None
    """When trying again may help, in seconds; at most `RETRY_AFTER_MAX_S`."""


Step = Call | Wait | Hedge | GiveUp


def next_step(history: History, rules: AttemptRules, view: Sequence[Candidate], now_s: float, draw: float) -> Step:
    """What to do next. `view` has the route's candidates in order; `draw` is a number of [0, 1) by chance."""
    tried = history.tried
    if history.client_started:
        return GiveUp("client_started")
    if now_s >= history.deadline_s:
        return GiveUp("deadline")
    if not tried:
        return _first(history, rules, view, now_s, draw)
    if any(each.ended_s is None for each in tried):
        return _beside(history, rules, view, now_s)
    last = max(reversed(tried), key=_ended_s)  # of those that ended at the same moment, the one begun last
    if last.failure is None:
        return GiveUp("answered")
    return _after_failure(_Failed(history, rules, view, now_s), last, last.failure, draw)


class _Failed(NamedTuple):
    """A request whose attempts all ended, none of them well."""

    history: History
    rules: AttemptRules
    view: Sequence[Candidate]
    now_s: float


def _ended_s(tried: Tried) -> float:
    return tried.began_s if tried.ended_s is None else tried.ended_s


def _first(history: History, rules: AttemptRules, view: Sequence[Candidate], now_s: float, draw: float) -> Step:
    admitted = tuple([index for index, each in enumerate(view) if each.admits != "no"])
    if admitted:
        return Call(admitted, "first")
    pauses_s = [each.retry_at_s for each in view if each.parked]
    if pauses_s and rules.retries and "rate_limited" in rules.retry_on:
        until_s = max(now_s, min(pauses_s)) + (1 - draw / 2) * rules.backoff_s  # not all that wait at the same moment
        if until_s < history.deadline_s and until_s - history.arrived_s <= rules.wait_max_s:
            return Wait(until_s)
    reason: Reason = "parked" if view and all(each.parked for each in view) else "breakers_open"
    return GiveUp(reason, _hint_s(view, now_s))


def _beside(history: History, rules: AttemptRules, view: Sequence[Candidate], now_s: float) -> Step:
    """While an attempt runs: wait for it, or hedge it once when its first byte is late."""
    tried, hedge_at_s = history.tried, history.hedge_at_s
    if hedge_at_s is None or any(each.hedge for each in tried) or len(tried) >= rules.max_attempts:
        return Wait(history.deadline_s)
    if now_s < hedge_at_s:
        return Wait(min(hedge_at_s, history.deadline_s))
    untried = _untried(tried, view)
    return Hedge(untried) if untried else Wait(history.deadline_s)


def _after_failure(failed: _Failed, last: Tried, failure: Failure, draw: float) -> Step:
    """Fall back to a candidate that was not tried yet; when there is none, try one again."""
    tried, rules, view = failed.history.tried, failed.rules, failed.view
    fallback = MEANINGS[failure.kind].fallback
    moves = fallback in rules.fallback_on
    if fallback is None or not (moves or _may_pass(last, rules)):
        return GiveUp("final")
    if len(tried) >= rules.max_attempts:
        return GiveUp("attempts", _hint_s(view, failed.now_s))
    if moves and (untried := _untried(tried, view)):
        return Call(untried, "fallback")
    latest = {each.candidate: each for each in tried}
    retries = len(tried) - len(latest)
    again = _retryable(failed, latest, sorted(latest) if moves else [last.candidate])
    affordable = {index: latest[index] for index in again if view[index].may_retry}
    if affordable and retries < rules.retries:
        return _retry(failed, affordable, retries, draw)
    reason: Reason = "exhausted" if not again else "attempts" if retries >= rules.retries else "retry_budget"
    return GiveUp(reason, _hint_s(view, failed.now_s))


def _untried(tried: Iterable[Tried], view: Sequence[Candidate]) -> tuple[int, ...]:
    """Candidates that were not called yet, may be, and have a window larger than every one that was too small."""
    seen = {each.candidate for each in tried}
    return tuple(
        index
        for index, each in enumerate(view)
        if index not in seen and each.admits != "no" and _fits(each, tried, view)
    )


def _fits(candidate: Candidate, tried: Iterable[Tried], view: Sequence[Candidate]) -> bool:
    """Whether its window is larger than all that were too small. One that is unknown is not known to be."""
    return all(
        (candidate.context_tokens or 0) > (view[each.candidate].context_tokens or 0)
        for each in tried
        if each.failure is not None and each.failure.kind == "context_too_long"
    )


def _retryable(failed: _Failed, latest: Mapping[int, Tried], candidates: Iterable[int]) -> list[int]:
    """Those of `candidates` that failed without harm and can be reached again.

    A breaker that is open means an outage, and waiting for it would only make a queue; a park is over when it says.
    """
    view = failed.view
    return [
        index
        for index in candidates
        if _may_pass(latest[index], failed.rules)
        and (view[index].admits != "no" or view[index].parked)
        and _fits(view[index], failed.history.tried, view)
    ]


def _may_pass(tried: Tried, rules: AttemptRules) -> bool:
    failure = tried.failure
    return failure is not None and failure.kind in rules.retry_on and (rules.retry_billable or not failure.billable)


def _retry(failed: _Failed, again: Mapping[int, Tried], retries: int, draw: float) -> Step:
    """Wait for the first of `again` to be ready, and a little longer by chance; then call those that are."""
    history, rules, view, now_s = failed
    ready_s = {index: _ready_s(each, view[index]) for index, each in again.items()}
    if history.waited:
        ready = tuple(index for index in again if ready_s[index] <= now_s and view[index].admits != "no")
        return Call(ready, "retry") if ready else GiveUp("exhausted", _hint_s(view, now_s))
    backoff_s = draw * min(rules.backoff_max_s, rules.backoff_s * 2 ** min(retries, _DOUBLINGS_MAX))
    until_s = max(now_s, min(ready_s.values())) + backoff_s
    if until_s >= history.deadline_s or until_s - now_s > rules.wait_max_s:
        return GiveUp("deadline", min(RETRY_AFTER_MAX_S, until_s - now_s))
    return Wait(until_s)


def _ready_s(tried: Tried, candidate: Candidate) -> float:
    """When its provider may be asked again."""
    asked_s = _ended_s(tried)
    if tried.failure is not None and tried.failure.retry_after_s is not None:
        asked_s += tried.failure.retry_after_s
    return asked_s if candidate.admits != "no" else max(asked_s, candidate.retry_at_s)


def _hint_s(view: Sequence[Candidate], now_s: float) -> float | None:
    """When the first candidate may be called again, in seconds; None if one may be called now."""
    if any(each.admits != "no" for each in view):
        return None
    soonest_s = min((each.retry_at_s for each in view), default=now_s + RETRY_AFTER_MAX_S)
    return min(RETRY_AFTER_MAX_S, max(0.0, soonest_s - now_s))
