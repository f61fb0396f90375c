from __future__ import annotations

import sqlite3

import pytest

from gateway.journal.database import JournalError
from gateway.journal.queries import AgentTotal, request_cost, totals
from gateway.journal.writer import Journal
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import charged, finished

AT_S = 1_800_000_000.0


async def test_a_requests_charges_come_in_the_order_of_its_attempts(either_journal: Journal) -> None:
    journal = either_journal
    second = charged(charge_id="a", attempt=2)
    first = charged(charge_id="b", attempt=1, outcome="timeout", purpose="failed")
    journal.write([second, first, charged(charge_id="c", request_id="req-2"), finished()])
    found = await request_cost(journal, "req_1", "researcher")  # and they need no flush before
    assert found is not None
    assert found.request == finished()
    assert found.charges == (first, second)


async def test_a_request_is_shown_to_its_own_agent_and_to_admins(either_journal: Journal) -> None:
    journal = either_journal
    journal.write([finished()])
    assert await request_cost(journal, "req_1", "another") is None
    assert await request_cost(journal, "req_1", None) is not None
    assert await request_cost(journal, "req-2", None) is None


async def test_totals_add_up_and_the_dearest_comes_first(either_journal: Journal) -> None:
    journal = either_journal
    usage = Usage(input_tokens=10, output_tokens=5)
    journal.write(
        [
            charged(charge_id="1", at_s=AT_S, usage=usage, cost_nano_usd=NanoUsd(7)),
            charged(charge_id="2", at_s=AT_S, usage=usage, cost_nano_usd=NanoUsd(3), estimated=True),
            charged(charge_id="3", at_s=AT_S - 1, cost_nano_usd=NanoUsd(1_000)),
            charged(charge_id="4", at_s=AT_S, agent="coder", usage=usage, cost_nano_usd=NanoUsd(11)),
            finished(request_id="1", at_s=AT_S),
            finished(request_id="2", at_s=AT_S, outcome="refused"),
            finished(request_id="3", at_s=AT_S - 1),
            finished(request_id="4", at_s=AT_S, agent="idle", outcome="refused"),
        ]
    )
    assert await totals(journal, AT_S) == [
        AgentTotal("coder", 0, 0, 10, 5, NanoUsd(11), NanoUsd(0)),
        AgentTotal("researcher", 2, 1, 20, 10, NanoUsd(10), NanoUsd(3)),
        AgentTotal("idle", 1, 1, 0, 0, NanoUsd(0), NanoUsd(0)),
    ]
    assert sum(total.requests for total in await totals(journal)) == 4


async def test_an_unreadable_journal_says_so(journal: Journal, other: sqlite3.Connection) -> None:
    other.execute("ALTER TABLE requests RENAME TO gone")
    for question in (request_cost(journal, "req_1", None), totals(journal)):
        with pytest.raises(JournalError, match="cannot be read: no such table"):
            await question


async def test_a_journal_that_cannot_be_written_still_answers(journal: Journal, other: sqlite3.Connection) -> None:
    journal.write([finished()])
    await journal.flush()
    other.execute("ALTER TABLE contents RENAME TO gone")
    journal.write([finished(request_id="req-2", content=(b"", b""))])
    assert [total.requests for total in await totals(journal)] == [1]
    other.execute("ALTER TABLE gone RENAME TO contents")
    assert [total.requests for total in await totals(journal)] == [2]
