"""A store's refusal as the client's error: what happened, where, how much, until when, and what to do. Pure.

Of several candidates' refusals the one that passes soonest is told: only when none can fit before a window ends is the
request refused for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.errors import BudgetExceeded, BudgetReserved, FareboxError, RateExceeded, RunLimitExceeded
from gateway.ledger.budgets import CAPACITY
from gateway.ledger.operations import Bid, Cause, Claim, Denial, Rate, RateState, Unit
from gateway.ledger.windows import FOREVER_S
from gateway.limits import gcra
from routing.money import NanoUsd, format_usd

MAX_RETRY_AFTER_S: Final = 60
"""Some SDKs sleep for as long as they are told: nobody is told to sleep longer than this."""
_SOONEST: Final[tuple[Cause, ...]] = ("reserved", "slots", "rate", "posted", "paused", "time", "closed")

_REQUESTS: Final = Unit.REQUESTS
_REQUEST_HEADERS: Final = (
    b"x-ratelimit-limit-requests",
    b"x-ratelimit-remaining-requests",
    b"x-ratelimit-reset-requests",
)
_TOKEN_HEADERS: Final = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")

_CAPACITY: Final = (f"c|{CAPACITY}|", f"g|{CAPACITY}|")
"""How keys begin that count what a deployment takes."""
_ADVICE: Final = "Ask the operator for more, or use less: a cheaper model, a smaller max_tokens."


def soonest(denials: Sequence[Denial]) -> tuple[int, Denial]:
    """Which bid's refusal passes first, and that refusal."""
    return min(enumerate(denials), key=lambda at: (_SOONEST.index(at[1].cause), at[1].retry_after_s))


def error_for(denials: Sequence[Denial], bids: Sequence[Bid], budget_status: int) -> FareboxError:
    """The error for a refused ticket."""
    at, denial = soonest(denials)
    if denial.cause in ("rate", "slots"):
        return _rate_error(denial, bids[at])
    if denial.cause in ("paused", "closed", "time"):
        return _run_error(denial)
    claim = next(claim for claim in bids[at].claims if claim.key == denial.key)
    if denial.cause == "reserved":
        return _reserved_error(denial, claim)
    if claim.unit is not Unit.MONEY:
        return _run_used_up(denial, claim)
    if claim.key.startswith("v|"):
        return _velocity_error(denial)
    needs = format_usd(NanoUsd(_needs(bids[at], claim)))
    error = BudgetExceeded(
        f"The budget of {_scope_words(denial.scope)} has no room for this request: {_spent_of(denial)}, and it needs "
        f"{needs} USD at the least. {_until(claim)}",
        reason="budget_exceeded",
        **_figures(denial),
        needs_usd=needs,
        budget=_budget_of(claim),
        reset_at=_reset_at(claim),
    )
    error.status = budget_status
    return error


def _velocity_error(denial: Denial) -> RunLimitExceeded:
    run = _run_of(denial)
    if is_too_quick(denial):
        words = (
            f"The run `{run}` spends too quickly: {_spent_of(denial)} lately. It is paused until an operator lets it "
            f"go on: `farebox runs resume {run}`."
        )
    else:
        words = (
            f"This request alone may cost more than the run `{run}` may spend at a time, "
            f"{format_usd(NanoUsd(denial.limit))} USD. Send a smaller max_tokens."
        )
    return RunLimitExceeded(words, reason="velocity", **_figures(denial))


def is_too_quick(denial: Denial) -> bool:
    """Whether a run is refused for what it spent lately, and not for what it asks for now: then it is stopped."""
    return denial.key.startswith("v|") and denial.cause == "posted" and denial.posted > 0


def waits(denials: Sequence[Denial]) -> Denial | None:
    """The refusal to wait for: money that only requests under way hold."""
    _, denial = soonest(denials)
    return denial if denial.cause == "reserved" else None


