"""The stage `admit`, on a real book: nothing it reserves is lost, whoever leaves and whenever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.admission.permit import Permit
from gateway.admission.turn import Turn
from gateway.config.snapshot import QueueSettings
from gateway.errors import BudgetExceeded, BudgetReserved, CostUnbounded, MissingField, RunLimitExceeded
from gateway.guard.settings import Action, VelocityRule
from gateway.ledger.budgets import Quota, RateLimit
from gateway.ledger.meter import GO_ON
from gateway.ledger.operations import Amounts, Granted, OutsideWindow, Refused, Ticket
from gateway.ledger.scopes import Scope
from gateway.reply import ClientGone
from gateway.telemetry.events import LimitNoticed
from gateway.wire.requests import ModelRequest
from routing.catalog import Model
from routing.money import NanoUsd, Usage
from tests.gateway.admission.world import (
    METERED,
    TOKEN_NANO,
    BookStore,
    Client,
    QuickStore,
    Stage,
    budget,
    deployment,
    turns,
)

INPUT_TOKENS = 500
"""More than any of these requests counts for."""


@pytest.fixture(autouse=True, params=[BookStore, QuickStore])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the store answers at once makes no difference."""
    monkeypatch.setattr(Stage, "stores", request.param)


async def admit(
    stage: Stage, request: ModelRequest | None = None, client: Client | None = None, **labels: Any
) -> Permit:
    context = stage.context(**labels)
    context.request = request or stage.request()
    permit = await stage.admission.admit(context, client or Client(), stage.turn())
    assert permit is not None
    return permit


async def full(*budgets: Any, **more: Any) -> tuple[Stage, Permit]:
    """A stage whose budget is taken by one request under way."""
    stage = Stage(*(budgets or (budget("all", 1_000 + INPUT_TOKENS),)), **more)
    permit = await admit(stage, stage.request(1_000))
    return stage, permit


# --- leaks ---


async def test_a_grant_that_comes_with_the_gateways_end_is_given_back() -> None:
    """The waiter is served, and before its request goes on the request is cancelled."""
    stage, first = await full()
    waiting = asyncio.create_task(admit(stage, stage.request(600)))
    await turns()
    assert stage.admission.queue.waiting == 1
    first.release()
    while stage.admission.queue.waiting:
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stage.store.reserved == 0


async def test_a_grant_that_comes_with_the_clients_leaving_is_used_or_given_back() -> None:
    stage, first = await full()
    client = Client()
    waiting = asyncio.create_task(admit(stage, stage.request(600), client))
    await turns()
    first.release()
    while stage.admission.queue.waiting:
        await asyncio.sleep(0)
    client.leave()
    (await waiting).release()  # the exchange hears of it at once
    assert stage.store.reserved == 0


@pytest.mark.parametrize("steps", range(6))
async def test_a_waiter_leaves_no_trace_whenever_it_is_cancelled(steps: int) -> None:
    stage, first = await full()
    waiting = asyncio.create_task(admit(stage, stage.request(600)))
    await turns()
    first.release()
    await turns(steps)
    waiting.cancel()
    done = (await asyncio.gather(waiting, return_exceptions=True))[0]
    if isinstance(done, Permit):
        done.release()
    assert stage.store.reserved == 0
    assert stage.admission.queue.waiting == 0


@pytest.mark.parametrize("steps", range(6))
async def test_a_client_that_waits_may_leave_at_any_moment(steps: int) -> None:
    stage, first = await full()
    client = Client()
    waiting = asyncio.create_task(admit(stage, stage.request(600), client))
    await turns()
    first.release()
    await turns(steps)
    client.leave()
    done = (await asyncio.gather(waiting, return_exceptions=True))[0]
    if isinstance(done, Permit):
        done.release()
    else:
        assert isinstance(done, ClientGone)
    assert stage.store.reserved == 0


