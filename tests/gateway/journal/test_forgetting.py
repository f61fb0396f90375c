from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sqlalchemy import LargeBinary, insert, text

from gateway.config.snapshot import StorageSettings
from gateway.journal.alerts import AlertLog, Watched
from gateway.journal.aliases import expire
from gateway.journal.compacting import compact
from gateway.journal.conversations import ConversationLog
from gateway.journal.database import FILE_NAME
from gateway.journal.forgetting import PREFIX, Asked, forget
from gateway.journal.keeping import KeepingWriter
from gateway.journal.kept import Keep
from gateway.journal.spend import run_spent, spent
from gateway.journal.tables import keys, metadata, reservations
from gateway.journal.writer import Journal
from gateway.ledger.budgets import NO_LIMITS, Budget
from gateway.ledger.operations import Run
from gateway.ledger.scopes import EACH, Scope
from gateway.ledger.windows import Window
from gateway.telemetry.events import Adjusted, RunChanged
from routing.money import NanoUsd
from tests.gateway.journal.test_conversations import conversation, items
from tests.gateway.journal.test_responses import row, write
from tests.gateway.telemetry.samples import charged, finished

NOW_S = 1_800_000_000.0
ALICE = "alice@x.org"
PEOPLE = Budget("people", Scope("user", EACH), NanoUsd(1), Window("total"))
JOBS = Budget("jobs", Scope("run", EACH), NanoUsd(1), Window("year"))
MAILS = Budget("mails", Scope("tag", EACH, "mail"), NanoUsd(1), Window("rolling", length_s=864_000))
ONE = Budget("one", Scope("user", ALICE), NanoUsd(1), Window("month"))
EVER = Asked((ALICE,), NOW_S, (PEOPLE, JOBS, MAILS, ONE))


async def table(journal: Journal, sql: str) -> list[tuple[Any, ...]]:
    async with journal.database.engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(sql))]


async def fill(journal: Journal) -> None:
    alice: dict[str, Any] = {"user": "alice@x.org", "tags": (("mail", "alice@x.org"), ("feature", "x"))}
    run = Run("researcher/alices", ("researcher/alices",), "acme", "researcher", NO_LIMITS, 1.0, 2.0, state="closed")
    open_run = run._replace(id="researcher/going", path=("researcher/going",), state="open", closes_at_s=NOW_S + 60)
    journal.write([
        finished(request_id="req_1", session="s-alice", run="alices", content=(b"q", b"a"), **alice),
        finished(request_id="req_2", session="s-alice", run="alices", user=None),
        finished(request_id="req_3", run="sub", parent_run="alices", user="bob"),
        finished(request_id="req_4", run="going", **alice),
        finished(request_id="req_5", agent="writer", run="other", parent_run="researcher/alices", user="bob"),
        charged(charge_id="1", request_id="req_1", run_path="researcher/alices", **alice),
        charged(charge_id="2", request_id="req_3", run_path="researcher/alices>researcher/sub", user="bob"),
        charged(charge_id="3", request_id="req_4", run_path="researcher/going", **alice),
        RunChanged(run, 1.0),
        RunChanged(open_run, 1.0),
    ])  # fmt: skip
    await journal.flush()
    told = Watched("!alert", "loop|researcher|researcher/alices|repeated_call", "3600@1")
    of_run = Watched("b", "researcher/alices", "total")
    await AlertLog(journal.database).enter({told: (1.0,), of_run: (0.8,)})


async def test_a_person_is_forgotten_and_every_sum_stays(either_journal: Journal) -> None:
    await fill(either_journal)
    sums = "SELECT agent, sum(cost_nano_usd), sum(input_tokens), count(*) FROM charges GROUP BY agent"
    before = await table(either_journal, sums)
    found = await forget(either_journal.database.engine, EVER)
    assert (found.requests, found.charges, found.sessions, found.runs, found.contents) == (2, 2, 1, 1, 1)
    assert found.left == 1  # the open run
    assert await table(either_journal, sums) == before
    everything = [
        str(row)
        for name in ("requests", "charges", "runs", "contents", "alerts")
        for row in await table(either_journal, f"SELECT * FROM {name}")
    ]
    assert not [row for row in everything if "alice" in row]
    assert [row for row in everything if "bob" in row]
    users = {user for (user,) in await table(either_journal, "SELECT end_user FROM charges")}
    assert users == {found.pseudonym, "bob"}
    paths = sorted(path for (path,) in await table(either_journal, "SELECT run_path FROM charges"))
    name = f"researcher/{found.pseudonym}-r1"
    assert paths == sorted([name, f"{name}>researcher/sub", "researcher/going"])
    parents = await table(either_journal, "SELECT parent_run FROM requests WHERE request_id = 'req_5'")
    assert parents == [(name,)]
    told = await table(either_journal, "SELECT value FROM alerts ORDER BY value")
    assert told == [(f"loop|researcher|{name}|repeated_call",), (name,)]
    roots = {root for (root,) in await table(either_journal, "SELECT root_run FROM charges")}
    assert roots == {name, "researcher/going"}


