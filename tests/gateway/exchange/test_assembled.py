"""A stream of our own wish becomes one answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UpstreamCredentials
from gateway.exchange.assembled import relay_assembled
from gateway.exchange.failures import AttemptFailed, Unverified
from routing.rules import Verify
from tests.gateway.exchange.scene import DONE, ERROR, STOP, USAGE, Piece, Provider, Scene, begin, chunk

ACCOUNT = b'data: {"error":{"message":"billing_not_active","code":"insufficient_quota"}}\n\n'


async def assembled(*pieces: Piece, enough: bool = True) -> Scene:
    scene = await begin(Provider(*pieces), stream=False, metered=True)
    if not enough:
        scene.take_the_rest()
    await relay_assembled(scene.delivery, scene.provider)
    return scene


async def failure(*pieces: Piece, verify: Verify | None = None) -> tuple[AttemptFailed, Scene]:
    scene = await begin(Provider(*pieces), stream=False, metered=True, verify=verify)
    with pytest.raises(AttemptFailed) as failed:
        await relay_assembled(scene.delivery, scene.provider)
    assert not scene.client.started
    assert scene.attempt.settled
    return failed.value, scene


def choice_of(scene: Scene) -> dict[str, Any]:
    (choice,) = json.loads(scene.client.body)["choices"]
    return dict(choice)


async def test_it_is_whole_and_json() -> None:
    scene = await assembled(chunk(role="assistant"), chunk("more"), STOP, USAGE, DONE)
    assert choice_of(scene)["message"]["content"] == "word more"
    assert scene.client.headers[b"content-type"] == b"application/json"
    assert scene.client.headers[b"x-farebox-cost-usd"] == b"0.00001"
    assert (scene.context.outcome, scene.charge.outcome, scene.charge.usage.output_tokens) == ("ok", "ok", 3)
    assert scene.context.first_byte_s is not None


async def test_its_last_event_may_lack_its_blank_line() -> None:
    scene = await assembled(chunk(), STOP.rstrip(b"\n"))
    assert choice_of(scene)["finish_reason"] == "stop"


async def test_one_whose_money_ends_is_cut_at_its_length() -> None:
    scene = await assembled(*[chunk()] * 400, STOP, enough=False)
    assert choice_of(scene)["finish_reason"] == "length"
    assert json.loads(scene.client.body)["usage"]["completion_tokens"] > 0
    assert (scene.context.outcome, scene.charge.outcome) == ("shortened", "shortened")


@pytest.mark.parametrize("enough", [False, True])
async def test_it_is_the_answer_from_its_end_on(*, enough: bool) -> None:
    heard: list[bool] = []
    scene = await begin(Provider(*[chunk()] * (1 if enough else 400), STOP), stream=False, metered=True)
    if not enough:
        scene.take_the_rest()
    scene.delivery.on_begun = lambda: heard.append(scene.attempt.settled)
    await relay_assembled(scene.delivery, scene.provider)
    assert heard == [False]


async def test_one_that_ends_too_early_can_be_replaced() -> None:
    failed, scene = await failure(chunk())
    assert (failed.failure.kind, scene.charge.outcome) == ("cut", "cut")


async def test_one_that_cannot_be_read_is_not_whole() -> None:
    failed, _ = await failure(chunk(), b"data: {no json\n\n", STOP)
    assert failed.failure.kind == "cut"


async def test_an_error_in_it_can_be_replaced() -> None:
    failed, scene = await failure(chunk(), ERROR)
    assert (failed.failure.kind, scene.charge.outcome) == ("server_error", "cut")


async def test_an_error_about_our_account_is_ours() -> None:
    failed, scene = await failure(chunk(), ACCOUNT)
    assert (failed.failure.kind, scene.charge.outcome) == ("credentials", "cut")
    assert isinstance(failed.answer, UpstreamCredentials)


async def test_one_that_will_not_do_is_kept() -> None:
    failed, scene = await failure(chunk(""), STOP, verify=Verify(("empty",)))
    assert isinstance(failed.answer, Unverified)
    assert scene.charge.outcome == "unverified"
    await failed.answer.give()
    assert choice_of(scene)["message"]["content"] == ""
