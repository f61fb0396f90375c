"""Conversations by hand: made, looked at, added to, deleted; of one's own organisation alone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidField, NotFound
from gateway.identity.keys import Principal
from gateway.responses.conversations import MAX_NEW_ITEMS, Conversations
from gateway.responses.items import Slice
from tests.gateway.responses.world import ALICE, BOB, EVE, NOW_S, World, ids, raw, said


def shown(found: dict[str, Any]) -> Any:
    return json.loads(msgspec.json.encode(found))


async def test_one_is_made_and_shown(world: World) -> None:
    conversations = Conversations(world.store)
    made = shown(await conversations.create(ALICE, "alice", {"topic": "tides"}, [said("a")]))
    assert made.pop("id").startswith("conv_")
    assert made == {"object": "conversation", "created_at": int(NOW_S), "metadata": {"topic": "tides"}}


async def test_its_metadata_is_replaced(world: World) -> None:
    conversations = Conversations(world.store)
    made = await conversations.create(ALICE, None, {"a": "b"}, [])
    changed = shown(await conversations.update(BOB, made["id"], {"c": "d"}))
    assert changed["metadata"] == {"c": "d"}
    assert shown(await conversations.show(ALICE, made["id"])) == changed


async def test_items_are_added_listed_and_deleted(world: World) -> None:
    conversations = Conversations(world.store)
    name = (await conversations.create(ALICE, None, {}, [said("a")]))["id"]
    (added,) = await conversations.add(ALICE, name, None, [raw({"role": "user", "content": "hi"})])
    (its_id,) = ids([added])
    items, more = await conversations.items(ALICE, name, Slice())
    assert (ids(items), more) == ([its_id, "msg_in_a"], False)
    assert await conversations.items(ALICE, name, Slice(1, ascending=True)) == ([items[1]], True)
    assert bytes(await conversations.item(ALICE, name, its_id)) == bytes(added)
    await conversations.delete_item(ALICE, name, its_id)
    with pytest.raises(NotFound):
        await conversations.item(ALICE, name, its_id)
    with pytest.raises(NotFound):
        await conversations.delete_item(ALICE, name, its_id)
    with pytest.raises(InvalidField):
        await conversations.items(ALICE, name, Slice(after=its_id))


async def test_what_is_added_counts_no_fewer_tokens_than_it_can_have(small: World) -> None:
    conversations = Conversations(small.store)
    name = (await conversations.create(ALICE, None, {}, [said("a")]))["id"]
    await conversations.add(ALICE, name, None, [said("b")])
    recalled = await small.store.recall(ALICE, None, name)
    assert recalled.input_tokens == sum(len(bytes(item)) for item in recalled.items) > 0


Ask = Callable[[Conversations, Principal, str], Awaitable[Any]]
ASKED: dict[str, Ask] = {
    "show": lambda of, who, name: of.show(who, name),
    "update": lambda of, who, name: of.update(who, name, {}),
    "delete": lambda of, who, name: of.delete(who, name),
    "add": lambda of, who, name: of.add(who, name, None, [said("b")]),
    "items": lambda of, who, name: of.items(who, name, Slice()),
    "item": lambda of, who, name: of.item(who, name, "msg_in_a"),
    "delete_item": lambda of, who, name: of.delete_item(who, name, "msg_in_a"),
}


@pytest.mark.parametrize("what", ASKED)
async def test_nobody_elses(small: World, what: str) -> None:
    conversations = Conversations(small.store)
    name = (await conversations.create(ALICE, None, {}, [said("a")]))["id"]
    for who, which in ((EVE, name), (ALICE, "conv_1"), (ALICE, "a b")):
        with pytest.raises(NotFound):
            await ASKED[what](conversations, who, which)
    small.now_s += small.store.settings.ttl_s
    with pytest.raises(NotFound):
        await ASKED[what](conversations, ALICE, name)
    small.now_s = NOW_S
    await ASKED[what](conversations, BOB, name)


async def test_a_deleted_one_is_gone(small: World) -> None:
    conversations = Conversations(small.store)
    name = (await conversations.create(ALICE, None, {}, [said("a")]))["id"]
    await conversations.delete(ALICE, name)
    with pytest.raises(NotFound):
        await conversations.delete(ALICE, name)


async def test_items_have_to_be_some_and_few(small: World) -> None:
    conversations = Conversations(small.store)
    many = [said(str(number)) for number in range(MAX_NEW_ITEMS + 1)]
    for items in (many, [raw(5)]):
        with pytest.raises(InvalidField):
            await conversations.create(ALICE, None, {}, items)
    assert (await conversations.create(ALICE, None, {}, many[:-1]))["object"] == "conversation"


async def test_where_nothing_is_kept(small: World) -> None:
    small.set(enabled=False)
    with pytest.raises(NotFound):
        await Conversations(small.store).create(ALICE, None, {}, [])
