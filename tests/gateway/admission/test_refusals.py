"""Refusals in words: what an SDK acts on, and what a person reads."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admission.refusals import error_for, is_too_quick, rate_headers, waits
from gateway.errors import BudgetExceeded, BudgetReserved, FareboxError, RateExceeded, RunLimitExceeded
from gateway.ledger.operations import Amounts, Bid, Claim, Denial, Origin, Rate, RateState, Unit
from gateway.ledger.windows import FOREVER_S
from routing.money import NANO_PER_USD

USD = NANO_PER_USD
END_S = 1_796_083_200.0
MONEY = Claim("b|month|researcher|2026-11", Unit.MONEY, 5 * USD, 1, "agent:researcher", end_s=END_S)
TOKENS = Rate("g|fair|researcher|tokens", Unit.TOKENS, 1000, 60.0, 1000, "agent:researcher")
ORIGIN = Origin("req", 1, "acme", "research", "researcher", "", None, (), "gpt", "o/gpt", "o", "gpt", False)
FIGURES = {"limit_usd": "5.00", "spent_usd": "4.98", "reserved_usd": "0.01"}


def bid(*claims: Claim, rates: tuple[Rate, ...] = ()) -> Bid:
    amounts = Amounts(1, 1)
    return Bid(claims, rates, amounts, amounts, amounts, 1, ORIGIN)


def denial(cause: Any, claim: Claim | Rate = MONEY, **changes: Any) -> Denial:
    written = {"limit": 5 * USD, "posted": 498 * USD // 100, "reserved": USD // 100, **changes}
    return Denial(cause, claim.key, claim.scope, **written)


def refused(*denials: Denial, bids: tuple[Bid, ...] | None = None, status: int = 402) -> FareboxError:
    return error_for(denials, bids or (bid(MONEY, rates=(TOKENS,)),) * len(denials), status)


def test_a_spent_budget() -> None:
    error = refused(denial("posted"))
    assert isinstance(error, BudgetExceeded)
    assert (error.status, error.should_retry, error.retry_after_s) == (402, False, None)
    assert error.metadata == {
        "reason": "budget_exceeded",
        "scope": "agent:researcher",
        **FIGURES,
        "needs_usd": "0.000000001",
        "budget": "month",
        "reset_at": "2026-12-01T00:00:00Z",
    }
    for part in ("agent:researcher", "4.98 of 5.00 USD", "2026-12-01T00:00:00Z", "Ask the operator"):
        assert part in error.message


@pytest.mark.parametrize("status", [422, 429])
def test_its_status_is_the_operators_choice(status: int) -> None:
    assert refused(denial("posted"), status=status).status == status
    assert BudgetExceeded.status == 402


@pytest.mark.parametrize(
    ("claim", "words"),
    [(MONEY._replace(end_s=FOREVER_S), "does not begin anew"), (MONEY._replace(bucket_s=60), "as time passes")],
)
def test_windows_without_an_end_have_no_reset(claim: Claim, words: str) -> None:
    error = refused(denial("posted"), bids=(bid(claim),))
    assert error.metadata["reset_at"] is None
    assert words in error.message


def test_money_under_way() -> None:
    error = refused(denial("reserved"))
    assert isinstance(error, BudgetReserved)
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert error.retry_after_s is not None
    assert 1 <= error.retry_after_s <= 5
    assert error.metadata["reason"] == "budget_reserved"


def test_a_token_rate() -> None:
    error = refused(denial("rate", TOKENS, limit=1000, retry_after_s=2.25))
    assert isinstance(error, RateExceeded)
    assert (error.retry_after_s, error.should_retry) == (3, None)
    assert dict(error.headers) == {
        b"retry-after-ms": b"2250",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"2.250s",
    }


def test_a_long_wait_is_not_slept_through() -> None:
    error = refused(denial("rate", TOKENS, retry_after_s=3600.0))
    assert (error.retry_after_s, error.should_retry) == (60, False)
    assert dict(error.headers)[b"retry-after-ms"] == b"60000"


def test_requests_at_a_time() -> None:
    claim = Claim("c|fair|researcher", Unit.SLOTS, 4, 1, "agent:researcher")
    error = refused(denial("slots", claim, limit=4), bids=(bid(claim),))
    assert isinstance(error, RateExceeded)
    assert error.metadata["reason"] == "concurrency"


@pytest.mark.parametrize("cause", ["paused", "closed", "time"])
def test_a_run_that_takes_no_more(cause: str) -> None:
    error = refused(Denial(cause, "researcher/r1", "run:researcher/r1", 0, 0, 0))  # type: ignore[arg-type]
    assert isinstance(error, RunLimitExceeded)
    assert (error.status, error.should_retry, error.metadata["reason"]) == (422, False, cause)
    assert "researcher/r1" in error.message


@pytest.mark.parametrize(("unit", "word"), [(Unit.TOKENS, "tokens"), (Unit.REQUESTS, "requests")])
def test_a_run_that_has_used_up_a_limit(unit: Unit, word: str) -> None:
    claim = Claim(f"r|researcher/r1|{word}", unit, 10, 0, "run:researcher/r1")
    error = refused(denial("posted", claim, limit=10, posted=9, reserved=1), bids=(bid(claim),))
    assert isinstance(error, RunLimitExceeded)
    assert error.metadata == {"reason": word, "scope": "run:researcher/r1", "limit": 10, "used": 9, "reserved": 1}


def test_a_runs_money_is_a_budget() -> None:
    claim = Claim("r|researcher/r1|cost", Unit.MONEY, 5 * USD, 0, "run:researcher/r1")
    assert isinstance(refused(denial("posted", claim), bids=(bid(claim),)), BudgetExceeded)


def test_velocity() -> None:
    claim = Claim("v|researcher|researcher/r1|rolling", Unit.MONEY, USD, 0, "run:researcher/r1", bucket_s=1)
    error = refused(denial("posted", claim), bids=(bid(claim),))
    assert isinstance(error, RunLimitExceeded)
    assert error.metadata["reason"] == "velocity"


def test_a_request_that_is_too_dear_by_itself_is_no_runaway() -> None:
    """Nothing was spent lately: the run is not to be stopped for what it only asked for."""
    claim = Claim("v|researcher|researcher/r1|rolling", Unit.MONEY, USD, 0, "run:researcher/r1", bucket_s=1)
    found = denial("posted", claim, limit=USD, posted=0)
    error = refused(found, bids=(bid(claim),))
    assert (error.status, error.metadata["reason"]) == (422, "velocity")
    assert "alone" in error.message
    assert not is_too_quick(found)
    assert is_too_quick(denial("posted", claim))
    assert not is_too_quick(denial("reserved", claim))
    assert not is_too_quick(denial("posted"))


def test_a_runs_tokens_under_way_are_told_as_tokens() -> None:
    claim = Claim("r|researcher/r1|tokens", Unit.TOKENS, 1000, 0, "run:researcher/r1")
    error = refused(denial("reserved", claim, limit=1000, posted=600, reserved=300), bids=(bid(claim),))
    assert isinstance(error, BudgetReserved)
    assert "1000 tokens" in error.message
    assert "USD" not in error.message
    assert (error.metadata["used"], error.metadata["limit"], error.retry_after_s) == (600, 1000, 2)


def test_of_several_candidates_the_one_that_passes_soonest_is_told() -> None:
    assert isinstance(refused(denial("posted"), denial("rate", TOKENS, retry_after_s=1.0)), RateExceeded)
    assert isinstance(refused(denial("rate", TOKENS, retry_after_s=1.0), denial("reserved")), BudgetReserved)
    sooner = refused(denial("rate", TOKENS, retry_after_s=9.0), denial("rate", TOKENS, retry_after_s=2.0))
    assert sooner.retry_after_s == 2


def test_only_money_under_way_is_waited_for() -> None:
    assert waits((denial("posted"), denial("reserved"))) == denial("reserved")
    for cause in ("posted", "rate", "slots", "paused"):
        assert waits((denial(cause, TOKENS),)) is None


def test_no_message_speaks_of_a_rate_limit_unless_its_status_is_429() -> None:
    """Some frameworks decide on retries by matching the text (CONTRACTS section 1)."""
    for cause in ("posted", "paused", "closed", "time"):
        message = refused(denial(cause)).message.lower()
        assert not any(words in message for words in ("rate limit", "429", "too many tokens", "maximum context"))


def test_rate_headers_tell_the_tightest_of_each_kind() -> None:
    requests = Rate("g|a|x|requests", Unit.REQUESTS, 60, 60.0, 60, "agent:x")
    states = (RateState(requests, 40, 20.0), RateState(requests._replace(limit=10), 3, 1.5), RateState(TOKENS, 7, 0.0))
    assert dict(rate_headers(states)) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"3",
        b"x-ratelimit-reset-requests": b"1.500s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"7",
        b"x-ratelimit-reset-tokens": b"0.000s",
    }


# --- what deployments can take ---

SLOTS = Claim("c|@capacity|azure/gpt", Unit.SLOTS, 100, 1, "deployment:azure/gpt")
PER_MINUTE = Rate("g|@capacity|o/gpt|requests", Unit.REQUESTS, 600, 60.0, 600, "deployment:o/gpt")


def test_when_all_deployments_are_full_the_first_that_has_room_is_told() -> None:
    slots = denial("slots", SLOTS, limit=100, posted=0, reserved=100)
    rate = denial("rate", PER_MINUTE, limit=600, retry_after_s=90.0)
    error = refused(rate, slots, bids=(bid(rates=(PER_MINUTE,)), bid(SLOTS)))
    assert isinstance(error, RateExceeded)
    assert (error.status, error.retry_after_s, error.should_retry) == (429, 1, None)
    assert error.metadata == {"reason": "capacity", "scope": "deployment:azure/gpt", "limit": 100}
    for part in ("`gpt`", "`deployment:azure/gpt`", "100 requests at a time", "in 1 s"):
        assert part in error.message


def test_a_deployments_rate_is_not_the_clients() -> None:
    error = refused(denial("rate", PER_MINUTE, limit=600, retry_after_s=2.25), bids=(bid(rates=(PER_MINUTE,)),))
    assert error.headers == ((b"retry-after-ms", b"2250"),)
    assert error.retry_after_s == 3
    assert "600 requests in 60 s" in error.message
    assert rate_headers((RateState(PER_MINUTE, 5, 1.0),)) == ()
    told = dict(rate_headers((RateState(PER_MINUTE, 5, 1.0), RateState(TOKENS, 10, 1.0))))
    assert set(told) == {b"x-ratelimit-" + what + b"-tokens" for what in (b"limit", b"remaining", b"reset")}


def test_a_long_wait_for_a_deployment_is_no_reason_to_retry() -> None:
    error = refused(denial("rate", PER_MINUTE, limit=600, retry_after_s=90.0), bids=(bid(rates=(PER_MINUTE,)),))
    assert (error.retry_after_s, error.should_retry) == (60, False)
