"""POST /v1/responses: OpenAI's newer API. What is answered is kept, so that a later request can go on from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.api.asgi import Scope, Send
from gateway.api.tongue import TongueReply, Translator
from gateway.context import RequestContext
from gateway.wire import responses

Keep = Callable[[RequestContext, bytes], Awaitable[None]]
"""Keeps the response of a request, given as the API shows it."""

_LAST: Final = (b'"response.completed"', b'"response.incomplete"')
"""The types of the event that carries the finished response. Inside of texts the quotes are escaped."""


class ResponsesReply(TongueReply):
    """The client's side of one response."""

    __slots__ = ("_asked", "_events", "_first", "keep")

    def __init__(self, scope: Scope, send: Send) -> None:
        super().__init__(scope, send)
        self.keep: Keep | None = None
        """What is given the response before the client has the end of it."""
        self._asked: RequestContext | None = None
        self._first = b""
        """The events that the stream began with."""
        self._events = 0

    def _translator_of(self, context: RequestContext) -> Translator:
        self._asked, request = context, context.request
        assert request is not None  # noqa: S101 -- guards a programming error
        assert request.native is not None  # noqa: S101 -- as above
        return responses.AnswerTranslator(model=request.model, request_id=context.request_id, request=request.native)

    def _error_body(self, status: int, body: bytes, request_id: str) -> bytes:
        return body

    def _failure(self, error: dict[str, object]) -> bytes:
        if self._as_it_is:
            return responses.failed(self._first, self._events, error)
        return super()._failure(error)

    async def _answered(self, body: bytes) -> None:
        if self.keep is not None and self._asked is not None:
            await self.keep(self._asked, body)

    async def _say(self, events: bytes) -> None:
        if not self._first:
            self._first = events
        self._events += events.count(b"\n\n")
        if self.keep is not None and (_LAST[0] in events or _LAST[1] in events):
            final = responses.final_of(events)
            if final is not None:
                await self._answered(final)
        await super()._say(events)


REPLY = ResponsesReply
