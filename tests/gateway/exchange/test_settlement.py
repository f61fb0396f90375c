"""What an attempt is charged: never less than it can have cost where a budget counts it, and what is learned of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.config.snapshot import Endpoint
from gateway.exchange.settlement import Settlement
from gateway.learned.expectations import START
from gateway.ledger.budgets import NO_LIMITS, Quota, RateLimit
from gateway.ledger.operations import Claim, Opening, Unit
from gateway.ledger.scopes import Scope
from gateway.telemetry.events import ChargePosted
from gateway.upstream.attempt import Attempt, Kind
from gateway.upstream.call import HttpCall
from gateway.upstream.launch import target_of
from gateway.wire.requests import ModelRequest
from routing.catalog import Metering
from routing.money import NanoUsd, Usage
from tests.gateway.admission.world import NOW_S, TOKEN_NANO, Client, Stage, budget, deployment

METERED = {"metering": Metering(tokens_per_event=2, tokens_per_s=10, cancel_s=1)}
MARGIN_TOKENS = 12
RATES = (RateLimit("fair", Scope("global"), requests=Quota(10, 60.0, 10)),)


def event(text: str | None = "word", **fields: Any) -> bytes:
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    return b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"


async def begin(
    stage: Stage, request: ModelRequest | None = None, *, kind: Kind = "first", **labels: str
) -> Settlement:
    """An attempt that was sent."""
    request = request or stage.request(100)
    context = stage.context(**labels)
    context.request = request
    permit = await stage.admission.admit(context, Client(), stage.turn())
    assert permit is not None
    call = HttpCall(asyncio.get_running_loop(), Endpoint("one", "http://localhost", ()), b"", b"")
    target = target_of(call.endpoint, None, request)
    attempt = Attempt(f"{context.request_id}.1", 1, kind, permit.deployment, target, call)
    return Settlement(context, attempt, permit, stage.recorder)


def charge_of(stage: Stage) -> ChargePosted:
    (charge,) = [event for event in stage.noticed() if isinstance(event, ChargePosted)]
    assert stage.store.reserved == 0
    return charge


async def test_what_was_never_seen_costs_all_that_was_reserved() -> None:
    stage = Stage(budget("all", 5_000))
    settlement = await begin(stage)
    settlement.unseen("timeout")
    charge = charge_of(stage)
    assert charge.cost_nano_usd == charge.reserved_nano_usd > 100 * TOKEN_NANO


@pytest.mark.parametrize(
    ("kind", "outcome", "purpose"),
    [
        ("first", "ok", "useful"),
        ("fallback", "ok", "fallback"),
        ("retry", "ok", "retry"),
        ("hedge", "cancelled", "hedge"),
        ("first", "cancelled", "cancelled"),
        ("retry", "malformed", "failed"),
    ],
)
async def test_money_is_labelled_as_what_it_went_for(kind: Kind, outcome: str, purpose: str) -> None:
    stage = Stage(budget("all", 5_000))
    settlement = await begin(stage, kind=kind)
    settlement.settle(outcome, Usage(10, 10), estimated=False)
    assert charge_of(stage).purpose == purpose


async def test_where_only_rates_count_it_is_an_estimate_as_ever() -> None:
    stage = Stage(limits=RATES)
    settlement = await begin(stage)
    settlement.unseen("timeout")
    assert charge_of(stage).usage.output_tokens == 1, "the time it took, at a fast model's pace"


async def test_a_charge_counts_where_the_outermost_carve_was_made_and_where_it_was_reserved_itself() -> None:
    stage = Stage(budget("all", 50_000))
    outer = Opening("tester/outer", None, "acme", "tester", NO_LIMITS, 3_600.0, NanoUsd(2_000_000))
    purse = (Claim("k|tester/outer", Unit.MONEY, 2_000_000, 0, "run:tester/outer"),)
    inner = Opening(
        "tester/inner", outer.id, "acme", "tester", NO_LIMITS, 3_600.0, NanoUsd(1_000_000), purse, f"carve:{outer.id}"
    )
    stage.store.book.open_run(outer, NOW_S - 20)
    stage.store.book.open_run(inner, NOW_S - 10)
    (await begin(stage, run="inner")).unseen("timeout")
    charge = next(event for event in stage.noticed() if isinstance(event, ChargePosted))
    assert charge.run_path == "tester/outer>tester/inner"
    assert (charge.window_at_s, charge.reserved_at_s) == (NOW_S - 20, NOW_S)


async def test_a_charge_without_a_carve_has_one_moment() -> None:
    stage = Stage(budget("all", 5_000))
    (await begin(stage)).unseen("timeout")
    charge = charge_of(stage)
    assert (charge.window_at_s, charge.reserved_at_s) == (NOW_S, 0.0)


async def test_a_declared_pace_bounds_what_was_never_seen() -> None:
    stage = Stage(budget("all", 5_000), deployments=(deployment("one", **METERED),))
    settlement = await begin(stage)
    settlement.unseen("timeout")
    assert charge_of(stage).usage.output_tokens == 1 + MARGIN_TOKENS


@pytest.mark.parametrize("hidden", [{"best_of": 3}, {"prediction": {"type": "content", "content": "x" * 90}}])
async def test_a_declared_pace_says_nothing_of_what_a_stream_does_not_show(hidden: dict[str, Any]) -> None:
    stage = Stage(budget("all", 50_000), deployments=(deployment("one", **METERED),))
    settlement = await begin(stage, stage.request(100, **hidden))
    settlement.unseen("timeout")
    charge = charge_of(stage)
    assert charge.cost_nano_usd == charge.reserved_nano_usd


async def test_a_broken_strict_stream_costs_what_was_seen_and_the_margin() -> None:
    stage = Stage(budget("all", 5_000), deployments=(deployment("one", **METERED),))
    settlement = await begin(stage, stage.request(100, stream=True))
    for _ in range(3):
        settlement.observer.observe(event())
    settlement.observed("cut")
    assert charge_of(stage).usage.output_tokens == 3 * 2 + MARGIN_TOKENS


async def test_a_whole_answer_without_usage_may_have_cost_all_that_was_reserved() -> None:
    stage = Stage(budget("all", 5_000))
    settlement = await begin(stage)
    settlement.size("ok", 0, 30)
    charge = charge_of(stage)
    assert (charge.cost_nano_usd, charge.estimated) == (charge.reserved_nano_usd, True)


async def test_without_a_budget_its_size_is_the_estimate() -> None:
    stage = Stage(limits=RATES)
    settlement = await begin(stage)
    settlement.size("ok", 0, 30)
    assert charge_of(stage).usage.output_tokens == 10


async def test_what_was_not_billed_teaches_nothing() -> None:
    stage = Stage(budget("all", 5_000), reserve="calibrated")
    settlement = await begin(stage)
    settlement.nothing("error")
    assert charge_of(stage).resolution == "released"
    assert stage.learned.expect("tester", "gpt") == START
    assert len(stage.learned) == 0


@pytest.mark.parametrize("outcome", ["cancelled", "cut", "drained", "error", "timeout"])
async def test_half_an_answer_teaches_nothing(outcome: str) -> None:
    stage = Stage(budget("all", 5_000), reserve="calibrated")
    settlement = await begin(stage)
    settlement.settle(outcome, Usage(10, 3), estimated=False)
    assert len(stage.learned) == 0


async def test_a_whole_answer_teaches() -> None:
    stage = Stage(budget("all", 50_000), reserve="calibrated")
    for _ in range(30):
        (await begin(stage)).settle("ok", Usage(10, 3), estimated=False)
    assert stage.learned.expect("tester", "gpt").output_tokens < 10


async def test_an_answer_that_reached_a_bound_would_have_become_longer() -> None:
    """The provider's own bound, which nobody here knows of: only the finish reason tells."""
    stage = Stage(budget("all", 50_000), reserve="calibrated", deployments=(deployment("one", **METERED),))
    for _ in range(30):
        settlement = await begin(stage, stage.request(500, stream=True))
        usage = {"prompt_tokens": 10, "completion_tokens": 50}
        cut = {"index": 0, "delta": {"content": "x"}, "finish_reason": "length"}
        settlement.observer.observe(b"data: " + json.dumps({"choices": [cut], "usage": usage}).encode() + b"\n\n")
        settlement.observed("ok")
    assert stage.learned.expect("tester", "gpt").output_tokens > 60


