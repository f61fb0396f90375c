"""What waits for a slow client: in order, bounded, and never lost while it is there."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import FareboxError
from gateway.exchange.outbox import ClientTooSlow, Outbox
from gateway.reply import Headers
from tests.gateway.admission.world import Client, turns


class Reader(Client):
    """A client that reads when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = asyncio.Event()
        self.reads.set()
        self.got: list[bytes] = []

    @property
    def blocked(self) -> bool:  # type: ignore[override]  # a constant there
        return not self.reads.is_set()

    async def start(self, status: int, headers: Headers) -> None:
        pass

    async def send(self, chunk: bytes) -> None:
        await self.reads.wait()
        self.got.append(chunk)

    async def error(self, error: FareboxError, request_id: str) -> None:
        pass


async def test_a_client_that_keeps_up_gets_each_piece_at_once() -> None:
    reader = Reader()
    outbox = Outbox(reader)
    await outbox.put(b"a")
    await outbox.put(b"b")
    assert reader.got == [b"a", b"b"]
    await outbox.sent()


async def test_what_waits_comes_in_order_and_before_what_is_new() -> None:
    reader = Reader()
    outbox = Outbox(reader)
    await outbox.put(b"a")
    reader.reads.clear()
    await outbox.put(b"b")
    await turns(2)
    await outbox.put(b"c")
    reader.reads.set()
    await outbox.put(b"d")  # the client reads again, but b and c are not out yet
    await outbox.sent()
    await outbox.put(b"e")
    assert b"".join(reader.got) == b"abcde"


async def test_a_client_too_far_behind_is_given_up() -> None:
    reader = Reader()
    reader.reads.clear()
    outbox = Outbox(reader, max_bytes=10)
    await outbox.put(b"12345")
    await outbox.put(b"67890")
    with pytest.raises(ClientTooSlow):
        await outbox.put(b"!")
    outbox.drop()


async def test_what_was_sent_makes_room() -> None:
    reader = Reader()
    reader.reads.clear()
    outbox = Outbox(reader, max_bytes=10)
    for _ in range(3):
        await outbox.put(b"12345")
        await outbox.put(b"67890")
        reader.reads.set()
        await outbox.sent()
        reader.reads.clear()
    assert b"".join(reader.got) == b"1234567890" * 3
