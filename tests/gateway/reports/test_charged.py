from __future__ import annotations

from typing import Any

from gateway.journal.writer import Journal
from gateway.reports.charged import charged as read
from gateway.reports.focus import Charged
from routing.money import NanoUsd
from tests.gateway.reports.test_spending import DAY_S, EVER, TODAY, journal, write
from tests.gateway.telemetry.samples import charged

__all__ = ["journal"]


async def test_charges_told_apart_by_user_count_what_roll_ups_count(journal: Journal) -> None:
    """A correction is no attempt; what it corrects was one."""
    at: dict[str, Any] = {"window_at_s": TODAY * DAY_S + 5.0, "user": "alice"}
    await write(
        journal,
        charged(charge_id="1", resolution="orphaned", cost_nano_usd=NanoUsd(100), **at),
        charged(charge_id="1.c", resolution="correction", cost_nano_usd=NanoUsd(-60), **at),
        charged(charge_id="2", cost_nano_usd=NanoUsd(7), listed_nano_usd=NanoUsd(9), fee_nano_usd=NanoUsd(3), **at),
    )
    rolled_up = await read(journal.database.engine, EVER)
    by_user = await read(journal.database.engine, EVER, ["user"])
    assert {row.labels for row in by_user} == {(("user", "alice"),)}

    def told(rows: list[Charged]) -> set[tuple[str, int, int, int, int]]:
        return {(row.resolution, row.attempts, row.cost, row.listed, row.fee) for row in rows}

    expected = {("orphaned", 1, 100, 100, 0), ("correction", 0, -60, -60, 0), ("settled", 1, 7, 9, 3)}
    assert told(by_user) == told(rolled_up) == expected