def _reserved_error(denial: Denial, claim: Claim) -> BudgetReserved:
    if claim.unit is not Unit.MONEY:
        return _tokens_reserved(denial)
    error = BudgetReserved(
        f"What is left of the budget of {_scope_words(denial.scope)} is set aside for requests under way "
        f"({_spent_of(denial)}), and none ended in time. This is no rate limit of a provider: try again in a moment.",
        reason="budget_reserved",
        **_figures(denial),
        budget=_budget_of(claim),
        reset_at=_reset_at(claim),
    )
    error.retry_after_s = 2
    return error


def _tokens_reserved(denial: Denial) -> BudgetReserved:
    error = BudgetReserved(
        f"What is left of the {denial.limit} tokens of the run `{_run_of(denial)}` is set aside for its requests under "
        f"way ({denial.posted} used, {denial.reserved} set aside), and none ended in time. Try again in a moment.",
        reason="budget_reserved",
        scope=denial.scope,
        limit=denial.limit,
        used=denial.posted,
        reserved=denial.reserved,
    )
    error.retry_after_s = 2
    return error


def _run_used_up(denial: Denial, claim: Claim) -> RunLimitExceeded:
    what = "tokens" if claim.unit is Unit.TOKENS else "requests"
    return RunLimitExceeded(
        f"The run `{_run_of(denial)}` may use {denial.limit} {what}, its sub-runs included, and has used "
        f"{denial.posted} with {denial.reserved} under way. Start a new run, or ask the operator for more.",
        reason=what,
        scope=denial.scope,
        limit=denial.limit,
        used=denial.posted,
        reserved=denial.reserved,
    )


def _run_error(denial: Denial) -> RunLimitExceeded:
    run = _run_of(denial)
    words = {
        "paused": f"The run `{run}` is paused. An operator can let it go on: `farebox runs resume {run}`.",
        "closed": f"The run `{run}` is closed. Start a new one.",
        "time": f"The time of the run `{run}` is over. Start a new one.",
    }
    return RunLimitExceeded(words[denial.cause], reason=denial.cause, scope=denial.scope)


def _rate_error(denial: Denial, bid: Bid) -> RateExceeded:
    if denial.key.startswith(_CAPACITY):
        return _full(denial, bid)
    scope = _scope_words(denial.scope)
    if denial.cause == "slots":
        error = RateExceeded(
            f"{scope} already has {denial.limit} requests at a time, its limit. Try again when one has ended.",
            reason="concurrency",
            scope=denial.scope,
            limit=denial.limit,
        )
        error.headers = ((b"retry-after-ms", b"1000"),)
        return error
    rate, unit, wait_s = _rate_of(denial, bid)
    error = RateExceeded(
        f"The rate limit of {scope} is reached: {rate.limit} {unit} in {rate.period_s:g} s. "
        f"The next such request passes in {math.ceil(wait_s)} s.",
        reason=unit,
        scope=denial.scope,
        limit=rate.limit,
    )
    _tell_wait(error, wait_s)
    error.headers += rate_headers((RateState(rate, 0, wait_s),))
    return error


def _full(denial: Denial, bid: Bid) -> RateExceeded:
    """No deployment has room, and this is the one that will have some first. Their limits are not the client's."""
    wait_s, limit = 1.0, f"{denial.limit} requests at a time"
    if denial.cause == "rate":
        rate, unit, wait_s = _rate_of(denial, bid)
        limit = f"{rate.limit} {unit} in {rate.period_s:g} s"
    error = RateExceeded(
        f"No deployment of `{bid.origin.model}` has room for this request now: {_scope_words(denial.scope)} takes "
        f"{limit}. Try again in {math.ceil(wait_s)} s.",
        reason="capacity",
        scope=denial.scope,
        limit=denial.limit,
    )
    _tell_wait(error, wait_s)
    return error


def _rate_of(denial: Denial, bid: Bid) -> tuple[Rate, str, float]:
    """The rate that refused, what it counts, and when it lets the request pass."""
    rate = next(rate for rate in bid.rates if rate.key == denial.key)
    return rate, "tokens" if rate.unit is Unit.TOKENS else "requests", max(denial.retry_after_s, 0.001)


