"""A request that goes on without its client's connection: ASGI on one side, any `Reply` on the other."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from gateway.api.asgi import Receive, Scope, Send
from gateway.api.connection import CYCLE_KEY, SCOPE_KEY
from gateway.reply import Headers, Reply


class DetachedConnection:
    """What `AsgiReply` knows of a connection, where there is none: nobody reads slowly, and a cancel is a leaving."""

    unread_since_s = None
    lost = False

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.corked = self
        self._callback: Callable[[], None] | None = None

    @property
    def on_lost(self) -> Callable[[], None] | None:
        """Called when what is made is wanted no more."""
        return self._callback

    @on_lost.setter
    def on_lost(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        self._reply.on_disconnect(callback)

    def answer(self, *_: object) -> bool:
        """There is no quicker way."""
        return False

    def cork(self) -> None:
        """Nothing to hold back."""

    def uncork(self) -> None:
        """Nothing was held back."""


def detached(scope: Scope, body: bytes, reply: Reply) -> tuple[Scope, Receive, Send]:
    """The same request with another body, whose answer goes to `reply`."""
    length = (b"content-length", b"%d" % len(body))
    headers = [length, *(header for header in scope["headers"] if header[0] != b"content-length")]
    inside = {**scope, "headers": headers, SCOPE_KEY: DetachedConnection(reply), CYCLE_KEY: None}

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    return inside, receive, _Sender(reply).send


class _Sender:
    """Gives a reply what ASGI is sent."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._head: tuple[int, Headers] | None = None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a message."""
        if message["type"] == "http.response.start":
            self._head = message["status"], list(message["headers"])
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        head, self._head = self._head, None
        if head is not None and not more:
            await self._reply.whole(*head, body)
            return
        if head is not None:
            await self._reply.start(*head)
        if body:
            await self._reply.send(body)
        if not more:
            await self._reply.finish()
