"""What an attempt costs: priced usage, and estimates that are rather high and never zero where something was seen."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import Endpoint
from gateway.errors import UpstreamFailure, UpstreamTimeout
from gateway.upstream.attempt import (
    FAST_TOKENS_PER_S,
    NOTHING,
    UNSEEN_TOKENS_MAX,
    Attempt,
    client_error,
    outcome_of,
)
from gateway.upstream.launch import target_of
from gateway.upstream.transport import (
    Aborted,
    ConnectionBroken,
    ResponseTooLarge,
    TimedOut,
    TransportError,
    Unreachable,
)
from gateway.wire.requests import read_request
from routing.catalog import Deployment
from routing.money import ContextTier, NanoUsd, Price, PricePeriod, PricePoint, Usage
from routing.profile import RequestProfile


class NoCall:
    """A call that nobody made."""

    connection_reused = False
    sent = True
    unread = 0

    async def response(self) -> Any:
        raise AssertionError

    def abort(self) -> None:
        raise AssertionError

    def arrived(self) -> int:
        raise AssertionError


def point(name: str, rate: int, fee: int = 0) -> PricePoint:
    return PricePoint(name, *([rate] * 10), fee)


PRICE = Price(
    (
        PricePeriod(
            {
                "default": (ContextTier(0, point("base", 1000)), ContextTier(1000, point("long", 2000))),
                "priority": (ContextTier(0, point("fast", 5000, fee=7)),),
            }
        ),
    )
)
REQUEST = read_request("chat", b'{"model":"m","messages":[]}')
PROFILE = RequestProfile("chat", "m", 300, 100, None, 1, 1, 0, 0, True, False, "default")


def attempt(price: Price | None = PRICE, *, since_s: float = 0.0) -> Attempt:
    target = target_of(Endpoint("p", "http://localhost", ()), None, REQUEST)
    made = Attempt("req.1", 1, "first", Deployment("p/m", "p", "m", price), target, NoCall())
    made.sent_s = time.monotonic() - since_s
    return made


DEFAULT = "default", None


def test_usage_is_priced_at_its_context_tier() -> None:
    assert attempt().price(Usage(1000, 10), *DEFAULT, 0.0, estimated=False) == (
        Usage(1000, 10),
        False,
        1010,
        "base",
        "default",
        None,
        0,
        "",
    )
    assert attempt().price(Usage(1001, 10), *DEFAULT, 0.0, estimated=True)[1:5] == (True, 2022, "long", "default")


def test_services_are_charged_by_the_tariff_on_top_of_the_tokens() -> None:
    made = attempt()
    made.deployment = replace(made.deployment, tariff={"web_search": 10_000_000, "image": 7})
    services = {"web_search": 2, "image:512x512": 1, "unheard_of": 3}
    bill = made.price(Usage(10, 10), *DEFAULT, 0.0, estimated=False, services=services)
    assert (bill.cost, bill.fee) == (20 + 20_000_007, 20_000_007)
    assert bill.units == "image:512x512=1,unheard_of=3,web_search=2"
    assert made.price(NOTHING, *DEFAULT, 0.0, estimated=False, services=services).cost == 0


def test_the_service_tier_that_was_served_counts() -> None:
    bill = attempt().price(Usage(10, 10), "default", "priority", 0.0, estimated=False)
    assert (bill.cost, bill.price_point, bill.service_tier) == (107, "fast", "priority")
    bill = attempt().price(Usage(10, 10), "default", "unheard-of", 0.0, estimated=False)
    assert (bill.cost, bill.price_point, bill.service_tier) == (20, "base", "unheard-of")


def test_an_answer_that_names_no_tier_is_billed_at_the_dearer_one() -> None:
    assert attempt().price(Usage(10, 10), "priority", None, 0.0, estimated=False).price_point == "fast"
    assert attempt().price(Usage(10, 10), "flex", None, 0.0, estimated=False).price_point == "base"


def test_nothing_costs_nothing_not_even_a_fee() -> None:
    bill = attempt(None).price(NOTHING, "default", "priority", 0.0, estimated=False)
    assert (bill.usage, bill.cost, bill.price_point) == (NOTHING, 0, "")
    assert attempt().price(Usage(), "default", "priority", 0.0, estimated=False).cost == 7


@given(st.integers(0, 10**15), st.booleans(), st.sampled_from(("openai", "openrouter", "groq")))
def test_the_providers_word_counts_only_where_it_bills_so(reported: int, estimated: bool, dialect: str) -> None:
    made = attempt()
    made.target = target_of(Endpoint("p", "http://localhost", (), dialect=dialect), None, REQUEST)
    listed = made.price(Usage(10, 10), *DEFAULT, 0.0, estimated=estimated)
    bill = made.as_reported(listed, NanoUsd(reported))
    if dialect == "openrouter" and not estimated:
        assert (bill.cost, bill.listed, bill.usage, bill.price_point) == (reported, 20, listed.usage, "base")
    else:
        assert bill == listed
    nothing = made.price(NOTHING, *DEFAULT, 0.0, estimated=False)
    assert made.as_reported(nothing, NanoUsd(reported)) == nothing


def test_a_deployment_without_a_price_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="without a price"):
        attempt(None).price(Usage(1), *DEFAULT, 0.0, estimated=False)


@given(st.integers(0, 10**6), st.integers(0, 10**8))
def test_estimates_never_miss_what_was_seen(events: int, text_bytes: int) -> None:
    usage = attempt().estimate(PROFILE, events, text_bytes)
    assert usage.input_tokens == PROFILE.input_tokens
    assert usage.output_tokens >= events
    assert (usage.output_tokens > 0) == (events > 0 or text_bytes > 0)


@pytest.mark.parametrize(
    ("bound", "answers", "since_s", "least", "most"),
    [
        (None, 1, 0.0, 1, FAST_TOKENS_PER_S * 60),
        (None, 1, 10_000.0, UNSEEN_TOKENS_MAX, UNSEEN_TOKENS_MAX),
        (50, 1, 10_000.0, 50, 50),
        (50, 3, 10_000.0, 150, 150),
        (0, 1, 10_000.0, 0, 0),
        (10**6, 1, 100.0, 20_000, 40_000),
    ],
)
def test_unseen_answers_are_estimated_by_time(
    bound: int | None, answers: int, since_s: float, least: int, most: int
) -> None:
    profile = PROFILE._replace(max_output_tokens=bound, answers=answers)
    usage = attempt(since_s=since_s).estimate_unseen(profile)
    assert usage.input_tokens == PROFILE.input_tokens
    assert least <= usage.output_tokens <= most


@pytest.mark.parametrize(
    ("error", "outcome", "told", "reason"),
    [
        (TimedOut("first_byte", 5.0, sent=True), "timeout", UpstreamTimeout, "first_byte_timeout"),
        (TimedOut("connect", 5.0, sent=False), "timeout", UpstreamTimeout, "connect_timeout"),
        (Unreachable("refused", sent=False), "unreachable", UpstreamFailure, "unreachable"),
        (ResponseTooLarge("over 5 bytes", sent=True), "malformed", UpstreamFailure, "response_too_large"),
        (ConnectionBroken("reset", sent=True), "cut", UpstreamFailure, "connection_broken"),
        (Aborted("by us", sent=True), "cut", UpstreamFailure, "connection_broken"),
    ],
)
def test_what_a_broken_call_is_called(
    error: TransportError, outcome: str, told: type[UpstreamFailure], reason: str
) -> None:
    assert outcome_of(error) == outcome
    answer = client_error("acme", error)
    assert type(answer) is told
    assert answer.metadata["reason"] == reason
    assert "`acme`" in answer.message
