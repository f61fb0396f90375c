"""Which of a provider's response headers reach the client: all that describe the answer.

None that describe the connection, the provider's account with us, or its rate limits (the gateway's own go by the
same names)."""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]

_KEPT_BACK = frozenset(
    {
        b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade",
        b"proxy-authenticate", b"content-length", b"set-cookie", b"server", b"date", b"via", b"alt-svc",
        b"strict-transport-security", b"x-request-id", b"request-id", b"x-should-retry", b"nel", b"report-to",
        b"expect-ct", b"access-control-allow-origin", b"access-control-expose-headers", b"www-authenticate",
        b"content-security-policy", b"openai-organization", b"openai-project", b"anthropic-organization-id",
        b"x-powered-by", b"accept-ranges", b"etag", b"last-modified", b"cache-control", b"x-accel-buffering", b"vary",
    }
)  # fmt: skip
_KEPT_BACK_PREFIXES = (b"cf-", b"x-ratelimit-", b"anthropic-ratelimit-", b"x-farebox-", b"x-litellm-", b"x-envoy-")
_REMEMBERED_NAMES = 1024
_passes: dict[bytes, bool] = {}


def client_headers(upstream: Headers) -> Headers:
    """The headers to pass on, in their order. Names come and go in lower case."""
    return [header for header in upstream if _is_passed(header[0])]


def _is_passed(name: bytes) -> bool:
    passed = _passes.get(name)
    if passed is None:
        passed = name not in _KEPT_BACK and not name.startswith(_KEPT_BACK_PREFIXES)
        if len(_passes) < _REMEMBERED_NAMES:
            _passes[name] = passed
    return passed
