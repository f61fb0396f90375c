"""What is recalled is what was said, whoever keeps it where; and nobody else's."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.errors import BadRequest, FareboxError, InvalidField, NotFound
from gateway.journal.database import Database
from gateway.responses.conversations import Conversations
from gateway.responses.store import NOTHING_BEFORE, Recalled
from tests.gateway.responses.world import ALICE, BOB, EVE, NOW_S, World, answer, ids, raw, said


async def refused(world: World, name: str | None, conversation: str | None = None) -> FareboxError:
    with pytest.raises(FareboxError) as raised:
        await world.store.recall(ALICE, name, conversation)
    return raised.value


async def chain(world: World, *names: str) -> None:
    """Each follows up on the one before."""
    recalled = NOTHING_BEFORE
    for name in names:
        await world.keep(name, recalled)
        recalled = await world.store.recall(ALICE, name)


async def test_a_request_that_follows_up_on_nothing(world: World) -> None:
    assert await world.store.recall(ALICE, None) == NOTHING_BEFORE


async def test_a_chain_is_recalled_whole_and_in_order(world: World) -> None:
    await chain(world, "a", "b", "c")
    recalled = await world.store.recall(BOB, "c")  # of the same organisation
    assert ids(recalled.items) == [f"msg_{way}_{name}" for name in "abc" for way in ("in", "out")]
    assert (recalled.input_tokens, recalled.previous_id, recalled.chain) == (12, "c", ("c", "b", "a"))
    assert ids((await world.store.recall(ALICE, "b")).items) == ids(recalled.items)[:4]


async def test_who_holds_it_is_told(world: World) -> None:
    await world.keep("a", deployment_id="openai/gpt", native=True)
    recalled = await world.store.recall(ALICE, "a")
    assert (recalled.deployment_id, recalled.native) == ("openai/gpt", True)


async def test_what_is_on_its_way_to_the_disk_is_recalled_too(either: Database, world: World) -> None:
    await chain(world, "a", "b")
    async with either.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE responses RENAME TO away"))
    keeping = asyncio.gather(world.keep("c", await recalled_of("b")), world.keep("d", await recalled_of("c")))
    await asyncio.sleep(0)
    assert (await world.store.find(ALICE, "d")).previous_id == "c"
    with pytest.raises(NotFound):
        await world.store.recall(EVE, "d")
    async with either.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO responses"))
    recalled = await world.store.recall(ALICE, "d")
    assert ids(recalled.items)[::2] == [f"msg_in_{name}" for name in "abcd"]
    await keeping
    assert await world.store.recall(ALICE, "d") == recalled


async def recalled_of(name: str) -> Recalled:
    return NOTHING_BEFORE._replace(previous_id=name)


async def test_nobody_elses_and_no_unknown_one(world: World) -> None:
    await world.keep("a")
    with pytest.raises(NotFound) as raised:
        await world.store.recall(EVE, "a")
    theirs = raised.value
    mine = await refused(world, "b")
    assert theirs.message.replace("`a`", "`b`") == mine.message  # not even that there is one is told
    assert (mine.status, mine.code, mine.param) == (404, "not_found", "previous_response_id")
    for name in ("", "x" * 257, "a\0b", "ü", "a b"):
        assert (await refused(world, name)).status == 404


async def test_one_whose_time_has_ended(world: World) -> None:
    await world.keep("a")
    world.now_s += world.store.settings.ttl_s
    assert (await refused(world, "a")).status == 404


async def test_a_chain_with_a_gap_is_told_as_one(world: World) -> None:
    await chain(world, "a", "b", "c")
    await world.store.delete(ALICE, "a")
    error = await refused(world, "c")
    assert (error.status, error.param) == (404, "previous_response_id")
    assert "`a`, is not kept any more" in error.message


async def test_following_up_prolongs_the_time_of_all(world: World) -> None:
    ttl_s = world.store.settings.ttl_s
    await chain(world, "a", "b")
    world.now_s += ttl_s * 0.9
    await world.keep("c", await world.store.recall(ALICE, "b"))
    world.now_s += ttl_s * 0.9
    assert len((await world.store.recall(ALICE, "c")).items) == 6


async def test_chains_have_a_length(world: World) -> None:
    world.set(max_chain=3)
    await chain(world, "a", "b", "c")
    await world.keep("d", await world.store.recall(ALICE, "c"))
    error = await refused(world, "d")
    assert isinstance(error, BadRequest)
    assert (error.status, error.param) == (400, "previous_response_id")
    assert "responses.max_chain" in error.message


async def test_and_a_size(world: World) -> None:
    await chain(world, "a", "b")
    world.bound(2 * (len(answer("a")) + len(bytes(said("a"))) + 2))
    await world.store.recall(ALICE, "b")
    world.bound(world.snapshot.server.max_body_bytes - 1)
    error = await refused(world, "b")
    assert (error.status, error.param) == (400, "previous_response_id")
    assert "server.max_body_bytes" in error.message


async def test_what_is_too_large_is_not_kept(small: World) -> None:
    small.set(max_response_bytes=len(answer("a")) + len(bytes(said("a"))) + 2)
    await small.keep("a")
    await small.keep("b", answer={"more": ""})
    await small.store.recall(ALICE, "a")
    assert (await refused(small, "b")).status == 404


async def test_what_is_not_to_be_kept_is_not(small: World) -> None:
    await small.keep("a", store=False)
    await small.keep("b", body=b"no response")
    await small.keep("c", body=answer("not an id"))
    small.set(enabled=False)
    await small.keep("d")
    small.set(enabled=True)
    for name in ("a", "b", "c", "d"):
        assert (await refused(small, name)).status == 404
    await small.keep("a")
    small.set(enabled=False)
    error = await refused(small, "a")
    assert (error.status, error.param) == (404, "previous_response_id")
    assert "keeps no responses" in error.message
    assert "keeps no conversations" in (await refused(small, None, "conv_1")).message


async def test_one_without_usage_counts_its_bytes(small: World) -> None:
    """No text has more tokens than bytes: what follows up on it is never bounded too low."""
    await small.keep("a", answer={"usage": None})
    recalled = await small.store.recall(ALICE, "a")
    assert recalled.input_tokens >= sum(len(bytes(item)) for item in recalled.items)
    await small.keep("b", recalled, answer={"usage": None})
    after = await small.store.recall(ALICE, "b")
    assert after.input_tokens >= sum(len(bytes(item)) for item in after.items)


async def test_one_that_is_being_made_is_waited_for(small: World) -> None:
    await small.keep("a", answer={"status": "in_progress"})
    error = await refused(small, "a")
    assert isinstance(error, InvalidField)
    assert "still being made" in error.message


async def test_the_whole_is_bounded(small: World) -> None:
    await small.keep("a")
    size = small.store.writer.written_bytes
    small.set(max_bytes=3 * size)
    for name in "bcdefgh":
        small.now_s += 1
        await small.keep(name)
        if small.store._tidying is not None:
            await asyncio.wait((small.store._tidying,))
    assert [name for name in "abcdefgh" if await small.store.responses.get("acme", name, NOW_S)] == ["f", "g", "h"]


# --- conversations ---


async def test_a_conversation_goes_on_with_what_is_said_in_it(world: World) -> None:
    made = await Conversations(world.store).create(ALICE, None, {}, [said("0")])
    name = made["id"]
    for number in range(1, 3):
        recalled = await world.store.recall(ALICE, None, name)
        await world.keep(str(number), recalled)
    recalled = await world.store.recall(BOB, None, name)
    assert ids(recalled.items) == ["msg_in_0", "msg_in_1", "msg_out_1", "msg_in_2", "msg_out_2"]
    assert (recalled.input_tokens, recalled.conversation, recalled.position) == (12, name, 5)
    assert recalled.chain == ()
    with pytest.raises(NotFound):
        await world.store.recall(EVE, None, name)


async def test_a_response_of_a_conversation_is_followed_up_on_with_what_came_before_it(world: World) -> None:
    name = (await Conversations(world.store).create(ALICE, None, {}, [said("0")]))["id"]
    await world.keep("1", await world.store.recall(ALICE, None, name))
    await world.keep("2", await world.store.recall(ALICE, None, name))
    recalled = await world.store.recall(ALICE, "1")
    assert ids(recalled.items) == ["msg_in_0", "msg_in_1", "msg_out_1"]
    await Conversations(world.store).delete(ALICE, name)
    error = await refused(world, "1")
    assert (error.status, error.param) == (404, "previous_response_id")
    assert name in error.message


async def test_an_answer_that_is_not_kept_is_part_of_its_conversation(small: World) -> None:
    name = (await Conversations(small.store).create(ALICE, None, {}, []))["id"]
    await small.keep("1", await small.store.recall(ALICE, None, name), store=False)
    assert len((await small.store.recall(ALICE, None, name)).items) == 2
    assert (await refused(small, "1")).status == 404


async def test_one_that_has_failed_is_not(small: World) -> None:
    name = (await Conversations(small.store).create(ALICE, None, {}, []))["id"]
    await small.keep("1", await small.store.recall(ALICE, None, name), answer={"status": "failed"})
    assert (await small.store.recall(ALICE, None, name)).items == []


async def test_an_item_without_an_id_is_given_one(small: World) -> None:
    name = (await Conversations(small.store).create(ALICE, None, {}, []))["id"]
    recalled = await small.store.recall(ALICE, None, name)
    await small.keep("1", recalled, input=[raw({"type": "message"}), raw({"type": "message"})])
    assert len((await small.store.recall(ALICE, None, name)).items) == 3


async def test_a_conversation_has_a_size(small: World) -> None:
    name = (await Conversations(small.store).create(ALICE, None, {}, [said("0")]))["id"]
    small.bound(len(bytes(said("0"))) - 1)
    error = await refused(small, None, name)
    assert (error.status, error.param) == (400, "conversation")


async def test_a_database_that_cannot_be_read(either: Database) -> None:
    async with either.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE responses RENAME TO away"))
    error = await refused(World(either.engine), "a")
    assert (error.status, error.metadata["reason"]) == (503, "journal")


async def test_both_at_once(small: World) -> None:
    error = await refused(small, "a", "conv_1")
    assert (error.status, error.param) == (400, "conversation")


async def test_items_that_wait_to_be_written_are_waited_for(world: World) -> None:
    name = (await Conversations(world.store).create(ALICE, None, {}, []))["id"]
    recalled = await world.store.recall(ALICE, None, name)
    keeping = asyncio.ensure_future(world.keep("1", recalled))
    await asyncio.sleep(0)
    assert len((await world.store.recall(ALICE, None, name)).items) == 2
    await keeping


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_followed_up_on(small: World, data: st.DataObject) -> None:
    """A tree of responses: recalling one gives what was said on the way to it, and nothing else."""
    prefix = f"n{len(small.store.writer._rows)}.{id(data)}"
    paths: list[list[str]] = []
    for number in range(data.draw(st.integers(1, 8), label="responses")):
        name = f"{prefix}.{number}"
        before = data.draw(st.integers(-1, number - 1), label="follows")
        recalled = NOTHING_BEFORE if before < 0 else await small.store.recall(ALICE, paths[before][-1])
        await small.keep(name, recalled)
        paths.append([*(paths[before] if before >= 0 else ()), name])
    for path in paths:
        recalled = await small.store.recall(ALICE, path[-1])
        assert ids(recalled.items) == [f"msg_{way}_{name}" for name in path for way in ("in", "out")]
