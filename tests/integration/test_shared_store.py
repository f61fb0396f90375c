"""Two gateways on one Valkey and one PostgreSQL: one budget, one ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai as sdk
import pytest

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.test_budgets import MESSAGES, sections


@pytest.fixture
def shared(valkey_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    monkeypatch.setenv("VALKEY_URL", valkey_url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    return {
        "dir": str(tmp_path / "state"),
        "flush_interval_s": 0.01,
        "store": "valkey",
        "valkey_url": "${VALKEY_URL}",
        "journal_url": "${DATABASE_URL}",
    }


async def verified(gateway: GatewayUnderTest) -> bool:
    found = await gateway.app.services.governance.verify()
    return found.differences == () and found.compared > 0


async def test_a_budget_holds_for_both_and_the_books_agree(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]], shared: dict[str, Any]
) -> None:
    base = f"{simulator.url}/v1"
    written = sections("0.002", {"reserve": "calibrated"}, storage=shared)
    first = await start_gateway(base, **written)
    second = await start_gateway(base, **written)
    outcomes: list[str] = []

    async def ask(client: sdk.AsyncOpenAI, number: int) -> None:
        try:
            await client.chat.completions.create(
                model="metered" if number % 2 else "sim-small",
                messages=MESSAGES,
                stream=False,
                max_tokens=400,
                extra_headers={"x-sim-fault": f"length;tokens={100 + number}"},
            )
            outcomes.append("ok")
        except sdk.APIStatusError as error:
            outcomes.append(str(error.status_code))

    async with first.sdk() as one, second.sdk() as two:
        await asyncio.gather(*(ask((one, two)[number % 2], number) for number in range(60)))
    total = sum(record.cost_nano_usd for record in bill())
    assert "402" in outcomes
    assert outcomes.count("ok") == len(bill())
    assert total <= 2_000_000
    lines = await first.app.services.governance.budgets("all")
    assert (lines[0].posted, lines[0].reserved) == (total, 0)
    assert await verified(first)
    assert await verified(second)