class EndedWindow(BookStore):
    """A window ends between the gateway's look at the clock and the store's; the second answer takes its time."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    async def admit(self, ticket: Ticket) -> Granted | Refused:
        if self._times:
            self._times -= 1
            raise OutsideWindow("b|all")
        return await super().admit(ticket)


class EndedWindowAtOnce(QuickStore):
    """As above, and it is the first to say so."""

    def admit_at_once(self, ticket: Ticket, now_s: float) -> Granted | Refused | None:
        raise OutsideWindow("b|all")


async def test_a_window_that_ends_before_the_first_question_is_asked_for_anew() -> None:
    stage = stage_on(EndedWindowAtOnce())
    permit = await admit(stage)
    assert len(stage.store.asked) == 1
    permit.release()


def stage_on(store: BookStore) -> Stage:
    return Stage(budget("all", 2_000), store=store)


async def test_an_admission_that_is_cancelled_in_its_second_try_is_given_back() -> None:
    store = EndedWindow(1)
    store.gate = asyncio.Event()
    stage = stage_on(store)
    asking = asyncio.create_task(admit(stage))
    await turns()
    assert store.reserved > 0
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert store.reserved == 0


async def test_a_window_may_end_twice() -> None:
    assert await admit(stage_on(EndedWindow(2))) is not None


# --- candidates ---


async def test_the_second_candidate_is_taken_when_the_first_ones_provider_has_spent_its_budget() -> None:
    stage = Stage(
        budget("one", 10, Scope("provider", "one")),
        budget("two", 5_000, Scope("provider", "two")),
        deployments=(deployment("one"), deployment("two")),
    )
    permit = await admit(stage)
    assert permit.deployment.provider == "two"
    assert [state.key for state in stage.store.book.counters(None, 0) if state.reserved] == ["b|two|two|total"]


async def test_candidates_of_several_models_each_count_as_their_own() -> None:
    stage = Stage(
        budget("big", 10, Scope("model", "big")),
        budget("small", 50_000, Scope("model", "small")),
        deployments=(deployment("one", **METERED),),
        reserve="calibrated",
    )
    for model, output_tokens in (("big", 900), ("small", 20)):
        for _ in range(50):
            stage.learned.observe("tester", model, 0, Usage(10, output_tokens), truncated=False)
    shared = stage.model.deployments
    mixed = (*Model("big", shared).deployments, *Model("small", shared).deployments)
    context = stage.context()
    context.request = stage.request(1_000, stream=True)
    permit = await stage.admission.admit(context, Client(), Turn(1, mixed, patient=True))
    assert permit is not None
    assert (permit.deployment.model, permit.offer.bid.origin.model) == ("small", "small")
    assert permit.offer.bid.calibrated.money < 900 * TOKEN_NANO
    assert [state.key for state in stage.store.book.counters(None, 0) if state.reserved] == ["b|small|small|total"]


async def test_nobody_waits_for_one_candidate_while_another_is_free() -> None:
    """Somebody waits for the first provider's money, with a model that only that one has; this one has another."""
    stage, _ = await full(
        budget("one", 1_000 + INPUT_TOKENS, Scope("provider", "one")), deployments=(deployment("one"),)
    )
    waiting = asyncio.create_task(admit(stage, stage.request(900)))
    await turns()
    both = stage.context()
    both.request = stage.request(1)
    turn = Turn(1, (deployment("one"), deployment("two")))
    permit = await asyncio.wait_for(stage.admission.admit(both, Client(), turn), 1)
    assert permit is not None
    assert permit.deployment.provider == "two", "and it does not overtake the one that waits"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_who_comes_later_stands_behind() -> None:
    stage, first = await full(budget("all", 1_000 + 2 * INPUT_TOKENS))
    stage.store.asked.clear()
    large = asyncio.create_task(admit(stage, stage.request(900)))
    await turns()
    small = asyncio.create_task(admit(stage, stage.request(1)))
    await turns()
    assert not small.done(), "though it would fit"
    first.release()
    await asyncio.gather(large, small)
    wanted = [ticket.bids[0].strict.money for ticket in stage.store.asked]
    assert wanted == sorted(wanted, reverse=True)


