"""A call to a provider of another wire, as if it were one of OpenAI's: what comes back is translated as it is read."""

from __future__ import annotations

from typing import Final

from gateway.upstream.dialects.protocol import Translation
from gateway.upstream.transport import Call, ConnectionBroken, Response
from gateway.wire.sse import EventTooLarge

_OF_THE_BODY: Final = frozenset((b"content-length", b"content-type", b"content-md5", b"digest", b"content-digest"))
_STREAM: Final = b"text/event-stream"


class TranslatedCall:
    """Implements `gateway.upstream.transport.Call` around another call."""

    __slots__ = ("_call", "_translation")

    def __init__(self, call: Call, translation: Translation) -> None:
        self._call = call
        self._translation = translation

    @property
    def connection_reused(self) -> bool:
        """Whether the connection had served another request before."""
        return self._call.connection_reused

    @property
    def sent(self) -> bool:
        """Whether any byte of the request was handed to the operating system."""
        return self._call.sent

    @property
    def unread(self) -> int:
        """Bytes of the provider's own answer that had arrived when it was given up, and that nobody has looked at."""
        return self._call.unread

    def arrived(self) -> int:
        """Bytes of the provider's own answer that have arrived by now, and that nobody has looked at."""
        return self._call.arrived()

    async def response(self) -> TranslatedResponse:
        """Wait for the answer's head. Raises TransportError, also for a compression that cannot be undone."""
        response = await self._call.response()
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in response.headers):
            self._call.abort()
            raise ConnectionBroken("its answer is compressed in a way that cannot be read", sent=True)
        return TranslatedResponse(response, self._call, self._translation)

    def abort(self) -> None:
        """Close the connection at once. Idempotent."""
        self._call.abort()


class TranslatedResponse:
    """Implements `gateway.upstream.transport.Response`."""

    __slots__ = ("_call", "_ended", "_response", "_translation", "headers", "original", "status")

    def __init__(self, response: Response, call: Call, translation: Translation) -> None:
        self._response = response
        self._call = call
        self._translation = translation
        self._ended = False
        self.original = b""
        """The body of an error in the provider's own words."""
        self.status = response.status
        self.headers = _headers(response)

    async def read(self) -> bytes:
        """The whole body, translated. Raises TransportError; MalformedAnswer for an answer that is none."""
        body = await self._response.read()
        if 200 <= self.status < 300:
            return self._translation.whole(body)
        self.original = body
        return self._translation.error(self.status, body)

    async def next_chunk(self) -> bytes:
        """What can be said by now of a stream; `b""` at the end. Raises TransportError.

        Reads on, at the provider's pace, where what has arrived says nothing in OpenAI's words.
        """
        if self._ended:
            return b""
        try:
            while chunk := await self._response.next_chunk():
                if said := self._translation.chunk(chunk):
                    return said
            self._ended = True
            return self._translation.end()
        except EventTooLarge as error:
            self._call.abort()
            raise ConnectionBroken(str(error), sent=True) from None


def _headers(response: Response) -> list[tuple[bytes, bytes]]:
    """The head of what the answer becomes: JSON, or a stream where the provider says that it is one.

    A provider that does not tell the type of its answer is left untold: it is taken for what was asked for.
    """
    headers = [header for header in response.headers if header[0] not in _OF_THE_BODY]
    types = [value for name, value in response.headers if name == b"content-type"]
    streamed = 200 <= response.status < 300 and (not types or types[0].lower().startswith(_STREAM))
    if not streamed:
        headers.append((b"content-type", b"application/json"))
    elif types:
        headers.append((b"content-type", types[0]))
    return headers
