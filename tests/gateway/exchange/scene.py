"""One attempt between a scripted provider and a client that keeps what it gets; nothing is sent anywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.config.snapshot import Endpoint
from gateway.context import RequestContext
from gateway.deciding.decided import Decided
from gateway.exchange.delivery import Delivery
from gateway.exchange.settlement import Settlement
from gateway.reply import Headers
from gateway.telemetry.events import ChargePosted
from gateway.upstream.attempt import Attempt
from gateway.upstream.launch import target_of
from gateway.upstream.transport import Aborted, TransportError
from routing.decision import NO_FACTS, Decision, Wanted
from routing.money import Usage
from routing.rules import Verify
from tests.gateway.admission.world import METERED, NOW_S, BookStore, Client, Stage, budget, deployment

STREAM: Headers = [(b"content-type", b"text/event-stream")]
JSON: Headers = [(b"content-type", b"application/json")]
DONE = b"data: [DONE]\n\n"
ENDPOINT = Endpoint("one", "http://localhost", (("authorization", "Bearer our-secret-key"),))
CALIBRATED: dict[str, Any] = {"reserve": "calibrated", "assemble_whole_answers": True}


def chunk(text: str | None = "word ", finish: str | None = None, **fields: Any) -> bytes:
    """An event of a stream."""
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"


STOP = chunk(None, "stop")
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'


def answer(text: str = "hello", finish: str = "stop", **fields: Any) -> bytes:
    """A whole answer."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}]
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"choices": choices, "usage": usage, **fields}).encode()


class Silence:
    """The provider says nothing more until it is given up."""


SILENCE = Silence()
Piece = bytes | TransportError | Silence | Callable[[], object]


class Provider:
    """A call and its response. Pieces come one after the other; an error is raised, a function called, on the way."""

    connection_reused = False
    sent = True
    unread = 0

    def __init__(self, *pieces: Piece, status: int = 200, headers: Headers = STREAM) -> None:
        self.status = status
        self.headers = headers
        self._gone = asyncio.Event()
        self.pieces = list(pieces)

    async def response(self) -> Provider:
        return self

    async def read(self) -> bytes:
        body = b""
        while piece := await self.next_chunk():
            body += piece
        return body

    async def next_chunk(self) -> bytes:
        while not self.aborted and self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, TransportError):
                raise piece
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, Silence):
                await self._gone.wait()
            else:
                piece()
        if self.aborted:
            raise Aborted("the call was given up", sent=True)
        return b""

    @property
    def aborted(self) -> bool:
        return self._gone.is_set()

    def abort(self) -> None:
        self._gone.set()

    def arrived(self) -> int:
        return 0


class Steady(Provider):
    """A provider between whose pieces there is time to ask the store."""

    async def next_chunk(self) -> bytes:
        await asyncio.sleep(0)
        return await super().next_chunk()


class Seat(Client):
    """A client that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.got: list[bytes] = []
        self.finished = False

    @property
    def body(self) -> bytes:
        return b"".join(self.got)

    async def start(self, status: int, headers: Headers) -> None:
        assert not self.started
        self.started, self.status, self.headers = True, status, dict(headers)

    async def send(self, chunk: bytes) -> None:
        assert self.started
        assert not self.finished
        self.got.append(chunk)

    async def finish(self) -> None:
        self.finished = True

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, headers)
        await self.send(body)
        await self.finish()


class Scene(NamedTuple):
    """An attempt that was sent."""

    stage: Stage
    context: RequestContext
    client: Seat
    provider: Provider
    attempt: Attempt
    settlement: Settlement
    delivery: Delivery

    @property
    def charge(self) -> ChargePosted:
        """The attempt's, posted once."""
        (charge,) = [event for event in self.stage.noticed() if isinstance(event, ChargePosted)]
        return charge

    def take_the_rest(self) -> None:
        """Others spend what is left of the budget."""
        book = self.stage.store.book
        (counter,) = book.counters(None, NOW_S)
        book.adjust(counter.key, counter.room, "others", NOW_S)

    @property
    def decided(self) -> Decided:
        """What the policy decided, where one did."""
        assert self.context.decided is not None
        return self.context.decided


async def begin(
    provider: Provider,
    *,
    stream: bool = True,
    metered: bool = False,
    verify: Verify | None = None,
    store: BookStore | None = None,
    **fields: Any,
) -> Scene:
    """Send an attempt. If `metered`, its agent's budget is worth 50,000 tokens, and its answers used to be short.

    `verify`: a policy has decided, and wants the answer checked.
    """
    limits = (budget("all", 50_000),) if metered else ()
    stage = Stage(*limits, deployments=(deployment("one", **METERED), deployment("two")), store=store, **CALIBRATED)
    context = stage.context()
    context.request = stage.request(900, stream=stream, **fields)
    if verify is not None:
        wanted = Wanted(NO_FACTS)
        context.decided = Decided(Decision((stage.model,), "rule", "why", verify=verify), wanted)
    client = Seat()
    permit = None
    if metered:
        for _ in range(30):
            stage.learned.observe("tester", "gpt", 20, Usage(10, 10), truncated=False)
        permit = await stage.admission.admit(context, client, stage.turn())
    assert context.request is not None
    target = target_of(ENDPOINT, None, context.request)
    attempt = Attempt(f"{context.request_id}.1", 1, "first", stage.model.deployments[0], target, provider)
    settlement = Settlement(context, attempt, permit, stage.recorder)
    assert (settlement.meter is not None) == metered
    delivery = Delivery(context, client, settlement)
    return Scene(stage, context, client, provider, attempt, settlement, delivery)
