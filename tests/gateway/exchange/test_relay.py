"""One attempt from its call to its end: which way its answer takes, and who hears how it went."""

from __future__ import annotations

import json

import pytest

from gateway.errors import UpstreamCredentials, UpstreamFailure, UpstreamTimeout
from gateway.exchange import CLIENT_CLOSED_REQUEST
from gateway.exchange.failures import AttemptFailed, Superseded
from gateway.exchange.outbox import MAX_BYTES
from gateway.exchange.relay import Relay
from gateway.upstream.transport import ConnectionBroken, TimedOut, TransportError, Unreachable
from tests.gateway.exchange.scene import DONE, JSON, STOP, USAGE, Piece, Provider, Scene, answer, begin, chunk

ACCOUNT = b'data: {"error":{"message":"billing_not_active","code":"insufficient_quota"}}\n\n'
BROKEN = ConnectionBroken("the connection was lost", sent=True)


class Ended(list[Relay]):
    """Relays that have run to their end."""


async def relay_of(provider: Provider, *, stream: bool = True, metered: bool = False) -> tuple[Relay, Scene]:
    scene = await begin(provider, stream=stream, metered=metered)
    return Relay(scene.context, scene.client, scene.settlement, Ended().append), scene


async def failure(*pieces: Piece, status: int = 200) -> tuple[AttemptFailed, Scene]:
    relay, scene = await relay_of(Provider(*pieces, status=status))
    with pytest.raises(AttemptFailed) as failed:
        await relay.run()
    assert scene.attempt.failure is not None
    assert scene.attempt.failure.kind == failed.value.failure.kind
    assert scene.attempt.ended_s is not None
    return failed.value, scene


