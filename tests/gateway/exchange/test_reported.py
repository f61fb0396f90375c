"""What a provider says that a call costs is charged where it bills so, and what the list says is kept beside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.snapshot import Endpoint
from gateway.exchange.streamed import relay_stream
from gateway.exchange.whole import relay_whole
from gateway.upstream.launch import target_of
from tests.gateway.exchange.scene import DONE, JSON, STOP, Provider, Scene, answer, begin, chunk

LISTED = 10_000


def used(cost: str, **more: Any) -> str:
    """Usage as the provider writes it, its cost digit by digit."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "cost": "COST", **more}
    return json.dumps(usage).replace('"COST"', cost)


async def served(usage: str, *, stream: bool, dialect: str = "openrouter") -> Scene:
    if stream:
        event = b'data: {"choices":[],"usage":' + usage.encode() + b"}\n\n"
        provider = Provider(chunk(), STOP, event, DONE)
        scene = await begin(provider, stream_options={"include_usage": True})
    else:
        body = answer(usage="USAGE").replace(b'"USAGE"', usage.encode())
        scene = await begin(Provider(body, headers=JSON), stream=False)
    scene.attempt.target = target_of(
        Endpoint("one", "http://localhost", (), dialect=dialect), None, scene.delivery.request
    )
    await (relay_stream if stream else relay_whole)(scene.delivery, scene.provider)
    return scene


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("cost", "nano_usd"), [("0.0123456789", 12_345_679), ("0", 0), ("1.5e-6", 1_500), ("2", 2 * 10**9)]
)
async def test_the_providers_cost_is_the_charge(stream: bool, cost: str, nano_usd: int) -> None:
    scene = await served(used(cost), stream=stream)
    assert (scene.charge.cost_nano_usd, scene.charge.listed_nano_usd) == (nano_usd, LISTED)
    assert (scene.context.cost, scene.charge.resolution) == (nano_usd, "settled")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "usage", [used("null"), used('"0.5"'), used("-1"), used("{}"), used("1e99"), used("1", is_byok=True)]
)
async def test_what_is_no_cost_of_the_call_is_not_charged(stream: bool, usage: str) -> None:
    scene = await served(usage, stream=stream)
    assert (scene.charge.cost_nano_usd, scene.charge.listed_nano_usd) == (LISTED, None)


@pytest.mark.parametrize("stream", [False, True])
async def test_others_may_mean_anything_by_it(stream: bool) -> None:
    scene = await served(used("0.5"), stream=stream, dialect="openai")
    assert (scene.charge.cost_nano_usd, scene.charge.listed_nano_usd) == (LISTED, None)


async def test_the_client_sees_what_is_charged() -> None:
    scene = await served(used("0.25"), stream=True)
    assert b'"cost":0.25' in scene.client.body
