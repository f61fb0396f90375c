from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from gateway.journal.alerts import AlertLog, Watched
from gateway.journal.conversations import ConversationLog
from gateway.journal.forgetting import PREFIX, Asked, forget
from gateway.journal.keeping import KeepingWriter
from gateway.journal.kept import Keep
from gateway.journal.writer import Journal
from gateway.ledger.budgets import NO_LIMITS
from gateway.ledger.operations import Run
from gateway.telemetry.events import RunChanged
from tests.gateway.journal.test_conversations import conversation, items
from tests.gateway.journal.test_responses import row, write
from tests.gateway.telemetry.samples import charged, finished

NOW_S = 1_800_000_000.0
EVER = Asked(("alice@x.org",), float(2**40), NOW_S)


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
    found = await forget(either_journal.database.engine, EVER._replace(dry_run=True))
    assert (found.requests, found.charges) == (2, 2)
    assert found.pseudonym.startswith(PREFIX)
    after = await table(either_journal, "SELECT * FROM requests") + await table(either_journal, "SELECT * FROM charges")
    assert after == before


async def test_what_an_open_window_counts_waits(journal: Journal) -> None:
    await fill(journal)
    journal.write([charged(charge_id="late", at_s=NOW_S + 50, window_at_s=NOW_S + 50, user="alice@x.org")])
    await journal.flush()
    found = await forget(journal.database.engine, EVER._replace(kept_from_s=NOW_S + 10))
    assert (found.charges, found.left) == (2, 2)
    assert await table(journal, "SELECT charge_id FROM charges WHERE end_user = 'alice@x.org'") == [("late",)]
    assert (await forget(journal.database.engine, EVER)).charges == 1


async def test_nobody_is_forgotten_twice(journal: Journal) -> None:
    await fill(journal)
    await forget(journal.database.engine, EVER)
    again = await forget(journal.database.engine, EVER)
    assert (again.requests, again.charges, again.sessions, again.runs, again.left) == (0, 0, 0, 0, 0)


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
