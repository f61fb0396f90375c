"""What a candidate asks for: its amounts, by who reserves how, and whether its stream is metered."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.admission.bids import UNBOUNDED_OUTPUT_TOKENS, Asked, Offer, is_meterable, offer
from gateway.admission.claims import Coverage, is_all_calibrated
from gateway.config.snapshot import Agent
from gateway.errors import CostUnbounded
from gateway.learned.expectations import Expectation
from gateway.ledger.meter import opening_tokens
from gateway.ledger.operations import Claim, Origin, Unit
from gateway.pricing.bounds import bound
from gateway.wire.others import read_other
from gateway.wire.requests import CHAT, ModelRequest, read_request
from routing.catalog import Deployment
from routing.money import NanoUsd
from tests.gateway.admission.world import METERED, NOW_S, TOKEN_NANO, deployment

AGENT = Agent("tester", "quality", "acme", clamp_min_output_tokens=None)
EXPECTED = Expectation(40, 0.25)
ORIGIN = Origin("req", 1, "acme", "quality", "tester", "", None, (), "gpt", "one/gpt", "one", "gpt", False)
ONE = deployment("one", **METERED)
MONEY = Claim("b|all", Unit.MONEY, 10**12, 1, "global")
SLOTS = Claim("c|all", Unit.SLOTS, 5, 1, "global")


def ask(output_tokens: int | None = 100, **fields: Any) -> ModelRequest:
    body = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], **fields}
    if output_tokens is not None:
        body["max_tokens"] = output_tokens
    return read_request(CHAT, json.dumps(body).encode())


REQUEST = ask(stream=True)


def made(
    *claims: Claim, request: ModelRequest = REQUEST, agent: Agent = AGENT, at: Deployment = ONE, **expected: Any
) -> Offer:
    asked = Asked(request, agent, EXPECTED._replace(**expected), NOW_S)
    calibrated = any(claim.calibrated for claim in claims)
    return offer(
        asked, at, Coverage(claims, (), calibrated, NOW_S + 60, all_calibrated=is_all_calibrated(claims)), ORIGIN
    )


def calibrated(*claims: Claim) -> tuple[Claim, ...]:
    return tuple(claim._replace(calibrated=True) for claim in claims)


def limits(request: ModelRequest = REQUEST) -> Any:
    return bound(request, ONE, None, NOW_S)


def test_who_reserves_strictly_asks_for_the_bound() -> None:
    found = made(MONEY)
    strict = limits().strict
    assert (found.bid.strict, found.bid.calibrated, found.bid.least, found.opening) == (strict,) * 4
    assert strict.money == strict.tokens * TOKEN_NANO
    assert (found.metered, found.learns, found.is_mixed, found.is_budgeted) == (False, False, False, True)
    assert found.meter(NanoUsd(found.bid.strict.money), None) is None
    assert found.tokens_per_byte == 1.0


def test_who_reserves_what_is_usual_asks_for_that_and_the_margin_of_its_stream() -> None:
    found = made(*calibrated(MONEY))
    margin = opening_tokens(ONE.metering)  # type: ignore[arg-type]  # it has one
    assert margin > 0
    assert found.bid.calibrated == limits().expected(40 + margin, 0.25)
    assert found.bid.strict == limits().strict
    assert (found.metered, found.learns, found.is_mixed, found.tokens_per_byte) == (True, True, False, 0.25)
    meter = found.meter(NanoUsd(found.bid.calibrated.money), None)
    assert meter is not None
    assert meter.reserved == found.bid.calibrated.money


def test_one_strict_budget_among_others_is_told() -> None:
    found = made(*calibrated(MONEY), MONEY)
    assert (found.metered, found.is_mixed) == (True, True)
    assert not made(*calibrated(MONEY), SLOTS).is_mixed, "slots count neither money nor tokens"


def test_requests_at_a_time_are_no_budget() -> None:
    assert not made(SLOTS).is_budgeted
    assert made(MONEY._replace(unit=Unit.TOKENS)).is_budgeted


def test_the_least_is_what_the_shortest_useful_answer_needs() -> None:
    shortened = replace(AGENT, clamp_min_output_tokens=16)
    strict = made(MONEY, agent=shortened)
    assert strict.bid.least == strict.opening == limits().least(16)
    margin = opening_tokens(ONE.metering)  # type: ignore[arg-type]  # as above
    usual = made(*calibrated(MONEY), agent=shortened)
    assert usual.bid.least == limits().expected(16, 0.25)
    assert usual.opening == limits().expected(16 + margin, 0.25)
    mixed = made(*calibrated(MONEY), MONEY, agent=shortened)
    assert mixed.bid.least == limits().least(16), "the strict one counts the whole bound on the input"


def test_rates_count_the_input_and_what_is_usual_of_each_answer() -> None:
    request = ask(100, n=3)
    tokens = request.profile.input_tokens
    assert made(MONEY, request=request).bid.rate_tokens == tokens + 3 * 40
    assert made(MONEY, request=request, output_tokens=1_000).bid.rate_tokens == tokens + 3 * 100


UNBOUNDED = ask(50, n=2, web_search_options={"search_context_size": "low"})


@pytest.mark.parametrize("unit", [Unit.MONEY, Unit.TOKENS])
def test_what_nothing_bounds_is_refused_where_a_budget_must_know(unit: Unit) -> None:
    with pytest.raises(CostUnbounded):
        made(MONEY._replace(unit=unit), request=UNBOUNDED)


@pytest.mark.parametrize("claims", [(), (SLOTS,), (MONEY._replace(enforced=False),)])
def test_and_counted_as_it_seems_where_none_must(claims: tuple[Claim, ...]) -> None:
    found = made(*claims, request=UNBOUNDED, agent=replace(AGENT, max_output_tokens=30))
    tokens = UNBOUNDED.profile.input_tokens + 2 * 30
    assert found.bid.strict == found.bid.least == found.opening == (tokens * TOKEN_NANO, tokens)
    assert (found.bid.rate_tokens, found.cap) == (tokens, 30)
    assert (found.bound, found.metered, found.learns) == (None, False, False)
    assert found.meter(NanoUsd(found.bid.strict.money), None) is None


def test_an_answer_without_any_bound_counts_as_a_long_one() -> None:
    request = ask(None, web_search_options={"search_context_size": "low"})
    found = made(request=request)
    assert found.bid.strict.tokens == request.profile.input_tokens + UNBOUNDED_OUTPUT_TOKENS
    assert found.cap is None


@pytest.mark.parametrize(
    ("stream", "assemble", "at", "meterable"),
    [
        (True, False, ONE, True),
        (False, False, ONE, False),
        (False, True, ONE, True),
        (True, True, deployment("one"), False),
    ],
)
def test_what_can_be_counted_while_it_is_generated(
    *, stream: bool, assemble: bool, at: Deployment, meterable: bool
) -> None:
    request = ask(100, stream=stream)
    assert is_meterable(request, replace(AGENT, assemble_whole_answers=assemble), at) is meterable


def test_what_is_beside_chat_is_neither_metered_nor_clamped_nor_learned_from() -> None:
    request = read_other("images", b'{"model":"m","prompt":"a boat","n":2}')
    agent = replace(AGENT, clamp_min_output_tokens=16, reserve="calibrated")
    at = replace(ONE, max_output_tokens=6_240)
    assert not is_meterable(request, agent, at)
    found = made(MONEY, request=request, agent=agent, at=at)
    assert found.bid.least == found.bid.strict == found.opening
    assert not found.learns
    assert request.extent is not None
    assert found.bid.rate_tokens == sum(request.extent.estimate[:2])


def test_what_nothing_bounds_beside_chat_is_counted_as_estimated_where_nobody_enforces() -> None:
    request = read_other("images", b'{"model":"m","prompt":"a boat"}')
    at = replace(ONE, max_output_tokens=None)
    with pytest.raises(CostUnbounded):
        made(MONEY, request=request, at=at)
    found = made(MONEY._replace(enforced=False), request=request, at=at)
    assert request.extent is not None
    assert (found.bound, found.bid.strict.tokens) == (None, sum(request.extent.estimate[:2]))
