"""Reports over HTTP, of what a gateway has really served."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from gateway.journal.prices import noted
from gateway.simulator.server import SimulatorServer
from tests.gateway.reports.focus_rules import problems
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.test_operating import ADMIN, ASK, BUDGETS, TESTER, VIEWER, client, farebox


@pytest.fixture
async def governed(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    admin = {"key": "${ADMIN_KEY}", "viewer_key": "${VIEWER_KEY}"}
    return await start_gateway(f"{simulator.url}/v1", admin=admin, budgets=BUDGETS)


async def ask(gateway: GatewayUnderTest, headers: dict[str, str], **query: str) -> Any:
    async with client(gateway, headers) as http:
        return await http.get("/admin/v1/reports", params=query)


async def test_what_was_served_is_reported_at_once(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        served = [await agent.post("/v1/chat/completions", json=ASK) for _ in range(3)]
    cost = served[0].headers["x-farebox-cost-usd"]
    assert cost != "0.00"
    found = (await ask(governed, VIEWER, by="agent,model")).json()
    [line] = found["data"]
    assert (line["agent"], line["model"], line["requests"], line["attempts"]) == ("tester", "sim-small", None, 3)
    [row] = csv.DictReader(io.StringIO((await ask(governed, ADMIN, by="agent", format="csv")).text))
    assert row["cost_usd"] == found["total"]["cost_usd"] == line["cost_usd"]
    exported = list(csv.DictReader(io.StringIO((await ask(governed, ADMIN, by="", format="focus")).text)))
    assert list(problems(exported)) == []
    await governed.app._prices.close()
    rates = await noted(governed.app._journal.database.engine)
    points = {json.loads(each["SkuPriceDetails"])["x_PricePoint"] for each in exported if each["SkuPriceDetails"]}
    assert points
    assert points <= rates.keys()
    verified = await farebox(governed, "verify", "--rollups")
    assert (verified.exit_code, "1 days of roll-ups compared: all agree" in verified.stdout) == (0, True)


async def test_what_is_asked_wrongly(governed: GatewayUnderTest) -> None:
    assert (await ask(governed, TESTER)).status_code == 403
    for query in ({"by": "colour"}, {"since": "soon"}, {"format": "xml"}):
        assert (await ask(governed, VIEWER, **query)).status_code == 400, query
