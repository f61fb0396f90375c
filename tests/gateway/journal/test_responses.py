"""Responses on the disk: written in groups, found by their org alone, changed only while they are being made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.journal.keeping import KeepingWriter
from gateway.journal.kept import Keep, ResponseRow
from gateway.journal.responses import ResponseLog
from gateway.journal.writer import Journal

NOW_S = 1_800_000_000.0


def row(name: str = "resp_1", **changes: Any) -> ResponseRow:
    base = ResponseRow(
        name,
        "acme",
        "quality",
        "tester",
        "fb-12345678",
        "alice",
        "req_1",
        NOW_S,
        NOW_S + 100,
        "completed",
        False,
        False,
        "gpt",
        "sim/gpt",
        None,
        None,
        0,
        7,
        5,
        None,
        0.0,
        b'[{"id":"msg_1"}]',
        b'{"id":"resp_1","output":[]}',
    )
    return base._replace(**changes)


def running(name: str = "resp_1", **changes: Any) -> ResponseRow:
    return row(name, status="queued", background=True, owner="me", alive_until_s=NOW_S + 20, **changes)


@pytest.fixture
async def writer(either_journal: Journal) -> AsyncIterator[KeepingWriter]:
    made = KeepingWriter(either_journal.database.engine)
    yield made
    await made.close()


@pytest.fixture
def log(either_journal: Journal) -> ResponseLog:
    return ResponseLog(either_journal.database.engine)


async def write(writer: KeepingWriter, *keeps: Keep) -> None:
    futures = [writer.put(keep) for keep in keeps]
    await asyncio.gather(*[future for future in futures if future is not None])


async def test_what_is_kept_is_found_again(writer: KeepingWriter, log: ResponseLog) -> None:
    kept = row(previous_id="resp_0", user=None, native=True)
    future = writer.put(Keep(kept))
    assert writer.row("resp_1") is kept  # on its way
    assert future is not None
    await future
    assert writer.row("resp_1") is None
    assert await log.get("acme", "resp_1", NOW_S) == kept
    assert writer.written_bytes == kept.bytes


async def test_another_orgs_and_one_whose_time_has_ended_are_not_there(writer: KeepingWriter, log: ResponseLog) -> None:
    await write(writer, Keep(row()))
    assert await log.get("elsewhere", "resp_1", NOW_S) is None
    assert await log.get("acme", "resp_1", NOW_S + 100) is None
    assert await log.get("acme", "resp_2", NOW_S) is None
    assert not await log.delete("elsewhere", "resp_1")
    assert (await log.chain("elsewhere", "resp_1", NOW_S, MOST)).latest is None
    assert await log.delete("acme", "resp_1")
    assert not await log.delete("acme", "resp_1")


async def test_a_name_stays_its_orgs(writer: KeepingWriter, log: ResponseLog) -> None:
    again, theirs = row(body=b'{"id":"resp_1"}'), row(org="elsewhere", body=b"{}")
    await write(writer, Keep(row()), Keep(again), Keep(theirs))
    assert await log.get("acme", "resp_1", NOW_S) == again
    assert await log.get("elsewhere", "resp_1", NOW_S) is None


MOST = (99, 10**6)


async def test_a_chain_goes_back_to_its_beginning_or_to_a_gap(writer: KeepingWriter, log: ResponseLog) -> None:
    chain = [row(f"resp_{n}", previous_id=f"resp_{n - 1}" if n else None) for n in range(6)]
    await write(writer, *map(Keep, chain))
    found = await log.chain("acme", "resp_4", NOW_S, MOST)
    assert found.latest == chain[4]
    assert [link.id for link in found.links] == [f"resp_{n}" for n in (3, 2, 1, 0)]
    assert found.contents == {each.id: (each.input, each.body) for each in chain[:4]}
    await log.delete("acme", "resp_2")
    found = await log.chain("acme", "resp_4", NOW_S, MOST)
    [link] = found.links
    assert (link.id, link.previous_id, link.bytes) == ("resp_3", "resp_2", chain[3].bytes)
    assert found.contents == {"resp_3": (chain[3].input, chain[3].body)}


async def test_what_is_too_long_or_too_large_says_nothing(writer: KeepingWriter, log: ResponseLog) -> None:
    chain = [row(f"resp_{n}", previous_id=f"resp_{n - 1}" if n else None) for n in range(4)]
    await write(writer, *map(Keep, chain))
    size = sum(each.bytes for each in chain)
    for most, said in (((4, size), True), ((3, size), False), ((4, size - 1), False)):
        found = await log.chain("acme", "resp_3", NOW_S, most)
        assert (len(found.links), bool(found.contents)) == (3, said)
    assert len((await log.chain("acme", "resp_3", NOW_S, (2, size))).links) == 2


async def test_a_chain_that_bites_its_tail_ends(writer: KeepingWriter, log: ResponseLog) -> None:
    await write(writer, Keep(row("resp_1", previous_id="resp_2")), Keep(row("resp_2", previous_id="resp_1")))
    assert len((await log.chain("acme", "resp_1", NOW_S, (7, 10**6))).links) == 7


async def test_the_time_of_what_is_followed_up_on_is_prolonged(writer: KeepingWriter, log: ResponseLog) -> None:
    late = row("resp_2", expires_at_s=NOW_S + 500, previous_id="resp_1")
    await write(writer, Keep(row()), Keep(row("resp_9", org="elsewhere")))
    await write(writer, Keep(late, renewed=("resp_1", "resp_9")))
    assert await log.get("acme", "resp_1", NOW_S + 400) is not None
    assert await log.get("elsewhere", "resp_9", NOW_S + 400) is None


async def test_only_one_that_is_being_made_ends_and_only_once(writer: KeepingWriter, log: ResponseLog) -> None:
    begun = running()
    ended = begun._replace(status="completed", body=b"{1}", output_tokens=9)
    await write(writer, Keep(begun), Keep(ended, ended=True))
    await write(writer, Keep(begun._replace(status="failed", body=b"{2}"), ended=True))
    found = await log.get("acme", "resp_1", NOW_S)
    assert found is not None
    assert (found.status, found.body, found.output_tokens, found.owner) == ("completed", b"{1}", 9, None)
    assert not await log.end(found, "cancelled", b"{3}")


async def test_one_that_was_cancelled_elsewhere_stays_so(writer: KeepingWriter, log: ResponseLog) -> None:
    begun = running()
    await write(writer, Keep(begun), Keep(running("resp_2")))
    assert await log.beat("me", ["resp_1"], NOW_S + 50) == {"resp_1", "resp_2"}
    found = await log.get("acme", "resp_1", NOW_S)
    assert found is not None
    assert (found.status, found.alive_until_s) == ("in_progress", NOW_S + 50)
    assert await log.end(begun, "cancelled", b"{c}")
    assert await log.beat("me", [], NOW_S + 60) == {"resp_2"}
    await write(writer, Keep(begun._replace(status="completed", body=b"{1}"), ended=True))
    found = await log.get("acme", "resp_1", NOW_S)
    assert found is not None
    assert (found.status, found.body) == ("cancelled", b"{c}")


async def test_one_that_was_deleted_while_it_was_made_does_not_come_back(
    writer: KeepingWriter, log: ResponseLog
) -> None:
    await write(writer, Keep(running()))
    await log.delete("acme", "resp_1")
    await write(writer, Keep(running()._replace(status="completed"), ended=True))
    assert await log.get("acme", "resp_1", NOW_S) is None


async def test_what_the_database_refuses_stops_nothing_else(writer: KeepingWriter, log: ResponseLog) -> None:
    await write(writer, Keep(row("resp_1")), Keep(row("resp_2", input_tokens=2**70)), Keep(row("resp_3")))
    assert [await log.get("acme", f"resp_{n}", NOW_S) is not None for n in (1, 2, 3)] == [True, False, True]


async def test_a_database_in_trouble_is_waited_for(
    writer: KeepingWriter, log: ResponseLog, either_journal: Journal
) -> None:
    async with either_journal.database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE responses RENAME TO elsewhere"))
    future = writer.put(Keep(row()))
    assert future is not None
    await writer.settle("resp_1", 0.01)
    assert not future.done()
    async with either_journal.database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO responses"))
    await future
    assert await log.get("acme", "resp_1", NOW_S) is not None


async def test_too_much_is_not_taken(writer: KeepingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.keeping.MAX_WAITING_BYTES", row().bytes)
    first = writer.put(Keep(row()))
    assert writer.put(Keep(row("resp_2"))) is None
    assert first is not None
    await first
    assert writer.put(Keep(row("resp_2"))) is not None


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 2**40), st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_bytes(
    writer: KeepingWriter, log: ResponseLog, said: bytes, heard: bytes, tokens: int, native: bool
) -> None:
    kept = row(input=said, body=heard, input_tokens=tokens, native=native)
    await write(writer, Keep(kept))
    assert await log.get("acme", "resp_1", NOW_S) == kept
