"""Which of a provider's response headers reach the client: all that describe the answer, none that describe the connection,
the provider's account with us, or its own rate limits (the gateway's own go by the same names)."""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]

_KEPT_BACK = frozenset(
    name.encode()
    for name in (
        "connection proxy-connection keep-alive te trailer transfer-encoding upgrade proxy-authenticate content-length "
        "set-cookie server date via alt-svc strict-transport-security x-request-id request-id x-should-retry nel report-to "
        "expect-ct access-control-allow-origin access-control-expose-headers www-authenticate content-security-policy "
        "openai-organization openai-project anthropic-organization-id x-powered-by accept-ranges etag last-modified "
        "cache-control x-accel-buffering vary"
    ).split()
)
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
