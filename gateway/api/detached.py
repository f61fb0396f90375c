"""A request that goes on without its client's connection."""

from __future__ import annotations

from gateway.errors import BodyTooLarge
from gateway.reply import Headers, IncomingCall


class DetachedCall:
    """Implements `gateway.reply.IncomingCall`: another one, with a body that has been read."""

    __slots__ = ("_body", "api", "client", "headers", "query")

    def __init__(self, call: IncomingCall, body: bytes) -> None:
        self.api = call.api
        self.headers: Headers = call.headers
        self.client = call.client
        self.query = call.query
        self._body = body

    async def body(self, max_bytes: int) -> bytes:
        """The body. Raises BodyTooLarge."""
        if len(self._body) > max_bytes:
            raise BodyTooLarge(f"The request body is larger than {max_bytes} bytes, the most this gateway takes.")
        return self._body
