"""The dialect itself: where a request goes, with which headers, and what its answer becomes."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

from gateway.config.snapshot import Endpoint
from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic.answer import whole_answer
from gateway.upstream.dialects.anthropic.errors import complaint_of, error_body
from gateway.upstream.dialects.anthropic.request import provider_body, wants_json_object
from gateway.upstream.dialects.anthropic.stream import Stream
from gateway.upstream.dialects.protocol import Complaint, Outgoing, Wish
from gateway.wire.requests import CHAT, ModelRequest

VERSION: Final = "2023-06-01"
"""The API's version that every endpoint of this wire knows. A provider's `headers` may name a later one."""
SAMPLING_UNTIL: Final = "2026-10-21"
"""From this version on `temperature`, `top_p` and `top_k` are errors, whatever the model."""

_VERSION_HEADER: Final = "anthropic-version"
_BETA_HEADER: Final = b"anthropic-beta"
_HEAD: Final = b"content-type: application/json\r\nuser-agent: farebox\r\nx-request-id: "


class AnthropicTranslation:
    """Turns one answer of the Messages API into OpenAI's wire."""

    __slots__ = ("_created_s", "_json_tool", "_stream")

    def __init__(self, model: str, created_s: int, *, json_tool: bool) -> None:
        """`created_s` is the Unix time to give as the answer's, which tells none itself."""
        self._created_s = created_s
        self._json_tool = json_tool
        self._stream = Stream(model, created_s, json_tool=json_tool)

    def whole(self, body: bytes) -> bytes:
        """The chat completion of a message. Raises MalformedAnswer."""
        return whole_answer(body, self._created_s, json_tool=self._json_tool)

    def chunk(self, chunk: bytes) -> bytes:
        """The next bytes of a stream. Raises `gateway.wire.sse.EventTooLarge`."""
        return self._stream.feed(chunk)

    def end(self) -> bytes:
        """What a stream that has ended still had to say."""
        return self._stream.end()

    def error(self, status: int, body: bytes) -> bytes:
        """The body of an error status."""
        return error_body(status, body)


class Anthropic:
    """The Messages API, for chat requests."""

    name = "anthropic"
    apis = frozenset((CHAT,))
    credentials = ("x-api-key", "")

    def outgoing(self, request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
        """The request in Anthropic's words. Raises InvalidField for what cannot be said."""
        if request.api != CHAT:
            raise InvalidField("This model takes chat requests only: POST /v1/chat/completions.", param="model")
        configured = _configured(endpoint.headers)
        lines = [_HEAD, wish.request_id.encode(), b"\r\n"]
        if configured.version is None:
            lines += (_VERSION_HEADER.encode(), b": ", VERSION.encode(), b"\r\n")
        if not configured.beta:
            for name, value in wish.forwarded:
                if name == _BETA_HEADER:
                    lines += (name, b": ", value, b"\r\n")
        body = provider_body(request, wish, sampling=(configured.version or VERSION) < SAMPLING_UNTIL)
        return Outgoing(b"/messages", b"".join(lines), body)

    def translation(self, request: ModelRequest, wish: Wish) -> AnthropicTranslation:
        """What turns the answer into OpenAI's."""
        return AnthropicTranslation(wish.upstream_model, int(time.time()), json_tool=wants_json_object(request))

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status means."""
        return complaint_of(status, body)


class _Configured:
    """What the operator's own headers decide."""

    __slots__ = ("beta", "version")

    def __init__(self, headers: tuple[tuple[str, str], ...]) -> None:
        named = {name.lower(): value for name, value in headers}
        self.version = named.get(_VERSION_HEADER)
        self.beta = _BETA_HEADER.decode() in named


@lru_cache(maxsize=1024)
def _configured(headers: tuple[tuple[str, str], ...]) -> _Configured:
    return _Configured(headers)
