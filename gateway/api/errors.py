"""Errors as clients get them: bodies in OpenAI's shape, with the headers that agent SDKs act on (docs/errors.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import FareboxError, InvalidKey, UpstreamFailure
from gateway.reply import Headers

_encode = msgspec.json.encode


def error_body(error: FareboxError, request_id: str) -> bytes:
    """`{"error": {"message", "type", "param", "code", "metadata": {..., "request_id"}}}`."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
        "metadata": {**error.metadata, "request_id": request_id},
    }
    return _encode({"error": body})


def error_headers(error: FareboxError, request_id: str) -> Headers:
    """Content type, request id, and what tells an SDK whether and when to try again."""
    headers: Headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
    if error.should_retry is False:
        headers.append((b"x-should-retry", b"false"))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    headers += error.headers
    if isinstance(error, UpstreamFailure) and error.upstream_status is not None:
        headers.append((b"x-farebox-upstream-status", b"%d" % error.upstream_status))
    if isinstance(error, InvalidKey):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
