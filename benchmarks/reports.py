"""What reports cost on a large journal: seconds for the usual one, by agent, team and model over thirty days.

    python -m benchmarks.reports --json
    python -m benchmarks.reports --json --postgres postgresql://user:password@host/empty_database

The journal is written by the gateway's own statements (so the roll-ups are kept while it is), with charges spread over
`--days` days, 50 agents, 6 models and all purposes. Each report is made `--rounds` times on a connection of its own;
the medians are told, and beside them the time of the same sums over the charges themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database, in_one_transaction
from gateway.journal.looking import looking
from gateway.journal.statements import Inserts
from gateway.reports.charged import charged
from gateway.reports.focus import focus_rows
from gateway.reports.periods import DAY_S, Period
from gateway.reports.rollups import compare
from gateway.reports.spending import spending
from gateway.reports.writing import focus_csv
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, PricePoint, Usage

TODAY = 20_778
PER_TRANSACTION = 1_000
MODELS = ("gpt-5", "gpt-5-mini", "gpt-5-nano", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-3-pro")
PURPOSES = ("useful",) * 16 + ("retry", "fallback", "cancelled", "failed")
POINT = PricePoint("genai-prices:openai/gpt-5-mini", 250_000, 2_000_000, *[25_000] * 8)


def charge(number: int, total: int, days: int) -> ChargePosted:
    """One of many: which one decides everything of it."""
    at_s = (TODAY + 1) * DAY_S - 1.0 - (total - number) * days * DAY_S / total
    agent, model = number * 7 % 50, MODELS[number * 11 % 6]
    usage = Usage(1_000 + number % 700, 200 + number % 90, number % 800)
    cost = usage.input_tokens * 250 + usage.output_tokens * 2_000 - usage.cache_read_tokens * 225
    provider = model.partition("-")[0]
    return ChargePosted(
        f"req_{number:026x}.1", f"req_{number:026x}", 1, at_s, "acme", f"team-{agent % 8}", f"agent-{agent}",
        model, f"{provider}/{model}", provider, model, usage, POINT.id, "default", NanoUsd(cost), number % 97 == 0,
        False, "ok", PURPOSES[number * 13 % 20], 200, 812.4, 95.2, f"agent-{agent}/{number // 20}", window_at_s=at_s,
    )  # fmt: skip


async def fill(storage: StorageSettings, count: int, days: int) -> float:
    """Write the journal; CPU microseconds a charge of this process."""
    database = await Database.open(storage)
    inserts = Inserts(database.engine.dialect)
    begun_s = time.process_time()
    async with database.engine.connect() as connection:
        for start in range(0, count, PER_TRANSACTION):
            events = [charge(number, count, days) for number in range(start, min(start + PER_TRANSACTION, count))]
            await in_one_transaction(connection, partial(inserts.execute, events, None))
    await database.close()
    return (time.process_time() - begun_s) / count * 1e6


async def measure(storage: StorageSettings, rounds: int) -> dict[str, Any]:
    """Seconds of each report; the first round warms up."""
    period, found = Period(TODAY - 29, TODAY + 1), {}

    async def usual(engine: Any) -> Any:
        return await spending(engine, ("team", "agent", "model"), period)

    async def by_day(engine: Any) -> Any:
        return await spending(engine, ("day", "model"), period)

    async def by_run(engine: Any) -> Any:
        return await spending(engine, ("run",), Period(TODAY - 6, TODAY + 1))

    async def focus(engine: Any) -> Any:
        return "".join(focus_csv(focus_rows(await charged(engine, period), {POINT.id: [POINT]})))

    async def without_roll_ups(engine: Any) -> Any:
        sums = (
            "SELECT team, agent, model, sum(cost_nano_usd) FROM charges WHERE window_at_us >= :since GROUP BY 1, 2, 3"
        )
        async with engine.connect() as connection:
            return (await connection.execute(text(sums), {"since": period.first * DAY_S * 1_000_000})).all()

    reports = {
        "usual_s": usual,
        "by_day_s": by_day,
        "by_run_7d_s": by_run,
        "focus_s": focus,
        "compare_s": compare,
        "without_roll_ups_s": without_roll_ups,
    }
    for name, report in reports.items():
        spent = []
        for _ in range(rounds + 1):
            async with looking(storage) as engine:
                begun_s = time.perf_counter()
                await report(engine)
                spent.append(time.perf_counter() - begun_s)
        found[name] = round(median(spent[1:]), 3)
    return found


def main() -> None:
    """Measure and print; with --json the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charges", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90, help="over so many days")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", help="an empty database; SQLite in a temporary folder without it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = StorageSettings(dir=Path(folder), journal_url=options.postgres)
        written = asyncio.run(fill(storage, options.charges, options.days))
        found = asyncio.run(measure(storage, options.rounds))
    result = {"database": "postgresql" if options.postgres else "sqlite", "charges": options.charges, **found}
    result["write_cpu_us_per_charge"] = round(written, 1)
    if options.json:
        print(json.dumps({"reports": result}))
        return
    for name, value in result.items():
        print(f"{name:>24}: {value}")


if __name__ == "__main__":
    main()