def usage_event(output_tokens: int, choices: tuple[Any, ...] = ()) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": output_tokens, "prompt_tokens_details": {"cached_tokens": 3}}
    return b"data: " + json.dumps({"choices": list(choices), "usage": usage}).encode() + b"\n\n"


TEXT = {"index": 0, "delta": {"content": "x"}}


@pytest.mark.parametrize("agent", [{}, {"reserve": "calibrated"}])
async def test_usage_on_the_way_is_not_the_end_of_a_stream_that_broke(agent: dict[str, Any]) -> None:
    """Some providers report with each event: what is generated until the connection's end is seen is billed too."""
    stage = Stage(budget("all", 50_000), deployments=(deployment("one", **METERED),), **agent)
    settlement = await begin(stage, stage.request(500, stream=True))
    for seen in range(1, 6):
        settlement.observer.observe(usage_event(seen, (TEXT,)))
    settlement.observed("cancelled")
    charge = charge_of(stage)
    assert charge.estimated
    assert charge.usage == Usage(7, 5 + MARGIN_TOKENS, cache_read_tokens=3), "the input is known"


async def test_usage_before_the_answer_is_not_the_answers() -> None:
    stage = Stage(budget("all", 5_000))
    settlement = await begin(stage, stage.request(500, stream=True))
    settlement.observer.observe(usage_event(0))
    settlement.observed("cut")
    assert charge_of(stage).usage == Usage(7, 500, cache_read_tokens=3)


