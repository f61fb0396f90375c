"""A client's side in another tongue: what is translated, what passes, and how errors are told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.api.messages import MessagesReply
from gateway.api.responding import ResponsesReply
from gateway.api.tongue import TongueReply
from gateway.config.snapshot import Endpoint
from gateway.context import RequestContext
from gateway.errors import BudgetExceeded, UpstreamFailure
from gateway.identity.keys import Principal
from gateway.responses.store import Keeping
from gateway.wire.tongues import read_tongue
from routing.catalog import Deployment
from tests.gateway.exchange.scene import Seat
from tests.gateway.snapshots import snapshot_of

DEPLOYMENT = Deployment("p/m", "p", "m", None)
ENDPOINT = Endpoint("p", "https://llm.example/v1", (), natives=frozenset(("responses",)))

ASKED = {
    "messages": b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello."}],"stream":true}',
    "responses": b'{"model":"m","input":"Hello.","stream":true}',
}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": USAGE,
}


class Kept:
    """A keeper that remembers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def keep(self, keeping: Keeping, response: bytes) -> None:
        self.bodies.append(response)


def chunk(**fields: Any) -> bytes:
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


STREAM = (
    chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    + chunk(choices=[{"index": 0, "delta": {"content": "Hi."}}])
    + chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + chunk(choices=[], usage=USAGE)
    + b"data: [DONE]\n\n"
)


def reply(tongue: str, seat: Seat, kept: Kept | None = None) -> TongueReply:
    """A reply that was asked."""
    made = MessagesReply(seat) if tongue == "messages" else ResponsesReply(seat, kept or Kept())
    context = RequestContext(tongue, snapshot_of())
    context.principal = Principal("acme", "quality", "tester", "fb-1")
    context.request = read_tongue(tongue, ASKED[tongue])
    made.asked(context)
    return made


def types(body: bytes) -> list[str]:
    return [json.loads(line[6:])["type"] for line in body.splitlines() if line.startswith(b"data: {")]


@pytest.mark.parametrize(("tongue", "kind"), [("messages", "message"), ("responses", "response")])
async def test_a_chat_answer_is_said_in_the_tongue(tongue: str, kind: str) -> None:
    seat = Seat()
    await reply(tongue, seat).whole(200, [], json.dumps(WHOLE).encode())
    answer = json.loads(seat.body)
    assert kind in {answer.get("type"), answer.get("object")}
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (3, 2)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("tongue", "first", "last"),
    [("messages", "message_start", "message_stop"), ("responses", "response.created", "response.completed")],
)
async def test_a_chat_stream_is_said_in_the_tongue_however_it_is_cut(
    tongue: str, first: str, last: str, size: int
) -> None:
    seat = Seat()
    made = reply(tongue, seat)
    await made.start(200, [])
    for at in range(0, len(STREAM), size):
        await made.send(STREAM[at : at + size])
    await made.finish()
    assert (types(seat.body)[0], types(seat.body)[-1]) == (first, last)
    assert b"chat.completion" not in seat.body
    assert seat.finished


@pytest.mark.parametrize("tongue", ["messages", "responses"])
async def test_what_is_in_the_tongue_passes(tongue: str) -> None:
    seat = Seat()
    made = reply(tongue, seat)
    made.as_it_is()
    await made.start(200, [])
    await made.send(b"event: ping\ndata: {}\n\n")
    await made.finish()
    assert seat.body == b"event: ping\ndata: {}\n\n"


@pytest.mark.parametrize(("tongue", "kind"), [("messages", "billing_error"), ("responses", "insufficient_quota")])
async def test_a_refusal_has_the_tongues_shape(tongue: str, kind: str) -> None:
    seat = Seat()
    made = reply(tongue, seat)
    await made.error(BudgetExceeded("It is spent.", scope="agent:tester"), "req_9")
    assert seat.status == 402
    said = json.loads(seat.body)
    assert said["error"]["type"] == kind
    assert said["error"]["message"] == "It is spent."
    assert b"req_9" in seat.body
    assert seat.headers.get(b"request-id") == (b"req_9" if tongue == "messages" else None)
    await made.error(BudgetExceeded("Once more."), "req_9")
    assert b"Once more" not in seat.body


@pytest.mark.parametrize("natively", [True, False])
@pytest.mark.parametrize(("tongue", "last"), [("messages", "error"), ("responses", "response.failed")])
async def test_a_stream_that_breaks_ends_with_the_tongues_event(tongue: str, last: str, natively: bool) -> None:
    seat = Seat()
    made = reply(tongue, seat)
    if natively:
        made.as_it_is()
    await made.start(200, [])
    if not natively:
        await made.send(STREAM[:200])
    await made.error(UpstreamFailure("It broke off."), "req_9")
    assert types(seat.body)[-1] == last
    assert b"It broke off." in seat.body
    assert seat.finished


async def test_nothing_is_kept_of_an_answer_that_nobody_gave() -> None:
    """Refusals and cut streams are no responses."""
    kept, seat = Kept(), Seat()
    made = reply("responses", seat, kept)
    await made.start(200, [])
    await made.send(STREAM[:300])
    await made.error(UpstreamFailure("It broke off."), "req_9")
    assert kept.bodies == []


async def test_a_native_answer_is_kept_as_it_came() -> None:
    kept, seat = Kept(), Seat()
    made = reply("responses", seat, kept)
    context = made._context  # type: ignore[attr-defined]
    context.deployment = DEPLOYMENT
    context.snapshot = snapshot_of(endpoints={"p": ENDPOINT})
    made.as_it_is()
    body = msgspec.json.encode({"id": "resp_1", "object": "response", "status": "completed", "output": []})
    await made.whole(200, [], body)
    assert kept.bodies == [body]
    assert seat.body == body


async def test_anthropics_sdks_find_the_requests_id() -> None:
    seat = Seat()
    made = reply("messages", seat)
    await made.whole(200, [], json.dumps(WHOLE).encode())
    assert seat.headers[b"request-id"] == made.request_id.encode()
    seat = Seat()
    await reply("messages", seat).start(200, [])
    assert seat.headers[b"request-id"].startswith(b"req_")
