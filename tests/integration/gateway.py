"""A gateway under test: how it is configured, and how a test looks at its books."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from gateway.app import App
from gateway.simulator.models import fee_table, price_table

AGENT_KEYS = {"TESTER_KEY": "fb-testerkey-0123456789abcdef", "OTHER_KEY": "fb-otherkey-0123456789abcdef"}
ENVIRONMENT = {
    **AGENT_KEYS,
    "ADMIN_KEY": "admin-key-for-tests-0123456789",
    "VIEWER_KEY": "viewer-key-for-tests-0123456789",
}
TESTER_KEY = AGENT_KEYS["TESTER_KEY"]
OTHER_KEY = AGENT_KEYS["OTHER_KEY"]


ONE_ATTEMPT: dict[str, Any] = {
    "retries": {"max": 0},
    "breaker": {"consecutive_failures": 1_000_000_000, "min_requests": 1_000_000_000, "park_max_s": 0},
}
"""For tests of what becomes of one attempt: none is repeated, and providers are called however often they failed."""


def configuration(base_url: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """The simulator's models at `base_url`, two agents and their keys. `changes` replace whole sections.

    `faulty-NAME` is `sim-small` with the simulator's fault NAME.
    """
    fees = fee_table()
    models: dict[str, dict[str, Any]] = {
        name: {"provider": "sim", "price": _price(rates), "tariff": fees.get(name, {})}
        for name, rates in price_table().items()
    }
    models |= {
        f"faulty-{fault}": {"provider": "sim", "model": f"sim-small+{fault}", "price": models["sim-small"]["price"]}
        for fault in changes.pop("faults", ())
    }
    written: dict[str, Any] = {
        "server": {"drain_s": 5},
        **ONE_ATTEMPT,
        "storage": {"dir": str(folder / "state"), "flush_interval_s": 0.01},
        "providers": {"sim": {"base_url": base_url}},
        "models": models,
        "teams": {"quality": {"org": "acme"}, "others": {"org": "elsewhere"}},
        "orgs": {"acme": {}, "elsewhere": {}},
        "agents": {"tester": {"team": "quality", "trust": ["value"]}, "other": {"team": "others"}},
        "keys": {
            "tester": {"agent": "tester", "key": "${TESTER_KEY}"},
            "other": {"agent": "other", "key": "${OTHER_KEY}"},
        },
    }
    return {**written, **changes}


def _price(rates: list[dict[str, str | int]]) -> dict[str, Any]:
    def of(rate: dict[str, str | int]) -> dict[str, Any]:
        written = {name: rate[name] for name in ("cache_write", "cache_write_1h") if name in rate}
        return {"input": rate["input"], "cache_read": rate["cached_input"], "output": rate["output"], **written}

    tiers = [{"above_input_tokens": rate["above_input_tokens"], **of(rate)} for rate in rates[1:]]
    return {**of(rates[0]), **({"context_tiers": tiers} if tiers else {})}


class GatewayUnderTest:
    """A running gateway."""

    def __init__(self, app: App, file: Path) -> None:
        self.app = app
        self.file = file
        self.url = app.url
        self._stopped = False

    def sdk(self, key: str = TESTER_KEY, **options: Any) -> AsyncOpenAI:
        """The OpenAI SDK pointed here, without retries of its own."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, **options})

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table of the journal, after everything recorded so far has been written."""
        await self.app.flush()
        return self.rows_on_disk(table)

    async def eventually(self, table: str, count: int) -> list[dict[str, Any]]:
        """The rows, once there are `count` of them: for what ends after the client has gone."""
        while len(rows := await self.rows(table)) < count:
            await asyncio.sleep(0)
        return rows

    def rows_on_disk(self, table: str) -> list[dict[str, Any]]:
        """The rows that are there now, read by another connection, also after the gateway has stopped."""
        database = sqlite3.connect(next((self.file.parent / "state").glob("journal.db")))
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY rowid")]
        finally:
            database.close()

    async def stop(self) -> None:
        """Drain and stop."""
        if not self._stopped:
            self._stopped = True
            await self.app.stop()
