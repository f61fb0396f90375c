"""The head of an answer, and who may give it."""

from __future__ import annotations

import pytest

from gateway.exchange.failures import Superseded
from routing.money import NanoUsd
from routing.rules import Verify
from tests.gateway.exchange.scene import JSON, Provider, Scene, begin

HEADERS = [(b"content-type", b"text/event-stream"), (b"openai-processing-ms", b"12")]


async def start(scene: Scene) -> None:
    await scene.delivery.start_stream(scene.provider)


async def test_a_stream_has_its_head() -> None:
    scene = await begin(Provider(headers=HEADERS, status=201))
    await start(scene)
    headers = scene.client.headers
    assert (scene.client.status, scene.context.status) == (201, 201)
    assert headers[b"content-type"] == b"text/event-stream"
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-cache", b"no")
    assert headers[b"x-request-id"] == scene.context.request_id.encode()
    assert headers[b"x-farebox-deployment"] == b"one/gpt"
    assert scene.context.first_byte_s is not None


async def test_a_whole_answer_has_its_cost() -> None:
    scene = await begin(Provider(headers=JSON, status=201), stream=False)
    scene.context.recorded_answer = []
    scene.context.error_code = "internal_error"
    await scene.delivery.whole(scene.provider, b"{}", NanoUsd(1_500_000_000))
    assert scene.client.headers[b"x-farebox-cost-usd"] == b"1.50"
    assert scene.client.headers[b"x-litellm-response-cost"] == b"1.50"
    assert scene.client.headers[b"content-type"] == b"application/json"
    assert scene.context.recorded_answer == [b"{}"]
    assert (scene.context.status, scene.context.error_code) == (201, "")


async def test_who_is_claimed_by_nobody_else_answers() -> None:
    heard: list[str] = []
    scene = await begin(Provider())
    scene.delivery.claim = lambda: heard.append("claimed")
    scene.delivery.on_begun = lambda: heard.append("begun")
    await start(scene)
    assert heard == ["claimed", "begun"]
    assert scene.context.deployment is scene.attempt.deployment


async def test_who_was_too_slow_does_not() -> None:
    def claim() -> None:
        raise Superseded

    heard: list[str] = []
    scene = await begin(Provider())
    scene.delivery.claim, scene.delivery.on_begun = claim, lambda: heard.append("begun")
    with pytest.raises(Superseded):
        await start(scene)
    assert not scene.client.started
    assert heard == []
    assert scene.context.deployment is None


@pytest.mark.parametrize(
    ("stream", "buffer_streams", "verified"),
    [(True, True, True), (True, False, False), (False, False, True), (False, True, True)],
)
async def test_streams_are_verified_only_where_they_are_held_back(
    *, stream: bool, buffer_streams: bool, verified: bool
) -> None:
    verify = Verify(("empty",), buffer_streams=buffer_streams)
    scene = await begin(Provider(), stream=stream, verify=verify)
    assert scene.delivery.verify == (verify if verified else None)