async def test_who_has_spent_all_is_told_at_once_though_others_wait() -> None:
    stage, first = await full(budget("all", 1_000 + INPUT_TOKENS), budget("each", 10, Scope("user", "poor")))
    waiting = asyncio.create_task(admit(stage, stage.request(600)))
    await turns()
    for request, labels in ((stage.request(1), {"user": "poor"}), (stage.request(1_000, n=2), {})):
        with pytest.raises(BudgetExceeded):
            await asyncio.wait_for(admit(stage, request, **labels), 1)
    first.release()
    (await waiting).release()
    assert stage.store.reserved == 0


# --- what a permit says ---


async def test_an_agents_longest_answer_holds_without_any_budget() -> None:
    stage = Stage(max_output_tokens=50, limits=(RateLimit("fair", Scope("global"), requests=Quota(10, 60.0, 10)),))
    permit = await admit(stage, stage.request(None, web_search_options={"size": "large"}))
    assert permit.offer.bound is None
    assert permit.max_output_tokens == 50


async def test_a_run_that_is_a_mere_label_is_on_the_charge_all_the_same() -> None:
    stage = Stage(budget("all", 5_000))
    permit = await admit(stage, run="nightly")
    assert permit.offer.bid.origin.run_path == "tester/nightly"


async def test_shadow_rates_are_noticed_and_no_clients_business() -> None:
    requests, tokens = Quota(1, 60.0, 1), Quota(10**6, 60.0, 10**6)
    stage = Stage(limits=(RateLimit("try", Scope("global"), requests=requests, tokens=tokens, enforce=False),))
    assert (await admit(stage)).headers == ()
    assert stage.noticed() == []
    assert (await admit(stage)).headers == ()
    (notice,) = [event for event in stage.noticed() if isinstance(event, LimitNoticed)]
    assert (notice.kind, notice.rule, notice.agent, notice.reason) == ("shadow", "try", "tester", "shadow")


@pytest.mark.parametrize(("action", "told"), [("observe", False), ("warn", True)])
async def test_a_run_that_only_should_spend_less_quickly_is_told(action: Action, told: bool) -> None:
    stage = Stage(velocity=VelocityRule(NanoUsd(1), action=action))
    permit = await admit(stage, run="r1")
    assert ((b"x-farebox-velocity", b"exceeded") in permit.headers) is told
    (notice,) = [event for event in stage.noticed() if isinstance(event, LimitNoticed)]
    assert (notice.kind, notice.rule) == ("shadow", "tester")


async def test_a_shadow_budget_admits_and_is_noticed() -> None:
    stage = Stage(budget("try", 10, enforce=False))
    permit = await admit(stage)
    assert permit.granted.over == ("b|try|tester|total",)
    (notice,) = [event for event in stage.noticed() if isinstance(event, LimitNoticed)]
    assert (notice.kind, notice.rule, notice.agent) == ("shadow", "try", "tester")


async def test_another_velocity_in_the_configuration_holds_for_runs_under_way() -> None:
    stage = Stage(velocity=VelocityRule(NanoUsd(10**9)))
    await admit(stage, run="r1")
    slower = replace(stage.agent, velocity=VelocityRule(NanoUsd(1)))
    stage.snapshot = replace(stage.snapshot, agents={slower.id: slower}, limits_version=2)
    with pytest.raises(RunLimitExceeded):
        await admit(stage, run="r1")


# --- refusals ---


async def test_a_refusal_is_noticed_with_its_rule() -> None:
    stage = Stage(budget("all", 10))
    with pytest.raises(BudgetExceeded):
        await admit(stage)
    (notice,) = [event for event in stage.noticed() if isinstance(event, LimitNoticed)]
    assert (notice.kind, notice.rule, notice.reason) == ("refused", "all", "budget_exceeded")


@pytest.mark.parametrize("settings", [QueueSettings(wait_s=0), QueueSettings(max_waiting=0)])
async def test_without_a_queue_it_is_refused_at_once(settings: QueueSettings) -> None:
    stage, first = await full(queue=settings)
    with pytest.raises(BudgetReserved):
        await admit(stage)
    first.release()
    assert stage.store.reserved == 0


