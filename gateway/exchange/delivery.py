"""One attempt's answer at its client: the head, the answer, and the moment from which on it is this answer or none."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.context import RequestContext
from gateway.exchange.head import answer_headers, as_json
from gateway.exchange.settlement import Settlement
from gateway.reply import Reply
from gateway.upstream.transport import Response
from gateway.wire.requests import EMBEDDINGS, ModelRequest
from routing.money import NanoUsd, format_usd
from routing.rules import Verify


class Delivery:
    """What an attempt's answer, of whatever kind, is brought to its client with. Not reusable."""

    __slots__ = ("attempt", "claim", "context", "given_up", "on_begun", "reply", "request", "settlement", "verify")

    def __init__(self, context: RequestContext, reply: Reply, settlement: Settlement) -> None:
        assert context.request is not None  # noqa: S101 -- guards a programming error
        self.context = context
        self.request: ModelRequest = context.request
        self.reply = reply
        self.settlement = settlement
        self.attempt = settlement.attempt
        self.verify = _verify_of(context, context.request)
        """What the answer has to pass before the client sees it, if anything."""
        self.claim: Callable[[], None] | None = None
        """Called before the client's first byte, in a race: it raises Superseded when another attempt was quicker."""
        self.on_begun: Callable[[], None] | None = None
        """Hears that there is something to show."""
        self.given_up = False
        """The client has left, or another attempt has answered."""

    def commit(self) -> None:
        """From here on the answer is this one. Raises Superseded."""
        if self.claim is not None:
            self.claim()
        if self.on_begun is not None:
            self.on_begun()
        self.context.deployment = self.attempt.deployment

    async def start_stream(self, response: Response) -> None:
        """Send the head of a stream. Raises Superseded."""
        self.commit()
        context = self.context
        context.first_byte_s = time.monotonic()
        headers = answer_headers(context, self.settlement, response)
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-accel-buffering", b"no"))
        context.status = response.status
        if self.attempt.target.native:
            self.reply.as_it_is()
        await self.reply.start(response.status, headers)

    async def whole(self, response: Response, body: bytes, cost: NanoUsd) -> None:
        """Send a complete answer with what the request has cost, all its attempts together."""
        context = self.context
        usd = format_usd(cost).encode()
        headers = answer_headers(context, self.settlement, response)
        if self.settlement.meter is not None:
            headers = as_json(headers)
        headers.append((b"x-farebox-cost-usd", usd))
        headers.append((b"x-litellm-response-cost", usd))
        if context.recorded_answer is not None:
            context.recorded_answer.append(body)
        context.status, context.error_code = response.status, ""
        if self.attempt.target.native:
            self.reply.as_it_is()
        await self.reply.whole(response.status, headers, body)


def _verify_of(context: RequestContext, request: ModelRequest) -> Verify | None:
    decided = context.decided
    if decided is None or request.api == EMBEDDINGS:
        return None
    verify = decided.decision.verify
    return verify if verify is None or verify.buffer_streams or not request.stream else None