def _tell_wait(error: RateExceeded, wait_s: float) -> None:
    error.retry_after_s = min(MAX_RETRY_AFTER_S, math.ceil(wait_s))
    if wait_s > MAX_RETRY_AFTER_S:
        error.should_retry = False
    wait_ms = min(MAX_RETRY_AFTER_S * 1000, math.ceil(wait_s * 1000))
    error.headers = ((b"retry-after-ms", b"%d" % wait_ms),)


def rate_headers(states: Sequence[RateState]) -> tuple[tuple[bytes, bytes], ...]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, of the tightest enforced rate of each kind.

    What a deployment can take is not among them: when it is full, there may be others.
    """
    requests: RateState | None = None
    tokens: RateState | None = None
    for state in states:
        rate = state[0]
        if not rate[6] or rate[0].startswith(_CAPACITY):  # not enforced
            continue
        if rate[1] is _REQUESTS:
            if requests is None or state[1] < requests[1]:
                requests = state
        elif tokens is None or state[1] < tokens[1]:
            tokens = state
    headers: list[tuple[bytes, bytes]] = []
    for found, (limit, remaining, reset) in ((requests, _REQUEST_HEADERS), (tokens, _TOKEN_HEADERS)):
        if found is not None:
            rate, left, reset_s = found
            headers.append((limit, b"%d" % rate[2]))
            headers.append((remaining, b"%d" % (left if left > 0 else 0)))
            headers.append((reset, b"%.3fs" % reset_s))
    return tuple(headers)


def shadow_refusals(states: Sequence[RateState], tokens: int) -> Iterator[str]:
    """Cells of the rates in shadow mode that would have refused what was admitted, of `tokens` tokens."""
    for rate, _, owed_s in states:
        units = tokens if rate.unit is Unit.TOKENS else 1
        if not rate.enforced and gcra.waited_s(owed_s, units, rate.limit, rate.period_s, rate.burst):
            yield rate.key


def _needs(bid: Bid, claim: Claim) -> int:
    """What the claim had to have room for, in nano-USD: the whole amount, or the least that is worth having."""
    return min(bid.least.money, (bid.calibrated if claim.calibrated else bid.strict).money)


def _budget_of(claim: Claim) -> str | None:
    """The name of the budget; None for a run's own limit or carve."""
    return claim.key.split("|", 2)[1] if claim.key.startswith("b|") else None


def _run_of(denial: Denial) -> str:
    return denial.scope.removeprefix("run:")


def _figures(denial: Denial) -> dict[str, Any]:
    return {
        "scope": denial.scope,
        "limit_usd": format_usd(NanoUsd(denial.limit)),
        "spent_usd": format_usd(NanoUsd(denial.posted)),
        "reserved_usd": format_usd(NanoUsd(denial.reserved)),
    }


def _spent_of(denial: Denial) -> str:
    spent, limit = format_usd(NanoUsd(denial.posted)), format_usd(NanoUsd(denial.limit))
    return f"{spent} of {limit} USD are spent, {format_usd(NanoUsd(denial.reserved))} USD set aside"


def _scope_words(scope: str) -> str:
    return "the whole gateway" if scope == "global" else f"`{scope}`"


def _reset_at(claim: Claim) -> str | None:
    if claim.bucket_s or claim.end_s >= FOREVER_S:
        return None
    return datetime.fromtimestamp(claim.end_s, UTC).isoformat().replace("+00:00", "Z")


def _until(claim: Claim) -> str:
    reset_at = _reset_at(claim)
    if reset_at is not None:
        return f"It begins anew at {reset_at}. {_ADVICE}"
    if claim.bucket_s:
        return f"It counts the latest spend only and frees up as time passes. {_ADVICE}"
    return f"It does not begin anew. {_ADVICE}"
