"""What an answer's headers say about the connection: where the body ends, how long the server keeps it open."""

from __future__ import annotations

import re

from gateway.upstream.deadline import NEVER

_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*(\d{1,9})", re.IGNORECASE)


def ends_with_connection(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the body has no other end than the connection's (RFC 9112, 6.3). Names are lower-case."""
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if codings:
        return codings[-1].rpartition(b",")[2].strip().lower() != b"chunked"
    return all(name != b"content-length" for name, _ in headers)


def keepalive_hint_s(headers: list[tuple[bytes, bytes]]) -> float:
    """How long the server's `Keep-Alive: timeout=N` lets the connection idle, less a margin; else for ever."""
    for name, value in headers:
        if name == b"keep-alive":
            match = _TIMEOUT.search(value)
            if match is not None:
                timeout_s = int(match[1])
                return timeout_s - min(1.0, timeout_s / 2)
    return NEVER
