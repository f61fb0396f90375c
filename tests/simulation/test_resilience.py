"""The invariants of attempts and breakers find what they are for: each is shown a history that breaks it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gateway.telemetry.events import BreakerChanged
from routing.attempts import AttemptRules
from routing.breaker import BreakerSettings
from routing.catalog import Deployment
from routing.retry_budget import RetryBudgetSettings
from tests.simulation.client import ClientError, SimClient
from tests.simulation.loop import run_virtual
from tests.simulation.provider import SimCall
from tests.simulation.resilience import (
    Began,
    Entry,
    Saw,
    Turned,
    attempts_of_a_request,
    broken_deployments_get_probes_only,
    nothing_begins_after_the_first_byte,
    retries_stay_within_their_budget,
)

ONE = Deployment("p0/gpt", "p0", "gpt", None)
TWO = Deployment("p1/gpt", "p1", "gpt", None)


@dataclass
class Call:
    """As much of a `SimCall` as the invariants look at."""

    began_s: float
    ended_s: float | None = None
    deployment: Deployment = ONE
    request_id: str = "req"
    number: int = 0
    answered_s: float | None = None


def call(began_s: float, ended_s: float | None = None, deployment: Deployment = ONE) -> SimCall:
    return Call(began_s, ended_s, deployment)  # type: ignore[return-value]  # as good as one here


def turned(state: str) -> Turned:
    return Turned(BreakerChanged(0.0, ONE.id, "", state, ""))


def test_a_call_through_an_open_breaker_is_found() -> None:
    fine: list[Entry] = [Began(call(1)), turned("open"), turned("half_open"), Began(call(2, 3)), turned("closed")]
    assert list(broken_deployments_get_probes_only(fine, BreakerSettings())) == []
    assert list(broken_deployments_get_probes_only([turned("open"), Began(call(1))], BreakerSettings()))


@pytest.mark.parametrize(("probes", "wrong"), [(1, 1), (2, 0)])
def test_too_many_probes_at_once_are_found(probes: int, wrong: int) -> None:
    log: list[Entry] = [turned("half_open"), Began(call(1, 5)), Began(call(2, 5)), Began(call(5, 6))]
    assert len(list(broken_deployments_get_probes_only(log, BreakerSettings(probes=probes)))) == wrong


def test_what_begins_or_goes_on_after_the_first_byte_is_found() -> None:
    first, beside = call(1, 9), call(2, 9)
    assert list(nothing_begins_after_the_first_byte([Began(first), Saw("req", 3), Began(beside)]))
    assert list(nothing_begins_after_the_first_byte([Began(first), Began(beside), Saw("req", 3)]))
    given_up = call(2, 3)
    assert not list(nothing_begins_after_the_first_byte([Began(first), Began(given_up), Saw("req", 3)]))


def test_attempts_that_no_rule_allows_are_found() -> None:
    rules = AttemptRules(retries=1, max_attempts=3)

    def wrong(*calls: SimCall, hedges: bool = False) -> list[str]:
        return list(attempts_of_a_request(list(calls), rules, hedges=hedges))

    assert not wrong(call(1, 2), call(2, 3, TWO), call(4, 5))
    assert wrong(call(1, 2), call(2, 3), call(3, 4))  # two retries
    assert wrong(call(1, 2), call(2, 3, TWO), call(3, 4), call(4, 5, TWO))  # four calls
    assert wrong(call(1, 5), call(2, 3, TWO))  # beside another
    assert not wrong(call(1, 5), call(2, 3, TWO), hedges=True)


def test_retries_beyond_their_budget_are_found() -> None:
    rules = RetryBudgetSettings(ratio=0.5, floor=1, window_s=10.0)
    tried_again = [call(1, 2), call(3, 4)]
    assert not list(retries_stay_within_their_budget([tried_again, [call(2)]], rules))
    assert list(retries_stay_within_their_budget([tried_again, [call(1), call(2), call(3), call(4)]], rules))


def test_an_answer_made_of_two_calls_is_found() -> None:
    async def mixed(*chunks: bytes) -> None:
        client = SimClient(1, [], b"", stream=True, slow_s=0)
        await client.start(200, [(b"x-request-id", b"req")])
        for chunk in chunks:
            await client.send(chunk)
        await asyncio.sleep(1)
        client.check()

    run_virtual(mixed(b"c1.0 ", b"c1.1 "))
    with pytest.raises(ClientError, match="several calls"):
        run_virtual(mixed(b"c1.0 ", b"c2.0 "))
    with pytest.raises(ClientError, match="out of order"):
        run_virtual(mixed(b"c1.0 ", b"c1.2 "))
