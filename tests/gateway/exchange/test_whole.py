"""Answers in one piece: passed on as they came with their cost, or an attempt that failed."""

from __future__ import annotations

import json

import pytest

from gateway.errors import UpstreamCredentials, UpstreamFailure
from gateway.exchange.failures import AttemptFailed, Refusal, Unverified
from gateway.exchange.whole import relay_refusal, relay_whole
from gateway.upstream.transport import ConnectionBroken
from routing.rules import Verify
from tests.gateway.exchange.scene import JSON, Provider, answer, begin


def provider(body: bytes, status: int = 200) -> Provider:
    return Provider(body[:10], body[10:], status=status, headers=[*JSON, (b"retry-after", b"7")])


async def failure(body: bytes, status: int) -> AttemptFailed:
    scene = await begin(provider(body, status), stream=False)
    with pytest.raises(AttemptFailed) as failed:
        await relay_refusal(scene.delivery, scene.provider)
    assert not scene.client.started
    assert scene.attempt.billed == (status == 504)
    assert scene.charge.outcome == ("timeout" if status == 504 else "error")
    return failed.value


async def test_it_comes_as_it_is_with_its_cost() -> None:
    body = answer(unknown={"a": [1, 2]})
    scene = await begin(provider(body), stream=False)
    await relay_whole(scene.delivery, scene.provider)
    assert scene.client.got == [body]
    assert scene.client.headers[b"x-farebox-cost-usd"] == b"0.00001"
    assert scene.client.headers[b"x-litellm-response-cost"] == b"0.00001"
    assert (scene.charge.outcome, scene.charge.estimated, scene.charge.cost_nano_usd) == ("ok", False, 10_000)
    assert (scene.context.status, scene.context.outcome, scene.context.error_code) == (200, "ok", "")
    assert scene.context.first_byte_s == scene.attempt.first_byte_s


async def test_one_without_usage_is_estimated() -> None:
    scene = await begin(provider(answer(usage=None)), stream=False)
    await relay_whole(scene.delivery, scene.provider)
    assert scene.charge.estimated
    assert scene.charge.usage.output_tokens > 0


@pytest.mark.parametrize("body", [b"no json at all", b'{"neither": "choices", "nor": "data"}'])
async def test_one_that_is_none_is_replaced(body: bytes) -> None:
    scene = await begin(provider(body), stream=False)
    with pytest.raises(AttemptFailed) as failed:
        await relay_whole(scene.delivery, scene.provider)
    assert failed.value.failure.kind == "malformed"
    assert isinstance(failed.value.answer, UpstreamFailure)
    assert (scene.charge.outcome, scene.charge.estimated) == ("malformed", True)


async def test_an_error_in_its_guise_is_one() -> None:
    body = json.dumps({"error": {"message": "overloaded"}}).encode()
    scene = await begin(provider(body), stream=False)
    with pytest.raises(AttemptFailed) as failed:
        await relay_whole(scene.delivery, scene.provider)
    assert failed.value.failure.kind == "server_error"
    assert (scene.charge.outcome, scene.charge.cost_nano_usd, scene.charge.estimated) == ("error", 0, False)


async def test_it_is_looked_at_before_it_is_sent() -> None:
    scene = await begin(provider(answer("")), stream=False, verify=Verify(("empty",)))
    with pytest.raises(AttemptFailed) as failed:
        await relay_whole(scene.delivery, scene.provider)
    assert isinstance(failed.value.answer, Unverified)
    assert not scene.client.started


async def test_it_is_the_answer_from_here_on() -> None:
    heard: list[str] = []
    scene = await begin(provider(answer()), stream=False)
    scene.delivery.on_begun = lambda: heard.append(f"begun, settled: {scene.attempt.settled}")
    await relay_whole(scene.delivery, scene.provider)
    assert heard == ["begun, settled: False"]


async def test_one_that_breaks_is_not_settled_here() -> None:
    scene = await begin(Provider(b"{", ConnectionBroken("lost", sent=True), headers=JSON), stream=False)
    with pytest.raises(ConnectionBroken):
        await relay_whole(scene.delivery, scene.provider)
    assert not scene.attempt.settled


async def test_a_refusal_of_the_request_goes_on_as_it_is_without_our_key() -> None:
    failed = await failure(b'{"error":{"message":"no such field, our-secret-key"}}', 400)
    assert failed.failure.kind == "refused"
    assert isinstance(failed.answer, Refusal)
    assert (failed.answer.status, failed.answer.body) == (400, b'{"error":{"message":"no such field, [masked]"}}')
    assert dict(failed.answer.headers)[b"x-farebox-upstream-status"] == b"400"


async def test_a_refusal_of_ours_is_told_as_ours() -> None:
    failed = await failure(b'{"error":{"message":"bad key our-secret-key"}}', 401)
    assert failed.failure.kind == "credentials"
    assert isinstance(failed.answer, UpstreamCredentials)


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_failure_of_the_providers_is_told_as_its(status: int) -> None:
    failed = await failure(b"oh dear", status)
    assert (failed.failure.kind, failed.failure.retry_after_s) == ("server_error", 7.0)
    assert isinstance(failed.answer, UpstreamFailure)
