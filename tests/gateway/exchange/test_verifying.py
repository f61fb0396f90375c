"""What is turned down is settled and kept, and given after all when nothing better comes."""

from __future__ import annotations

import json

import pytest

from gateway.exchange.failures import AttemptFailed, Unverified
from gateway.exchange.verifying import note_calls, verify_assembled, verify_stream, verify_whole
from gateway.wire.answers import read_answer
from routing.rules import Answer, Verify
from tests.gateway.exchange.scene import DONE, JSON, STOP, USAGE, Provider, Scene, answer, begin, chunk

EMPTY = Verify(("empty",), buffer_streams=True)
CALL = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"look"}}]}}]}\n\n'


async def begin_whole(verify: Verify | None = None) -> Scene:
    return await begin(Provider(headers=JSON), stream=False, verify=verify)


def turned_down(scene: Scene, body: bytes) -> tuple[str, Unverified]:
    """A whole answer that will not do: the kind of failure, and what is kept."""
    with pytest.raises(AttemptFailed) as failed:
        verify_whole(scene.delivery, scene.provider, body, read_answer(body))
    assert isinstance(failed.value.answer, Unverified)
    assert not scene.client.started
    return failed.value.failure.kind, failed.value.answer


async def test_an_answer_that_will_do_is_not_settled_here() -> None:
    scene = await begin_whole(EMPTY)
    verify_whole(scene.delivery, scene.provider, answer(), read_answer(answer()))
    assert not scene.attempt.settled
    assert not scene.decided.called_tools


async def test_an_answer_that_calls_tools_is_noted() -> None:
    scene = await begin_whole(EMPTY)
    body = json.dumps({"choices": [{"message": {"tool_calls": [{"function": {"name": "look"}}]}}]}).encode()
    verify_whole(scene.delivery, scene.provider, body, read_answer(body))
    assert scene.decided.called_tools


async def test_one_that_will_not_do_is_kept_and_given_in_the_end() -> None:
    scene = await begin_whole(EMPTY)
    kind, kept = turned_down(scene, answer(""))
    assert (kind, kept.model, kept.check) == ("unverified", "gpt", "empty")
    assert scene.decided.turned_down == ["gpt"]
    assert (scene.charge.outcome, scene.charge.estimated) == ("unverified", False)
    await kept.give()
    assert scene.client.got == [answer("")]
    assert scene.client.headers[b"x-farebox-cost-usd"] == b"0.00001"
    assert (scene.context.outcome, scene.context.deployment) == ("ok", scene.attempt.deployment)
    assert scene.decided.usage == scene.charge.usage


async def test_the_rules_condition_reads_the_length_of_the_answer() -> None:
    class Lengths(list[int]):
        def matches(self, answer: Answer) -> bool:
            self.append(answer.output_tokens)
            return True

    read = Lengths()
    scene = await begin_whole(Verify((), read))
    verify_whole(scene.delivery, scene.provider, answer(), read_answer(answer()))
    assert read == [3]


async def test_what_a_filter_took_away_is_turned_down_where_there_are_others() -> None:
    scene = await begin_whole()
    kind, kept = turned_down(scene, answer("", "content_filter"))
    assert (kind, kept.model) == ("content_filter", "one/gpt"), "only this deployment is not asked again"


async def test_what_a_filter_took_away_is_the_answer_where_there_are_none() -> None:
    scene = await begin_whole()
    route = scene.context.route
    assert route is not None
    scene.context.route = route._replace(candidates=route.candidates[:1])
    body = answer("", "content_filter")
    verify_whole(scene.delivery, scene.provider, body, read_answer(body))


async def test_one_without_usage_is_charged_by_its_size() -> None:
    scene = await begin_whole(EMPTY)
    turned_down(scene, answer("", usage=None))
    assert (scene.charge.outcome, scene.charge.estimated) == ("unverified", True)


async def test_a_stream_is_looked_at_as_the_answer_that_it_amounts_to() -> None:
    scene = await begin(Provider(), verify=EMPTY)
    for event in (chunk(), STOP):
        scene.settlement.observer.observe(event)
    verify_stream(scene.delivery, scene.provider, chunk() + STOP)
    assert not scene.attempt.settled


async def test_a_stream_that_will_not_do_is_given_in_the_end() -> None:
    scene = await begin(Provider(), verify=EMPTY)
    events = (chunk(""), STOP, USAGE, DONE)
    for event in events:
        scene.settlement.observer.observe(event)
    scene.context.recorded_answer = list(events)
    with pytest.raises(AttemptFailed) as failed:
        verify_stream(scene.delivery, scene.provider, b"".join(events))
    assert scene.context.recorded_answer == [], "it is not the answer"
    assert scene.charge.outcome == "unverified"
    kept = failed.value.answer
    assert isinstance(kept, Unverified)
    await kept.give()
    assert scene.client.body == b"".join(events)
    assert scene.client.finished
    assert b"".join(scene.context.recorded_answer) == b"".join(events)


async def test_a_stream_that_nobody_wants_verified_is_not_looked_at() -> None:
    scene = await begin(Provider())
    verify_stream(scene.delivery, scene.provider, b"no stream at all")


async def test_an_assembled_answer_is_looked_at_too() -> None:
    scene = await begin_whole(EMPTY)
    for event in (CALL, STOP):
        scene.settlement.observer.observe(event)
    verify_assembled(scene.delivery, scene.provider, answer())
    assert scene.decided.called_tools
    with pytest.raises(AttemptFailed) as failed:
        verify_assembled(scene.delivery, scene.provider, answer(""))
    assert isinstance(failed.value.answer, Unverified)
    assert scene.charge.outcome == "unverified"
    await failed.value.answer.give()
    assert scene.client.got == [answer("")]


async def test_without_a_decision_nothing_is_noted() -> None:
    scene = await begin_whole()
    verify_assembled(scene.delivery, scene.provider, answer(""))
    note_calls(scene.delivery)
    assert scene.context.decided is None