async def test_a_dry_run_changes_nothing(either_journal: Journal) -> None:
    await fill(either_journal)
    before = await table(either_journal, "SELECT * FROM requests") + await table(
        either_journal, "SELECT * FROM charges"
    )
    await forget(either_journal.database.engine, EVER._replace(dry_run=True))
    found = await forget(either_journal.database.engine, EVER._replace(dry_run=True))
    assert (found.requests, found.charges) == (2, 2)
    assert found.pseudonym.startswith(PREFIX)
    after = await table(either_journal, "SELECT * FROM requests") + await table(either_journal, "SELECT * FROM charges")
    assert after == before


async def test_nobody_is_forgotten_twice(journal: Journal) -> None:
    await fill(journal)
    await forget(journal.database.engine, EVER)
    again = await forget(journal.database.engine, EVER)
    assert (again.requests, again.charges, again.sessions, again.runs, again.entries) == (0, 0, 0, 0, 0)


async def test_runs_within_runs_are_forgotten_together(
    either_journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.forgetting._AT_A_TIME", 2)
    path = "researcher/a>writer/b>writer/c"
    run = Run("writer/c", tuple(path.split(">"))[::-1], "acme", "writer", NO_LIMITS, 1.0, 2.0, state="closed")
    user = "alice@x.org"
    either_journal.write([
        finished(request_id="req_1", run="a", user=user),
        finished(request_id="req_2", agent="writer", run="b", parent_run="researcher/a", user=user),
        finished(request_id="req_3", agent="writer", run="c", parent_run="b", user=user),
        finished(request_id="req_4", agent="other", run="d", parent_run="b", user="bob"),
        charged(charge_id="1", request_id="req_3", agent="writer", run_path=path, user=user),
        RunChanged(run, 1.0),
    ])  # fmt: skip
    await either_journal.flush()
    name = (await forget(either_journal.database.engine, EVER)).pseudonym
    found = await table(either_journal, "SELECT run, parent_run FROM requests ORDER BY request_id")
    a, b, c = (f"{name}-r{number}" for number in (1, 2, 3))
    assert found == [(a, None), (b, f"researcher/{a}"), (c, b), ("d", "b")]  # another agent's `b` is another run
    renamed = f"researcher/{a}>writer/{b}>writer/{c}"
    assert await table(either_journal, "SELECT root_run, run_path FROM charges") == [(f"researcher/{a}", renamed)]
    assert await table(either_journal, "SELECT id, path FROM runs") == [(f"writer/{c}", renamed)]


async def test_their_responses_and_conversations_are_deleted(either_journal: Journal) -> None:
    engine = either_journal.database.engine
    conversations, writer = ConversationLog(engine), KeepingWriter(engine)
    for name, user in (("conv_1", None), ("conv_2", "alice@x.org"), ("conv_3", None)):
        await conversations.create(conversation(name, user=user))
        await conversations.append(items("a", conversation=name, user="bob"))
    kept = [
        row("resp_1", user="alice@x.org", conversation="conv_1"),
        row("resp_2", user="bob", conversation="conv_3"),
        row("resp_3", user="alice@x.org"),
    ]
    await write(writer, *map(Keep, kept))
    await writer.close()
    assert (await forget(engine, EVER._replace(dry_run=True))).responses == 4
    assert (await forget(engine, EVER)).responses == 4
    assert await table(either_journal, "SELECT id FROM responses") == [("resp_2",)]
    assert await table(either_journal, "SELECT id FROM conversations") == [("conv_3",)]
    assert await table(either_journal, "SELECT conversation FROM conversation_items") == [("conv_3",)]


async def spread(journal: Journal) -> None:
    """The id wherever a client or an operator may have written it."""
    of_bob = {"user": "bob", "tags": (("owner", ALICE), ("mail", f"mailto:{ALICE}"), ("n", "7"))}
    path = f"researcher/{ALICE}>writer/{ALICE}.1"
    over = Run(f"writer/{ALICE}.2", (f"writer/{ALICE}.2",), "acme", "writer", NO_LIMITS, 1.0, 2.0, state="closed")
    journal.write([
        finished(request_id="b1", agent="writer", session=f"chat:{ALICE}:1", run=f"{ALICE}.1", **of_bob),
        finished(request_id="b2", agent="writer", run=f"{ALICE}.2", parent_run=f"researcher/{ALICE}"),
        charged(charge_id="b1", request_id="b1", agent="writer", run_path=path, **of_bob),
        charged(charge_id="lost", request_id="lost", user=ALICE, run_path="researcher/only-charged"),
        RunChanged(over, 1.0),
        Adjusted("a1", NOW_S, "people", ALICE, NOW_S, 5, f"for {ALICE}, as asked", "admin"),
        Adjusted("a2", NOW_S, "jobs", "researcher/alices", NOW_S, 5, "", "admin"),
        Adjusted("a3", NOW_S, "mails", ALICE, NOW_S, 5, "", "admin"),
    ])  # fmt: skip
    await journal.flush()
    key = {"sha256": b"1", "agent": "writer", "created_at_us": 1, "revision": 1}
    held = {"owner": "g", "at_us": 1, "reserved": "[]"}
    claim, runs = f"b|people|{ALICE}|total", "researcher/alices>researcher/x"
    origin = f'[1,[["{claim}"],["req",1,"acme","{runs}","{ALICE}",[["mail","{ALICE}"]]]]]'
    async with journal.database.engine.begin() as connection:
        await connection.execute(insert(keys).values(id="k1", name=f"run of {ALICE}", run=f"writer/{ALICE}.2", **key))
        await connection.execute(insert(reservations).values(id="r1", state="orphaned", origin=origin, **held))
    await AlertLog(journal.database).claim(f"budget|people|user:{ALICE}", NOW_S, 1.0)


async def everything(journal: Journal) -> list[str]:
    """Every value of every table, bytes too."""
    found = []
    async with journal.database.engine.connect() as connection:
        for name, of in metadata.tables.items():
            for row in await connection.execute(of.select()):
                found += [f"{name}.{column}={value!r}" for column, value in row._mapping.items()]
    assert any(isinstance(column.type, LargeBinary) for column in metadata.tables["contents"].columns)
    return found


async def test_no_trace_of_the_id_is_left(either_journal: Journal) -> None:
    await fill(either_journal)
    await spread(either_journal)
    assert len([each for each in await everything(either_journal) if ALICE in each]) > 20
    found = await forget(either_journal.database.engine, EVER)
    assert [each for each in await everything(either_journal) if "alice" in each] == []
    assert found.entries == 4  # of one both the name and the words
    tags = await table(either_journal, "SELECT tags FROM charges WHERE charge_id = 'b1'")
    assert tags == [(f'{{"owner":"{found.pseudonym}","mail":"mailto:{found.pseudonym}","n":"7"}}',)]
    [(path,)] = await table(either_journal, "SELECT run_path FROM charges WHERE charge_id = 'b1'")
    [(run,)] = await table(either_journal, "SELECT run FROM requests WHERE request_id = 'b1'")
    assert path.endswith(f">writer/{run}")
    again = await forget(either_journal.database.engine, EVER)
    assert (again.runs, again.entries, again.requests) == (0, 0, 0)


async def test_the_file_has_no_trace_either(storage: StorageSettings) -> None:
    journal = await Journal.open(storage)
    await fill(journal)
    await spread(journal)
    await forget(journal.database.engine, EVER)
    file = storage.dir / FILE_NAME
    assert compact(file) == ""  # while a gateway has it open
    for each in storage.dir.iterdir():
        assert b"alice" not in each.read_bytes(), each
    await journal.close()
    assert b"forgotten-" in file.read_bytes()


async def test_counters_are_what_they_were(either_journal: Journal) -> None:
    """By the names that counters have, until their windows end: what is seeded from the journal, and verified by it."""
    await fill(either_journal)
    await spread(either_journal)
    database = either_journal.database
    run = "researcher/alices"
    asked = [
        (PEOPLE, ALICE),
        (JOBS, run),
        (JOBS, "researcher/sub"),
        (MAILS, ALICE),
        (MAILS, f"mailto:{ALICE}"),
        (ONE, ALICE),
    ]

    async def counted(budget: Budget, value: str) -> Any:
        return await spent(database, budget, budget.window.at(NOW_S), NOW_S, value)

    before = [await counted(*each) for each in asked]
    of_run = await run_spent(database, [run])
    assert all(before)
    await forget(database.engine, EVER)
    assert [await counted(*each) for each in asked] == before
    assert await run_spent(database, [run]) == of_run
    either_journal.write([charged(charge_id="later", user=ALICE, cost_nano_usd=NanoUsd(10**6))])
    await either_journal.flush()
    await forget(database.engine, EVER)
    (people, *_) = [await counted(*each) for each in asked]
    assert people == {ALICE: before[0][ALICE] + 10**6}
    renamed = dataclasses.replace(PEOPLE, window=Window("rolling", length_s=3_600_000))  # another counter, made later
    assert await counted(renamed, ALICE) == {}
    async with database.engine.begin() as connection:
        await expire(connection, 2**62)
    kept = [await counted(*each) for each in asked]
    assert [bool(each) for each in kept] == [True, False, True, False, False, False]


async def test_a_short_id_is_not_looked_for_in_other_names(either_journal: Journal) -> None:
    either_journal.write([
        finished(request_id="1", user="7", run="a", session="7", tags=(("n", "7"), ("m", "17"))),
        finished(request_id="2", user="bob", run="7", session="s-7", tags=(("n", "7"),)),
    ])  # fmt: skip
    await either_journal.flush()
    found = await forget(either_journal.database.engine, EVER._replace(users=("7",)))
    rows = await table(either_journal, "SELECT end_user, run, tags FROM requests ORDER BY request_id")
    assert rows == [
        (found.pseudonym, f"{found.pseudonym}-r1", f'{{"n":"{found.pseudonym}","m":"17"}}'),
        ("bob", "7", '{"n":"7"}'),
    ]
