from __future__ import annotations

import pytest

from gateway.upstream.deadline import NEVER
from gateway.upstream.framing import ends_with_connection, keepalive_hint_s


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], True),
        ([(b"content-length", b"3")], False),
        ([(b"transfer-encoding", b"chunked")], False),
        ([(b"transfer-encoding", b"gzip, Chunked")], False),
        ([(b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked ")], False),
        ([(b"transfer-encoding", b"gzip")], True),
        ([(b"x", b"content-length")], True),
    ],
)
def test_where_a_body_ends(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert ends_with_connection(headers) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"timeout=60", 59.0),
        (b"max=100, Timeout = 5", 4.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"max=3", NEVER),
        (b"read_timeout=3", NEVER),
        (b"timeout=-1", NEVER),
        (b"", NEVER),
    ],
)
def test_the_servers_hint(value: bytes, expected: float) -> None:
    assert keepalive_hint_s([(b"x", b"timeout=1"), (b"keep-alive", value)]) == expected
