"""Conversations on the disk: items one behind the other, found by their org alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.journal.conversations import ConversationLog, ConversationRow, Page
from gateway.journal.keeping import KeepingWriter
from gateway.journal.kept import Append, Keep
from gateway.journal.writer import Journal

NOW_S = 1_800_000_000.0


def conversation(name: str = "conv_1", **changes: Any) -> ConversationRow:
    row = ConversationRow(
        name, "acme", "quality", "tester", "fb-12345678", None, NOW_S, NOW_S + 100, 0, 0, 0, '{"a":"b"}'
    )
    return row._replace(**changes)


def items(*names: str, **changes: Any) -> Append:
    found = tuple((name, b'{"id":"%s"}' % name.encode()) for name in names)
    return Append("conv_1", "acme", "alice", found, None, 3, NOW_S + 200)._replace(**changes)


@pytest.fixture
async def log(either_journal: Journal) -> ConversationLog:
    made = ConversationLog(either_journal.database.engine)
    await made.create(conversation())
    return made


async def test_one_is_its_orgs_until_its_time_ends(log: ConversationLog) -> None:
    assert await log.get("acme", "conv_1", NOW_S) == conversation()
    assert await log.get("elsewhere", "conv_1", NOW_S) is None
    assert await log.get("acme", "conv_1", NOW_S + 100) is None
    assert await log.set_metadata("elsewhere", "conv_1", "{}", NOW_S) is None
    assert not await log.delete("elsewhere", "conv_1")
    assert not await log.append(items("a", org="elsewhere"))
    assert await log.set_metadata("acme", "conv_1", "{}", NOW_S) == conversation(metadata="{}")


async def test_items_stand_in_their_order(log: ConversationLog) -> None:
    assert await log.append(items("a", "b"))
    assert await log.append(items("c", tokens=40))
    assert await log.append(items("d", user="bob"))
    row = await log.get("acme", "conv_1", NOW_S + 150)  # its time was prolonged
    assert row is not None
    assert (row.items, row.bytes, row.tokens, row.user) == (4, 4 * 10, 43, "alice")
    assert await log.all_items("conv_1", 3) == [(n, b'{"id":"%s"}' % b"abc"[n : n + 1]) for n in range(3)]


async def test_pages(log: ConversationLog) -> None:
    await log.append(items("a", "b", "c"))

    async def page(**options: Any) -> tuple[list[str], bool] | None:
        found = await log.page("conv_1", **{"limit": 2, "ascending": True, "after": None, **options})
        return None if found is None else ([item.decode()[7] for item in found.items], found.more)

    assert await page() == (["a", "b"], True)
    assert await page(after="b") == (["c"], False)
    assert await page(ascending=False) == (["c", "b"], True)
    assert await page(ascending=False, after="b", limit=1) == (["a"], False)
    assert await page(limit=3) == (["a", "b", "c"], False)
    assert await page(after="z") is None
    assert await log.page("conv_2", limit=2, ascending=True, after=None) == Page([], more=False)


async def test_an_item_goes_and_leaves_the_others_where_they_are(log: ConversationLog) -> None:
    await log.append(items("a", "b"))
    assert await log.item("conv_1", "a") == b'{"id":"a"}'
    assert await log.delete_item("acme", "conv_1", "a")
    assert not await log.delete_item("acme", "conv_1", "a")
    await log.append(items("c"))
    row = await log.get("acme", "conv_1", NOW_S)
    assert row is not None
    assert (row.items, row.bytes) == (3, 20)
    assert [at for at, _ in await log.all_items("conv_1", row.items)] == [1, 2]


async def test_a_conversation_goes_with_its_items(log: ConversationLog) -> None:
    await log.append(items("a"))
    assert await log.delete("acme", "conv_1")
    assert await log.item("conv_1", "a") is None
    assert not await log.append(items("b"))


async def test_an_item_of_the_same_name_comes_once(log: ConversationLog) -> None:
    await log.append(items("a", "b"))
    await log.append(items("b", "c"))
    row = await log.get("acme", "conv_1", NOW_S)
    assert row is not None
    assert [item.decode()[7] for _, item in await log.all_items("conv_1", row.items)] == ["a", "b", "c"]


async def test_two_that_come_at_once_stand_one_behind_the_other(log: ConversationLog) -> None:
    """Two gateways' writers, and one that asks directly."""
    writers = [KeepingWriter(log.engine) for _ in range(2)]
    futures = [
        writer.put(Keep(append=items(f"{number}-{n}", f"{number}+{n}")))
        for n in range(5)
        for number, writer in enumerate(writers)
    ]
    await asyncio.gather(log.append(items("x", "y")), *[future for future in futures if future is not None])
    for writer in writers:
        await writer.close()
    row = await log.get("acme", "conv_1", NOW_S)
    assert row is not None
    assert row.items == 22
    found = [item.decode().split('"')[3] for _, item in await log.all_items("conv_1", 22)]
    assert len(found) == 22
    for first, second in zip(found[::2], found[1::2], strict=True):  # neither has put itself between two of another's
        assert second == {"x": "y"}.get(first, first.replace("-", "+"))


async def test_many_items(log: ConversationLog) -> None:
    names = [f"{n:02}" for n in range(10)]
    await log.append(items(*names))
    assert [at for at, _ in await log.all_items("conv_1", 10)] == list(range(10))
    assert [at for at, _ in await log.all_items("conv_1", 6)] == list(range(6))
