"""Streams leave as they came, and end as they should."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.errors import UpstreamFailure
from gateway.exchange.failures import AttemptFailed
from gateway.exchange.metered_stream import relay_metered
from gateway.exchange.outbox import Outbox
from gateway.exchange.streamed import LATE_USAGE_S, end_stream, relay_stream
from gateway.upstream.transport import ConnectionBroken
from routing.rules import Verify
from tests.gateway.exchange.scene import DONE, ERROR, SILENCE, STOP, USAGE, Provider, Scene, Steady, begin, chunk
from tests.simulation.loop import run_virtual

BROKEN = ConnectionBroken("the connection was lost", sent=True)


async def test_what_came_before_the_first_content_leaves_with_it() -> None:
    role = chunk("", role="assistant")
    first_of_all: list[bool] = []
    scene = await begin(
        Provider(b": hello\n\n", role, lambda: first_of_all.append(scene.client.started), chunk(), STOP)
    )
    await relay_stream(scene.delivery, scene.provider)
    assert first_of_all == [False]
    assert scene.client.got == [b": hello\n\n" + role + chunk(), STOP]
    assert (scene.client.status, scene.client.headers[b"cache-control"]) == (200, b"no-cache")
    assert scene.client.finished


async def test_its_usage_is_its_charge_and_is_shown_to_who_asked() -> None:
    for asked in (False, True):
        scene = await begin(Provider(chunk(), STOP, USAGE, DONE), stream_options={"include_usage": asked})
        await relay_stream(scene.delivery, scene.provider)
        assert (scene.charge.outcome, scene.charge.estimated, scene.charge.usage.output_tokens) == ("ok", False, 3)
        assert scene.context.outcome == "ok"
        assert (b'"cost":' in scene.client.body) == asked


async def test_a_last_event_without_its_blank_line_is_passed_on() -> None:
    scene = await begin(Provider(chunk(), STOP, b"data: [DONE]"))
    await relay_stream(scene.delivery, scene.provider)
    assert scene.client.body == chunk() + STOP + b"data: [DONE]"
    assert scene.settlement.observer.done


async def test_one_that_breaks_after_its_proper_end_is_whole() -> None:
    scene = await begin(Provider(chunk(), STOP, BROKEN))
    await relay_stream(scene.delivery, scene.provider)
    assert scene.charge.outcome == "ok"
    assert scene.client.finished


async def test_one_that_breaks_before_is_broken() -> None:
    scene = await begin(Provider(chunk(), BROKEN))
    with pytest.raises(ConnectionBroken):
        await relay_stream(scene.delivery, scene.provider)
    assert not scene.attempt.settled, "the relay does"
    assert not scene.client.finished


async def test_one_that_ends_too_early_is_told_and_charged() -> None:
    scene = await begin(Provider(chunk()))
    with pytest.raises(UpstreamFailure, match="before its answer was whole"):
        await relay_stream(scene.delivery, scene.provider)
    assert (scene.charge.outcome, scene.context.error_code) == ("cut", "upstream_error")
    assert scene.attempt.failure is not None
    assert scene.attempt.failure.kind == "cut"
    assert not scene.client.finished


async def test_one_that_ends_before_it_began_can_be_replaced() -> None:
    scene = await begin(Provider(chunk("")))
    with pytest.raises(AttemptFailed) as failed:
        await relay_stream(scene.delivery, scene.provider)
    assert failed.value.failure.kind == "cut"
    assert not scene.client.started
    assert scene.charge.outcome == "cut"


async def test_an_error_in_mid_stream_is_seen_by_the_client_and_ends_the_stream() -> None:
    scene = await begin(Provider(chunk(), ERROR))
    await relay_stream(scene.delivery, scene.provider)
    assert scene.client.body == chunk() + ERROR
    assert (scene.context.outcome, scene.charge.outcome) == ("cut", "cut")
    assert scene.client.finished


@pytest.mark.parametrize("metered", [False, True])
def test_one_that_is_done_is_read_on_for_late_usage_but_not_for_ever(*, metered: bool) -> None:
    async def told() -> tuple[float, Scene]:
        scene = await begin(Provider(chunk(), STOP, DONE, b": late", b" word\n\n", SILENCE), metered=metered)
        began_s = time.monotonic()
        await (relay_metered if metered else relay_stream)(scene.delivery, scene.provider)
        return time.monotonic() - began_s, scene

    took_s, scene = run_virtual(told())
    assert took_s == LATE_USAGE_S == 2.0
    assert scene.client.body == chunk() + STOP + DONE + b": late word\n\n"
    assert scene.charge.outcome == "ok"


@pytest.mark.parametrize("metered", [False, True])
def test_one_that_ends_in_time_is_not_given_up_later(*, metered: bool) -> None:
    async def aborted() -> bool:
        scene = await begin(Steady(chunk(), STOP, DONE, USAGE), metered=metered)
        await (relay_metered if metered else relay_stream)(scene.delivery, scene.provider)
        await asyncio.sleep(2 * LATE_USAGE_S)
        return scene.provider.aborted

    assert not run_virtual(aborted())


async def test_tools_that_it_calls_are_noted_for_the_session() -> None:
    call = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"look"}}]}}]}\n\n'
    scene = await begin(Provider(call, STOP), verify=Verify(("empty",)))
    await relay_stream(scene.delivery, scene.provider)
    assert scene.decided.called_tools


async def test_a_slow_client_has_been_sent_everything_before_it_ends() -> None:
    scene = await begin(Provider())
    scene.settlement.observer.observe(STOP)
    await scene.delivery.start_stream(scene.provider)
    outbox = Outbox(scene.client)
    scene.client.blocked = True
    await outbox.put(chunk())
    assert scene.client.got == []
    await end_stream(scene.delivery, STOP, outbox)
    assert scene.client.got == [chunk(), STOP]


async def test_an_event_too_large_breaks_it() -> None:
    scene = await begin(Provider(chunk(), b"data: " + b"x" * 8_388_609))
    with pytest.raises(ConnectionBroken, match="larger than 8388608 bytes") as broken:
        await relay_stream(scene.delivery, scene.provider)
    assert scene.provider.aborted
    assert broken.value.sent
