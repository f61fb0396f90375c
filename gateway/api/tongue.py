"""The client's side of a request in another tongue than OpenAI's chat: answers are translated on their way out.

What a deployment says in the tongue itself passes as it is.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, Protocol

import msgspec

from gateway.api.asgi import AsgiReply, Scope, Send
from gateway.api.errors import error_body, error_headers
from gateway.context import RequestContext
from gateway.errors import FareboxError
from gateway.reply import Headers
from gateway.wire.native import MESSAGES, RESPONSES
from gateway.wire.sse import EventSplitter

_MODULES: Final = {MESSAGES: "gateway.api.messages", RESPONSES: "gateway.api.responding"}


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


class TongueReply(AsgiReply):
    """The base of both. Errors before the first byte are whole answers in the tongue's shape."""

    __slots__ = ("_as_it_is", "_splitter", "_translator")

    def __init__(self, scope: Scope, send: Send) -> None:
        super().__init__(scope, send)
        self._as_it_is = False
        self._splitter: EventSplitter | None = None
        self._translator: Translator | None = None

    # --- what each tongue says of itself ---

    def _translator_of(self, context: RequestContext) -> Translator:
        """What translates the answer to the context's request."""
        raise NotImplementedError

    def _error_body(self, status: int, body: bytes, request_id: str) -> bytes:
        """An error in OpenAI's shape, in the tongue's."""
        raise NotImplementedError

    def _failure(self, error: dict[str, object]) -> bytes:
        """The event that ends a stream which failed, given OpenAI's error object."""
        assert self._translator is not None, "only what was asked is answered"  # noqa: S101 -- guards a programming error
        return self._translator.failure(error)

    async def _answered(self, body: bytes) -> None:
        """A whole answer, in the tongue, before it is sent."""

    async def _say(self, events: bytes) -> None:
        """Send events in the tongue."""
        await super().send(events)

    # --- what the pipeline calls ---

    def asked(self, context: RequestContext) -> None:
        """The request has been read: its answer may come from now on."""
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
                body = self._error_body(status, body, _request_id(headers))
        if well:
            await self._answered(body)
        await super().whole(status, headers, body)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of a stream."""
        if not self._as_it_is:
            self._splitter = EventSplitter()
        await super().start(status, headers)

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
        await super().finish()

    async def error(self, error: FareboxError, request_id: str) -> None:
        """Send an error: a whole answer, or the event that ends the stream which has begun."""
        if self.ended:
            return
        body = error_body(error, request_id)
        if not self.started:
            self._as_it_is = True  # it is said in the tongue here
            body = self._error_body(error.status, body, request_id)
            await self.whole(error.status, error_headers(error, request_id), body)
            return
        await super().send(self._failure(msgspec.json.decode(body)["error"]))
        await super().finish()


def _request_id(headers: Headers) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == b"x-request-id"), "")


def reply_in(tongue: str, scope: Scope, send: Send) -> TongueReply:
    """The client's side of a request in `tongue`, one of `gateway.wire.native.TONGUES`."""
    return _replies(tongue)(scope, send)


@cache
def _replies(tongue: str) -> type[TongueReply]:
    """Loaded when it is first spoken: start-up stays light."""
    found: type[TongueReply] = import_module(_MODULES[tongue]).REPLY
    return found
