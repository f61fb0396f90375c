"""Requests in their client's own tongue, for providers that speak it: the client's bytes, with the model's name set.

What the gateway keeps to itself (keys, its own headers) was taken out before; the endpoint's credentials are added by
the transport.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects.openai import head
from gateway.upstream.dialects.protocol import Outgoing, Wish
from gateway.wire.native import MESSAGES, RESPONSES
from gateway.wire.requests import ModelRequest

_PATHS: Final = {MESSAGES: b"/messages", RESPONSES: b"/responses"}
_VERSION: Final = (b"anthropic-version", b"2023-06-01")
"""For clients of the Messages API that name none: the version that every endpoint of it knows."""
_QUERY: Final = re.compile(rb"[A-Za-z0-9_.~=&%+-]{1,256}")


def outgoing(request: ModelRequest, wish: Wish, endpoint: Endpoint) -> Outgoing:
    """The request as its client said it, but for the model's name and its bound. `request.native` must be there."""
    native = request.native
    assert native is not None, "only such requests are sent so"  # noqa: S101 -- guards a programming error
    if native.elsewhere is not None and native.held_at != endpoint.provider:
        native = native.elsewhere
    forwarded = wish.forwarded
    if native.api == MESSAGES and not _names_version(forwarded, endpoint):
        forwarded = [*forwarded, _VERSION]
    path = _PATHS[native.api] + (b"/count_tokens" if native.counts else b"")
    if _QUERY.fullmatch(native.query) is not None:
        path += b"?" + native.query
    bound = None if native.counts else wish.max_tokens
    body = native.upstream_body(wish.upstream_model, max_tokens=bound, stream=wish.stream)
    return Outgoing(path, head(wish.request_id, forwarded, endpoint.headers), body)


def _names_version(forwarded: list[tuple[bytes, bytes]], endpoint: Endpoint) -> bool:
    name = _VERSION[0]
    return any(each == name for each, _ in forwarded) or any(
        each.lower().encode() == name for each, _ in endpoint.headers
    )
