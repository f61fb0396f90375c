"""The client's side of a request in another tongue than OpenAI's chat: answers are translated on their way out.

What a deployment says in the tongue itself passes as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.api.errors import error_body, error_headers
from gateway.context import RequestContext
from gateway.errors import FareboxError
from gateway.reply import Headers, Reply
from gateway.wire.sse import EventSplitter


class Translator(Protocol):
    """Turns one answer of the chat wire into the tongue's."""

    def whole(self, body: bytes) -> bytes:
        """A chat completion."""
        ...

    def events(self, events: list[bytes]) -> bytes:
        """Whole events of a chat stream: what can be said by now."""
        ...

    def end(self) -> bytes:
        """The stream has ended properly: what is still to be said."""
        ...

    def failure(self, error: dict[str, object]) -> bytes:
        """The event that ends a stream which failed, given OpenAI's error object."""
        ...


class TongueReply:
    """Implements `gateway.reply.Reply` around another one, which is given what is said in the tongue."""

    __slots__ = ("_as_it_is", "_ended", "_out", "_splitter", "_translator", "request_id")

    def __init__(self, out: Reply) -> None:
        self._out = out
        self._as_it_is = self._ended = False
        self._splitter: EventSplitter | None = None
        self._translator: Translator | None = None
        self.request_id = ""

    # --- what each tongue says of itself ---

    def _translator_of(self, context: RequestContext) -> Translator:
        """What translates the answer to the context's request."""
        raise NotImplementedError

    def _error_body(self, status: int, body: bytes) -> bytes:
        """An error in OpenAI's shape, in the tongue's."""
        raise NotImplementedError

    def _headers(self, headers: Headers) -> Headers:
        """The head of an answer, with what the tongue's clients look for."""
        return headers

    def _failure(self, error: dict[str, object]) -> bytes:
        """The event that ends a stream which failed, given OpenAI's error object."""
        assert self._translator is not None, "only what was asked is answered"  # noqa: S101 -- guards a programming error
        return self._translator.failure(error)

    async def _answered(self, body: bytes) -> None:
        """A whole answer, in the tongue, before it is sent."""

    async def _say(self, events: bytes) -> None:
        """Send events in the tongue."""
        await self._out.send(events)

    # --- what the pipeline calls ---

    @property
    def started(self) -> bool:
        """Whether the client has been sent a status."""
        return self._out.started

    @property
    def blocked(self) -> bool:
        """Whether `send` would wait now."""
        return self._out.blocked

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call this when the client leaves."""
        self._out.on_disconnect(callback)

    def asked(self, context: RequestContext) -> None:
        """The request has been read: its answer may come from now on."""
        self.request_id = context.request_id
        self._translator = self._translator_of(context)

    def as_it_is(self) -> None:
        """What follows is said in the tongue itself."""
        self._as_it_is = True

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""
        well = 200 <= status < 300
        if not self._as_it_is:
            if well and self._translator is not None:
                body = self._translator.whole(body)
            else:
                body = self._error_body(status, body)
        if well:
            await self._answered(body)
        self._ended = True
        await self._out.whole(status, self._headers(headers), body)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of a stream."""
        if not self._as_it_is:
            self._splitter = EventSplitter()
        await self._out.start(status, self._headers(headers))

    async def send(self, chunk: bytes) -> None:
        """Send a piece of a stream."""
        splitter, translator = self._splitter, self._translator
        if splitter is not None and translator is not None:
            chunk = translator.events(splitter.feed(chunk))
        if chunk:
            await self._say(chunk)

    async def finish(self) -> None:
        """End a stream properly."""
        if self._splitter is not None and self._translator is not None:
            rest = self._splitter.rest
            said = self._translator.events([rest]) if rest else b""
            said += self._translator.end()
            if said:
                await self._say(said)
        self._ended = True
        await self._out.finish()

    async def error(self, error: FareboxError, request_id: str) -> None:
        """Send an error: a whole answer, or the event that ends the stream which has begun."""
        if self._ended:
            return
        self._ended = True
        body = error_body(error, request_id)
        if self.started:
            await self._out.send(self._failure(msgspec.json.decode(body)["error"]))
            await self._out.finish()
            return
        self.request_id = request_id
        headers = error_headers(error, request_id)
        await self._out.whole(error.status, self._headers(headers), self._error_body(error.status, body))
