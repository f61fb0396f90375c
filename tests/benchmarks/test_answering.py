"""What the benchmarks' clients read of an answer."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.answering import Answer

HEAD = b"HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nTransfer-Encoding: chunked\r\n\r\n"
NAMES = {b"x-request-id": "request_id", b"x-farebox-deployment": "deployment"}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def made(kept_bytes: int = 100, heard: list[bytes] | None = None) -> Answer:
    done = asyncio.get_running_loop().create_future()
    return Answer(done, NAMES, kept_bytes, None if heard is None else heard.append)


async def test_a_stream_is_read_to_its_end() -> None:
    heard: list[bytes] = []
    answer = made(heard=heard)
    answer.data_received(HEAD)
    assert (answer.status, answer.first_byte_s) == (200, None)
    answer.data_received(chunk(b"data: {}\n\n"))
    assert answer.first_byte_s is not None
    assert not answer.done.done()
    answer.data_received(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    assert answer.done.done()
    assert answer.is_streamed_whole
    assert heard == [b"data: {}\n\n", b"data: [DONE]\n\n"]
    assert answer.headers == {"request_id": "r1", "deployment": ""}


async def test_only_the_last_bytes_are_kept() -> None:
    answer = made(kept_bytes=4)
    answer.data_received(HEAD + chunk(b"abc") + chunk(b"def"))
    assert answer.body == b"cdef"


@pytest.mark.parametrize("broken", [HEAD, HEAD + chunk(b"data: {}\n\n"), HEAD + b"no chunk"])
async def test_what_breaks_off_is_over_and_not_whole(broken: bytes) -> None:
    answer = made()
    answer.data_received(broken)
    answer.connection_lost(None)
    assert answer.done.done()
    assert not answer.is_whole


async def test_a_stream_without_its_last_event_is_not_whole() -> None:
    answer = made()
    answer.data_received(HEAD + chunk(b"data: {}\n\n") + b"0\r\n\r\n")
    assert answer.is_whole
    assert not answer.is_streamed_whole