async def test_a_missing_label_is_named_with_its_header() -> None:
    stage = Stage(budget("each", 5_000, Scope("user", "*")))
    with pytest.raises(MissingField, match="x-farebox-user"):
        await admit(stage)
    assert await admit(stage, user="ann")


async def test_what_nothing_bounds_is_refused_only_if_no_candidate_bounds_it() -> None:
    endless = deployment("one", context_tokens=None, max_output_tokens=None)
    stage = Stage(budget("all", 5_000), deployments=(endless,))
    with pytest.raises(CostUnbounded):
        await admit(stage, stage.request(None))
    stage = Stage(budget("all", 5_000), deployments=(endless, deployment("two")))
    assert (await admit(stage, stage.request(None))).deployment.provider == "two"


# --- learning ---


async def test_a_metered_offer_reserves_what_was_learned() -> None:
    stage = Stage(budget("all", 50_000), deployments=(deployment("one", **METERED),), reserve="calibrated")
    for _ in range(50):
        stage.learned.observe("tester", "gpt", 0, Usage(10, 20), truncated=False)
    permit = await admit(stage, stage.request(1_000, stream=True))
    assert permit.offer.metered
    assert permit.granted.calibrated.money < permit.granted.strict.money
    assert permit.reserved == permit.granted.calibrated.money
    permit.release()
    assert stage.store.reserved == 0


# --- metered streams near the end of the money ---


async def nearly_spent(left_tokens: int) -> Stage:
    """Answers are expected to have some 400 tokens; what is left pays for `left_tokens`, input included."""
    deployments = (deployment("one", **METERED),)
    queue = QueueSettings(wait_s=0.05)
    stage = Stage(
        budget("all", 10_000), deployments=deployments, queue=queue, reserve="calibrated", clamp_min_output_tokens=16
    )
    for _ in range(50):
        stage.learned.observe("tester", "gpt", 100, Usage(10, 400), truncated=False)
    first = await admit(stage, stage.request(1_000, stream=True))
    stage.store.settle(first.id, Amounts((10_000 - left_tokens) * TOKEN_NANO, 1))
    return stage


async def test_the_last_of_the_money_is_for_an_answer_that_the_provider_bounds() -> None:
    """No margin is needed, and none is left over: the meter has nothing to end."""
    stage = await nearly_spent(140)
    permit = await admit(stage, stage.request(1_000, stream=True))
    assert permit.reserved == 140 * TOKEN_NANO
    assert permit.clamped
    assert permit.max_output_tokens == 140 - permit.offer.expected_input.money // TOKEN_NANO
    assert (b"x-farebox-max-tokens", b"%d" % permit.max_output_tokens) in permit.headers
    meter = permit.offer.meter(permit.reserved, permit.max_output_tokens)
    assert meter is not None
    assert meter.count(permit.max_output_tokens) == GO_ON
    assert meter.spent() <= permit.reserved


async def test_with_others_under_way_a_part_is_begun_that_may_grow() -> None:
    stage = await nearly_spent(1_000)
    other = await admit(stage, stage.request(1_000, stream=True))
    stage.store.book.adjust(other.offer.bid.claims[0].key, 200 * TOKEN_NANO, "1", stage.store.now_s())
    permit = await admit(stage, stage.request(1_000, stream=True))
    assert permit.granted.calibrated.money < permit.offer.bid.calibrated.money
    assert not permit.clamped
    assert permit.max_output_tokens is None


async def test_less_than_is_useful_is_refused() -> None:
    stage = await nearly_spent(16)
    with pytest.raises(BudgetExceeded):
        await admit(stage, stage.request(1_000, stream=True))


async def test_new_requests_wait_while_a_stream_under_way_waits_for_more() -> None:
    stage = await nearly_spent(1_000)
    first = await admit(stage, stage.request(1_000, stream=True))
    assert await first.extend(Amounts(1_000 * TOKEN_NANO, 1_000)) == "no_room"
    waiting = asyncio.create_task(admit(stage, stage.request(20)))
    await turns()
    assert stage.admission.queue.waiting == 1
    first.release()
    (await waiting).release()
