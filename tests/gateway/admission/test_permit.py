"""What a permit makes of an attempt: more reserved, its charge posted, its answer remembered."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admission.permit import Permit
from gateway.ledger.budgets import Quota, RateLimit
from gateway.ledger.operations import Amounts
from gateway.ledger.scopes import Scope
from routing.catalog import Deployment
from routing.money import NanoUsd, Usage
from tests.gateway.admission.world import METERED, NOW_S, TOKEN_NANO, Client, Stage, budget, deployment
from tests.gateway.telemetry.samples import charged


async def begin(stage: Stage, output_tokens: int = 900, **fields: Any) -> Permit:
    context = stage.context()
    context.request = stage.request(output_tokens, stream=True, **fields)
    permit = await stage.admission.admit(context, Client(), stage.turn())
    assert permit is not None
    return permit


def stage(tokens: int = 50_000, at: Deployment | None = None) -> Stage:
    return Stage(budget("all", tokens), deployments=(at or deployment("one", **METERED),), reserve="calibrated")


async def test_more_is_reserved_on_top() -> None:
    here = stage()
    permit = await begin(here)
    before = permit.reserved
    assert here.store.reserved == before
    assert await permit.extend(Amounts(5 * TOKEN_NANO, 5)) == "extended"
    assert permit.reserved == before + 5 * TOKEN_NANO == here.store.reserved


async def test_where_there_is_no_room_nothing_more_is() -> None:
    here = stage()
    permit = await begin(here)
    before = permit.reserved
    assert await permit.extend(Amounts(60_000 * TOKEN_NANO, 0)) == "no_room"
    assert permit.reserved == before == here.store.reserved


async def test_its_charge_counts_money_and_the_tokens_of_both_directions() -> None:
    here = stage()
    permit = await begin(here)
    permit.settle(charged(charge_id=permit.id, usage=Usage(7, 3), cost_nano_usd=NanoUsd(12), resolution="settled"))
    (counter,) = here.store.book.counters(None, NOW_S)
    assert (counter.posted, counter.reserved) == (12, 0)


async def test_tokens_are_posted_as_they_were_used() -> None:
    limit = RateLimit("fair", Scope("global"), tokens=Quota(1_000, 60.0, 1_000))
    here = Stage(budget("all", 50_000), limits=(limit,))
    permit = await begin(here, 100)
    permit.settle(charged(charge_id=permit.id, usage=Usage(7, 3), cost_nano_usd=NanoUsd(12), resolution="settled"))
    (rate,) = (await begin(here, 100)).granted.rates
    assert rate.remaining == 1_000 - (7 + 3) - here.store.asked[-1].bids[0].rate_tokens


@pytest.mark.parametrize("resolution", ["settled", "released"])
async def test_what_was_not_used_goes_back(resolution: str) -> None:
    here = stage()
    permit = await begin(here)
    permit.settle(charged(charge_id=permit.id, cost_nano_usd=NanoUsd(12), resolution=resolution))
    (counter,) = here.store.book.counters(None, NOW_S)
    assert (counter.posted, counter.reserved) == (12 if resolution == "settled" else 0, 0)


def taught(here: Stage) -> tuple[int, float]:
    return here.learned.expect("tester", "gpt")


async def learned_of(usage: Usage, output_tokens: int = 900, *, times: int = 40, **learning: bool) -> tuple[int, float]:
    """What is expected after so many answers of this kind."""
    here = stage(10_000_000)
    for _ in range(times):
        permit = await begin(here, output_tokens)
        permit.learn(usage, **learning)
        permit.release()
    return taught(here)


async def test_whole_answers_tell_what_is_usual() -> None:
    tokens, per_byte = await learned_of(Usage(20, 100))
    assert 100 <= tokens < 120
    assert per_byte < 1


@pytest.mark.parametrize("learning", [{"cut": True}, {"shortened": True}])
async def test_those_that_were_cut_would_have_become_longer(learning: dict[str, bool]) -> None:
    tokens, per_byte = await learned_of(Usage(20, 100), **learning)
    assert tokens > 120
    assert (per_byte == 1.0) == ("shortened" in learning), "of its input nothing was told"


async def test_those_that_reached_their_bound_were_cut() -> None:
    assert (await learned_of(Usage(20, 100), 100))[0] > 120
    assert (await learned_of(Usage(20, 100), 101))[0] < 120


async def test_what_is_not_text_tells_nothing_of_texts() -> None:
    here = stage(100_000_000)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400}}
    for _ in range(40):
        permit = await begin(here, messages=[{"role": "user", "content": [image]}])
        permit.learn(Usage(20, 100))
        permit.release()
    tokens, per_byte = taught(here)
    assert tokens < 120
    assert per_byte == 1.0
