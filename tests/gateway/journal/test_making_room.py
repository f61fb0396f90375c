"""What goes when its time has ended, and what goes before that because all is too large."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.config.snapshot import ResponseSettings
from gateway.journal.conversations import ConversationLog
from gateway.journal.keeping import KeepingWriter
from gateway.journal.kept import Keep
from gateway.journal.making_room import Made, make_room
from gateway.journal.responses import ResponseLog
from gateway.journal.writer import Journal
from tests.gateway.journal.test_conversations import conversation, items
from tests.gateway.journal.test_responses import NOW_S, row, write

LIMITS = ResponseSettings()
SIZE = row().bytes


async def no_pause(_: float) -> None:
    pass


@pytest.fixture
async def writer(either_journal: Journal) -> AsyncIterator[KeepingWriter]:
    made = KeepingWriter(either_journal.database.engine)
    yield made
    await made.close()


async def left(journal: Journal, names: list[str], now_s: float = NOW_S) -> list[str]:
    log = ResponseLog(journal.database.engine)
    return [name for name in names if await log.get("acme", name, now_s) is not None]


async def test_whose_time_has_ended_goes(either_journal: Journal, writer: KeepingWriter) -> None:
    names = [f"resp_{n:03}" for n in range(150)]
    for number, name in enumerate(names):
        writer.put(Keep(row(name, expires_at_s=NOW_S + number)))
    await writer.settle(names[-1], 60)
    conversations = ConversationLog(either_journal.database.engine)
    await conversations.create(conversation(expires_at_s=NOW_S))
    await conversations.append(items("a", expires_at_s=NOW_S))
    engine = either_journal.database.engine
    assert await make_room(engine, LIMITS, NOW_S + 119, no_pause) == Made(121, 0)
    assert await left(either_journal, names, 0.0) == names[120:]
    assert await conversations.item("conv_1", "a") is None
    assert await make_room(engine, LIMITS, NOW_S + 119, no_pause) == Made()


async def test_the_next_go_first_when_all_is_too_large(either_journal: Journal, writer: KeepingWriter) -> None:
    names = [f"resp_{n}" for n in range(6)]
    await write(writer, *[Keep(row(name, expires_at_s=NOW_S + 10 - n)) for n, name in enumerate(names)])
    conversations = ConversationLog(either_journal.database.engine)
    await conversations.create(conversation())
    await conversations.append(items("a", expires_at_s=NOW_S + 8.5))  # 10 bytes, before resp_1 and after resp_2
    engine = either_journal.database.engine
    assert await make_room(engine, ResponseSettings(max_bytes=6 * SIZE + 10), NOW_S, no_pause) == Made()
    assert await make_room(engine, ResponseSettings(max_bytes=4 * SIZE + 10), NOW_S, no_pause) == Made(0, 2)
    assert await left(either_journal, names) == names[:4]
    assert await make_room(engine, ResponseSettings(max_bytes=2 * SIZE - 1), NOW_S, no_pause) == Made(0, 4)
    assert await left(either_journal, names) == names[:1]
    assert await conversations.item("conv_1", "a") is None


async def test_nothing_at_all_is_little_enough(journal: Journal) -> None:
    writer = KeepingWriter(journal.database.engine)
    await write(writer, Keep(row()))
    await writer.close()
    assert await make_room(journal.database.engine, ResponseSettings(max_bytes=1), NOW_S, no_pause) == Made(0, 1)
