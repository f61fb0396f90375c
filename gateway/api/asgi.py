"""ASGI on one side, the pipeline's `IncomingCall` and `Reply` on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from gateway.api.connection import CYCLE_KEY, SCOPE_KEY, Connection
from gateway.api.errors import error_body, error_headers
from gateway.context import RequestContext
from gateway.errors import BodyTooLarge, FareboxError
from gateway.reply import ClientGone, Headers
from gateway.wire.sse import data_event

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiCall:
    """A request as ASGI hands it over."""

    __slots__ = ("_receive", "_scope", "api", "headers")

    def __init__(self, api: str, scope: Scope, receive: Receive) -> None:
        self.api = api
        self.headers: Headers = scope["headers"]
        self._scope = scope
        self._receive = receive

    @property
    def query(self) -> bytes:
        """Of its URL."""
        query: bytes = self._scope["query_string"]
        return query

    @property
    def client(self) -> str:
        """The client's address; behind a trusted proxy, the one the proxy reports."""
        client = self._scope["client"]
        return client[0] if client else ""

    async def body(self, max_bytes: int) -> bytes:
        """The whole body. Raises BodyTooLarge (before reading, where Content-Length tells) or ClientGone."""
        for name, value in self.headers:
            if name == b"content-length" and len(value) < 20 and int(value) > max_bytes:
                raise _too_large(max_bytes)
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return body
        return await self._rest(bytearray(body), max_bytes)

    async def chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        """The body as it comes; nothing of it is read ahead. Raises BodyTooLarge or ClientGone."""
        connection: Connection = self._scope[SCOPE_KEY]
        left, more = max_bytes, True
        while more:
            connection.expects()
            message = await self._receive()
            connection.rests()
            if message["type"] != "http.request":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            left -= len(chunk)
            if left < 0:
                raise _too_large(max_bytes)
            if chunk:
                yield chunk

    async def _rest(self, body: bytearray, max_bytes: int) -> bytes:
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            more = message.get("more_body", False)
        return bytes(body)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request body is larger than {max_bytes} bytes, the most this gateway takes (server.max_body_bytes)."
    )


class AsgiReply:
    """The client's side of one ASGI request, with errors in OpenAI's shape."""

    __slots__ = ("_connection", "_scope", "_send", "_told", "ended", "started")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._connection: Connection = scope[SCOPE_KEY]
        self.started = False
        self.ended = False
        self._told = True
        """Whether errors can be told in a stream that has begun."""

    @property
    def blocked(self) -> bool:
        """Whether `send` would wait now: the client has not read what it was sent."""
        return self._connection.unread_since_s is not None

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call this when the client leaves; at once if it already has."""
        if callback is not None and self._connection.lost:
            callback()
        else:
            self._connection.on_lost = callback

    def asked(self, context: RequestContext) -> None:
        """OpenAI's wire is what answers come in."""

    def as_it_is(self) -> None:
        """Nothing is translated here."""

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""
        headers.append((b"content-length", b"%d" % len(body)))
        self.started = self.ended = True
        if self._connection.answer(self._scope[CYCLE_KEY], status, headers, body):
            return
        corked = self._connection.corked
        corked.cork()
        try:
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})
        finally:
            corked.uncork()

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of a stream. Into one that is no events, an error cannot be told: it breaks off."""
        self.started = True
        self._told = all(name != b"content-type" or value.startswith(b"text/event-stream") for name, value in headers)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, chunk: bytes) -> None:
        """Send a piece of a stream."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> None:
        """End a stream properly."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": b""})

    async def error(self, error: FareboxError, request_id: str) -> None:
        """Send an error: a whole answer, or an event of the stream that has begun (then without `[DONE]`)."""
        if self.ended:
            return
        body = error_body(error, request_id)
        if self.started and not self._told:
            self.ended = True
            self._connection.transport.abort()
            await asyncio.sleep(0)  # uvicorn hears of it
            return
        if self.started:
            await self.send(data_event(body))
            await self.finish()
            return
        await self.whole(error.status, error_headers(error, request_id), body)
