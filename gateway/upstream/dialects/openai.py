"""The OpenAI wire: what clients speak is what goes upstream, with the model's name and the usage option set.

Most providers speak it with small differences. Each of those has a file that says them: a subclass of `OpenAI`.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from gateway.config.dialects import BEARER
from gateway.config.snapshot import Endpoint
from gateway.errors import InvalidField
from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.protocol import Complaint, Outgoing, Translation, Wish
from gateway.wire.others import OTHER_PATHS, OTHERS
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, ModelRequest
from gateway.wire.upload import Beginning
from gateway.wire.writing import with_fields

_PATHS = {CHAT: b"/chat/completions", COMPLETIONS: b"/completions", EMBEDDINGS: b"/embeddings", **OTHER_PATHS}
_USER_AGENT = b"user-agent: farebox\r\n"


@lru_cache(maxsize=1024)
def _names(configured: tuple[tuple[str, str], ...]) -> frozenset[bytes]:
    return frozenset(name.lower().encode() for name, _ in configured)


def path(api: str) -> bytes:
    """The path below the provider's base URL."""
    return _PATHS[api]


def head(
    request_id: str,
    forwarded: list[tuple[bytes, bytes]],
    configured: tuple[tuple[str, str], ...],
    content_type: bytes = b"application/json",
) -> bytes:
    """Header lines for the provider: the client's own that are not ours to keep, and the request's id.

    `configured` are the endpoint's own headers, which the transport adds: a client's of the same name are dropped.
    """
    if configured and forwarded:
        ours = _names(configured)
        forwarded = [header for header in forwarded if header[0] not in ours]
    lines = [b"content-type: ", content_type, b"\r\nx-request-id: ", request_id.encode(), b"\r\n", _USER_AGENT]
    for name, value in forwarded:
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines)


def body(
    request: ModelRequest,
    upstream_model: str,
    *,
    max_tokens: int | None = None,
    max_tokens_field: str = "max_tokens",
    stream: bool = False,
    running_usage: bool = False,
) -> bytes:
    """The request as the provider is to read it: its answer bounded by `max_tokens`, streamed if `stream` says so.

    `running_usage`: with the usage so far in every event.
    """
    return request.upstream_body(
        upstream_model,
        max_tokens=max_tokens,
        max_tokens_field=max_tokens_field,
        stream=stream,
        running_usage=running_usage,
    )


def not_spoken(api: str) -> InvalidField:
    """The error for a request to an API that a provider does not have."""
    return InvalidField(
        f"The provider of this model has no {path(api).decode()[1:]}. Ask another model.", param="model"
    )


class OpenAI:
    """The `Dialect` of OpenAI itself, and of all who speak its wire without a difference that matters."""

    name = "openai"
    apis = frozenset((CHAT, COMPLETIONS, EMBEDDINGS)) | OTHERS
    credentials = BEARER
    words = Words()
    """What its errors say."""

    def outgoing(self, request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
        """The request as it came, but for the model's name, its bound, and the usage option."""
        if request.api not in self.apis:
            raise not_spoken(request.api)
        if request.extent is not None:
            return self._other(request, wish, endpoint)
        return Outgoing(
            self.path(request.api, wish, endpoint),
            head(wish.request_id, wish.forwarded, endpoint.headers),
            self.body(request, wish),
        )

    def _other(self, request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
        """A request beside chat: only the model's name changes."""
        upload, kind = request.upload, b"application/json"
        body: bytes | Beginning
        if upload is not None:
            body, kind = upload.body(wish.upstream_model), upload.content_type.encode("latin-1")
        else:
            same = wish.upstream_model == request.model
            changed = {} if same else {"model": msgspec.Raw(msgspec.json.encode(wish.upstream_model))}
            body = with_fields(request.body, request.fields, changed)
        lines = head(wish.request_id, wish.forwarded, endpoint.headers, kind)
        return Outgoing(self.path(request.api, wish, endpoint), lines, body)

    def path(self, api: str, wish: Wish, endpoint: Endpoint) -> bytes:
        """The path below the base URL."""
        return _PATHS[api]

    def body(self, request: ModelRequest, wish: Wish) -> bytes:
        """The body."""
        return request.upstream_body(
            wish.upstream_model,
            max_tokens=wish.max_tokens,
            max_tokens_field=wish.max_tokens_field,
            stream=wish.stream,
            running_usage=wish.running_usage,
        )

    def translation(self, request: ModelRequest, wish: Wish) -> Translation | None:
        """None: it answers in OpenAI's words."""
        return None

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means."""
        return self.words.complaint(status, body)


DIALECT = OpenAI()