@pytest.mark.parametrize("metered", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_every_kind_of_answer_finds_its_way(*, stream: bool, metered: bool) -> None:
    """A client that does not stream gets a whole answer, though metered ones are streamed to us."""
    streamed = stream or metered
    provider = Provider(chunk(), STOP, USAGE, DONE) if streamed else Provider(answer(), headers=JSON)
    relay, scene = await relay_of(provider, stream=stream, metered=metered)
    await relay.run()
    assert scene.client.finished
    assert (scene.attempt.status, scene.charge.outcome, scene.attempt.failure) == (200, "ok", None)
    assert (b"data: " in scene.client.body) == stream
    if not stream:
        assert json.loads(scene.client.body)["choices"][0]["message"]["content"].startswith(("hello", "word"))


async def test_a_whole_answer_to_a_client_that_streams_stays_one() -> None:
    relay, scene = await relay_of(Provider(answer(), headers=JSON))
    await relay.run()
    assert scene.client.got == [answer()]
    assert b"x-farebox-cost-usd" in scene.client.headers


@pytest.mark.parametrize("status", [199, 300, 400, 500])
async def test_other_statuses_are_refusals(status: int) -> None:
    failed, scene = await failure(b"{}", status=status)
    assert failed.failure.billable is False
    assert scene.charge.outcome == "error"


@pytest.mark.parametrize("status", [200, 299])
async def test_every_success_is_one(status: int) -> None:
    relay, scene = await relay_of(Provider(chunk(), STOP, status=status))
    await relay.run()
    assert (scene.client.status, scene.charge.outcome) == (status, "ok")


@pytest.mark.parametrize(
    ("error", "outcome", "kind"),
    [
        (BROKEN, "cut", "cut"),
        (Unreachable("refused", sent=False), "unreachable", "unreachable"),
        (TimedOut("first_byte", 600.0, sent=True), "timeout", "timeout"),
    ],
)
async def test_what_fails_before_the_first_byte_can_be_replaced(error: TransportError, outcome: str, kind: str) -> None:
    failed, scene = await failure(error)
    assert (failed.failure.kind, scene.charge.outcome) == (kind, outcome)
    assert scene.attempt.billed == error.sent
    assert failed.failure.billable == error.sent


@pytest.mark.parametrize(
    ("error", "told"), [(BROKEN, UpstreamFailure), (TimedOut("idle", 120.0, sent=True), UpstreamTimeout)]
)
async def test_what_fails_after_it_is_the_clients_error(error: TransportError, told: type[Exception]) -> None:
    relay, scene = await relay_of(Provider(chunk(), error))
    with pytest.raises(told):
        await relay.run()
    assert scene.attempt.failure is not None
    assert scene.attempt.settled


async def test_a_refusal_that_broke_off_was_not_billed() -> None:
    _, scene = await failure(b"{", BROKEN, status=400)
    assert (scene.charge.outcome, scene.attempt.billed) == ("error", False)


async def test_an_account_of_ours_is_told_as_such_before_and_after_the_first_byte() -> None:
    failed, _ = await failure(ACCOUNT)
    assert failed.failure.kind == "credentials"
    relay, scene = await relay_of(Provider(chunk(), ACCOUNT))
    with pytest.raises(UpstreamCredentials):
        await relay.run()
    assert scene.attempt.failure is not None
    assert scene.attempt.failure.kind == "credentials"


# --- clients that leave, and others that were quicker ---


async def test_a_client_that_leaves_takes_the_call_with_it() -> None:
    relay, scene = await relay_of(Provider(chunk()))
    scene.provider.pieces += [relay.leave, chunk()]
    await relay.run()
    assert scene.provider.aborted
    assert relay.interrupted
    assert (scene.charge.outcome, scene.context.outcome, scene.context.error_code) == (
        "cancelled",
        "client_gone",
        "client_gone",
    )
    assert scene.context.status == 200, "it has seen that"


async def test_one_that_leaves_before_the_first_byte_has_its_own_status() -> None:
    relay, scene = await relay_of(Provider())
    scene.provider.pieces.append(relay.leave)
    await relay.run()
    assert scene.context.status == CLIENT_CLOSED_REQUEST == 499
    assert scene.charge.outcome == "cancelled"


async def test_one_that_leaves_at_the_end_leaves_time_for_the_usage() -> None:
    relay, scene = await relay_of(Provider(chunk(), STOP))
    scene.provider.pieces += [relay.leave, USAGE, DONE]
    await relay.run()
    assert not scene.provider.aborted
    assert (scene.charge.outcome, scene.charge.estimated) == ("ok", False)


async def test_a_client_too_slow_has_left() -> None:
    large = chunk("x" * (MAX_BYTES // 2))
    provider = Provider(chunk(), lambda: setattr(scene.client, "blocked", True), large, large)
    relay, scene = await relay_of(provider, metered=True)
    await relay.run()
    assert relay.interrupted
    assert scene.provider.aborted
    assert scene.context.outcome == "client_gone"
    assert scene.charge.outcome == "cancelled"


async def test_who_was_superseded_says_nothing_of_the_request() -> None:
    relay, scene = await relay_of(Provider())
    scene.provider.pieces.append(relay.supersede)
    with pytest.raises(Superseded):
        await relay.run()
    assert relay.superseded
    assert relay.interrupted
    assert scene.provider.aborted
    assert (scene.charge.outcome, scene.context.outcome) == ("cancelled", "error")


async def test_what_was_settled_is_not_settled_again() -> None:
    relay, scene = await relay_of(Provider(chunk(), STOP))
    await relay.run()
    relay.interrupt("drained")
    assert (scene.charge.outcome, scene.context.outcome) == ("ok", "drained")


async def test_one_that_was_never_sent_costs_nothing() -> None:
    relay, scene = await relay_of(Provider())
    scene.provider.sent = False
    relay.interrupt("drained")
    assert scene.provider.aborted
    assert (scene.charge.outcome, scene.attempt.billed) == ("drained", False)
    assert scene.context.status == CLIENT_CLOSED_REQUEST


async def test_the_upstreams_time_ends_with_a_whole_answers_first_byte() -> None:
    for stream, until_s in ((False, 3.0), (True, 5.0)):
        relay, scene = await relay_of(Provider(), stream=stream)
        sent_s = scene.attempt.sent_s
        scene.attempt.first_byte_s, scene.attempt.ended_s = sent_s + 3.0, sent_s + 5.0
        relay.measure()
        assert scene.context.upstream_s == pytest.approx(until_s)