async def test_without_a_budget_what_was_reported_last_counts() -> None:
    stage = Stage(limits=RATES)
    settlement = await begin(stage, stage.request(500, stream=True))
    settlement.observer.observe(usage_event(5, (TEXT,)))
    settlement.observed("cancelled")
    assert charge_of(stage).usage.output_tokens == 5


async def test_usage_of_a_whole_stream_is_exact() -> None:
    stage = Stage(budget("all", 5_000))
    settlement = await begin(stage, stage.request(500, stream=True))
    settlement.observer.observe(event())
    settlement.observer.observe(usage_event(5, ({**TEXT, "finish_reason": "stop"},)))
    settlement.observed("ok")
    charge = charge_of(stage)
    assert (charge.usage.output_tokens, charge.estimated) == (5, False)


async def test_a_shortened_stream_costs_no_less_than_was_reported() -> None:
    stage = Stage(budget("all", 50_000), deployments=(deployment("one", **METERED),), reserve="calibrated")
    settlement = await begin(stage, stage.request(900, stream=True))
    assert settlement.meter is not None
    settlement.observer.observe(usage_event(40, (TEXT,)))
    settlement.observer.observe(event())
    settlement.shortened()
    assert charge_of(stage).usage == Usage(7, 42 + MARGIN_TOKENS, cache_read_tokens=3)


async def test_where_every_event_tells_its_usage_only_the_margin_is_estimated() -> None:
    """Input and what was seen are the provider's own word, however many tokens an event may have."""
    metering = Metering(tokens_per_event=4, tokens_per_s=10, cancel_s=1, running_usage=True)
    stage = Stage(budget("all", 50_000), deployments=(deployment("one", metering=metering),), reserve="calibrated")
    settlement = await begin(stage, stage.request(1_000, stream=True))
    assert settlement.permit is not None
    assert settlement.permit.running_usage
    for tokens in (1, 2, 6):
        usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
        settlement.observer.observe(event(usage=usage))
    settlement.observed("cancelled")
    charge = charge_of(stage)
    assert charge.usage == Usage(9, 6 + 4 + 10)
    assert charge.estimated


async def test_several_answers_tell_each_their_own_usage() -> None:
    metering = Metering(tokens_per_event=4, tokens_per_s=10, cancel_s=1, running_usage=True)
    stage = Stage(budget("all", 50_000), deployments=(deployment("one", metering=metering),), reserve="calibrated")
    settlement = await begin(stage, stage.request(100, stream=True, n=2))
    assert settlement.permit is not None
    assert not settlement.permit.running_usage
    settlement.nothing("error")
