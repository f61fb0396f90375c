"""Streams leave as they came, and end as they should."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamFailure
from gateway.exchange.failures import AttemptFailed
from gateway.exchange.streamed import relay_stream
from gateway.upstream.transport import ConnectionBroken
from tests.gateway.exchange.scene import DONE, ERROR, STOP, USAGE, Provider, begin, chunk

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


async def test_an_event_too_large_breaks_it() -> None:
    scene = await begin(Provider(chunk(), b"data: " + b"x" * 8_388_609))
    with pytest.raises(ConnectionBroken, match="larger than 8388608 bytes"):
        await relay_stream(scene.delivery, scene.provider)
    assert scene.provider.aborted
