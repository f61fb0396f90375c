"""POST /v1/responses: OpenAI's newer API. What is answered is kept, so that a later request can go on from it."""

from __future__ import annotations

from gateway.api.tongue import TongueReply, Translator
from gateway.context import RequestContext
from gateway.reply import Reply
from gateway.responses import Keeper
from gateway.responses.memory import keeping_of
from gateway.wire import responses


class ResponsesReply(TongueReply):
    """The client's side of one response."""

    __slots__ = ("_context", "_events", "_first", "_keeper")

    def __init__(self, out: Reply, keeper: Keeper) -> None:
        """`keeper` is given the response before the client has the end of it."""
        super().__init__(out)
        self._keeper = keeper
        self._context: RequestContext | None = None
        self._first = b""
        """What the stream began with."""
        self._events = 0

    def _translator_of(self, context: RequestContext) -> Translator:
        self._context, request = context, context.request
        assert request is not None  # noqa: S101 -- guards a programming error
        assert request.native is not None  # noqa: S101 -- as above
        return responses.AnswerTranslator(model=request.model, request_id=context.request_id, request=request.native)

    def _error_body(self, status: int, body: bytes) -> bytes:
        return body

    def _failure(self, error: dict[str, object]) -> bytes:
        if self._as_it_is:
            return responses.failed(self._first, self._events, error)
        return super()._failure(error)

    async def _answered(self, body: bytes) -> None:
        keeping = None if self._context is None else keeping_of(self._context)
        if keeping is not None:
            await self._keeper.keep(keeping, body)

    async def _say(self, events: bytes) -> None:
        if not self._first:
            self._first = events
        self._events += events.count(b"\n\n")
        final = responses.final_of(events)
        if final is not None:
            await self._answered(final)
        await super()._say(events)
