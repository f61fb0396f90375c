"""What clients say, in the journal."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gateway.journal.feedback import Entered, FeedbackLog
from gateway.journal.sessions import reading
from gateway.journal.tables import feedback
from gateway.journal.writer import Journal
from tests.gateway.telemetry.samples import charged, finished


async def rows(journal: Journal) -> list[tuple[object, ...]]:
    async with reading(journal.database.engine) as connection:
        return [tuple(row) for row in await connection.execute(select(feedback))]


async def test_the_latest_word_is_kept(either_journal: Journal) -> None:
    either_journal.write([charged(), finished()])
    await either_journal.flush()
    log = FeedbackLog(either_journal.database.engine, now=lambda: 7.0)
    assert await log.enter("req_1", "researcher", 0.25, "meh") == Entered("gpt", None)
    assert await log.enter("req_1", "researcher", 0.5, None) == Entered("gpt", 0.25)
    assert await rows(either_journal) == [("req_1", 7_000_000, "researcher", "gpt", 0.5, None)]


async def test_only_of_ones_own_answers(journal: Journal) -> None:
    failed = finished(request_id="req-2", outcome="upstream_error")
    journal.write([charged(), finished(), failed, charged(charge_id="c2", request_id="req-2", outcome="timeout")])
    await journal.flush()
    log = FeedbackLog(journal.database.engine)
    assert await log.enter("req_1", "somebody", 1.0, None) is None
    assert await log.enter("req-2", "researcher", 1.0, None) is None
    assert await log.enter("req-3", "researcher", 1.0, None) is None
    assert await rows(journal) == []


async def test_it_is_about_the_call_that_answered(journal: Journal) -> None:
    first = charged(outcome="cut", model="small")
    journal.write([first, charged(charge_id="c2", attempt=2, model="large"), finished()])
    await journal.flush()
    assert await FeedbackLog(journal.database.engine).enter("req_1", "researcher", 1.0, None) == Entered("large", None)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_saying_it_again_changes_nothing(journal: Journal, words: list[float]) -> None:
    journal.write([charged(), finished()])
    await journal.flush()
    log = FeedbackLog(journal.database.engine, now=lambda: 1.0)
    for score in words:
        await log.enter("req_1", "researcher", score, None)
    once = await rows(journal)
    assert await log.enter("req_1", "researcher", words[-1], None) == Entered("gpt", words[-1])
    assert await rows(journal) == once
    assert once[0][4] == words[-1]


async def test_an_answer_that_was_replaced_is_not_meant(journal: Journal) -> None:
    log, replaced = FeedbackLog(journal.database.engine), charged(charge_id="c2", attempt=2, outcome="unverified")
    journal.write([charged(model="strong"), replaced._replace(model="weak"), finished()])
    alone = {"request_id": "req-2", "outcome": "unverified"}
    journal.write([charged(charge_id="c3", model="last", **alone), finished(request_id="req-2")])
    await journal.flush()
    assert await log.enter("req_1", "researcher", 1.0, None) == Entered("strong", None)
    assert await log.enter("req-2", "researcher", 1.0, None) == Entered("last", None)
