"""A real Prometheus scrapes a real gateway: under the shipped configuration, and what it finds is the catalogue's."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai import APIStatusError

from gateway.simulator.server import SimulatorServer
from tests.dashboards.prometheus import ALERTS, RULES, Prometheus, Series, missing
from tests.dashboards.promql import TARGET, exposed
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
SHIPPED = RULES.parent / "prometheus.yaml"
BUDGETS = {"day": {"scope": "agent:tester", "limit_usd": "10", "window": "day"}}
LIMIT_S = 60.0
"""No wait is longer: the test fails then."""


class Scraper:
    """A Prometheus beside the gateway's own event loop."""

    def __init__(self, server: Prometheus) -> None:
        self._server = server

    async def start(self, gateway_url: str) -> None:
        """Start it as the shipped file says, with another address and in more of a hurry."""
        config = yaml.safe_load(SHIPPED.read_text("utf-8"))
        config["rule_files"] = [str(RULES), str(ALERTS)]
        config["global"]["scrape_interval"] = "100ms"
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": [gateway_url.removeprefix("http://")]}]
        await asyncio.to_thread(self._server.start, yaml.safe_dump(config))

    async def until_found(self, expr: str) -> Series:
        """The answer to a query, as soon as there is one."""
        async with asyncio.timeout(LIMIT_S):
            while not (found := await asyncio.to_thread(self._server.now, expr)):
                await asyncio.sleep(0.02)
        return found

    async def rules(self) -> set[str]:
        """The names of the rules and alerts that it has loaded."""
        with await asyncio.to_thread(urllib.request.urlopen, f"{self._server.url}/api/v1/rules") as answer:
            groups = json.load(answer)["data"]["groups"]
        return {rule["name"] for group in groups for rule in group["rules"]}

    async def stop(self) -> None:
        """End it."""
        await asyncio.to_thread(self._server.stop)


@pytest.fixture
async def gateway(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    """A gateway with a budget that has answered, streamed and refused."""
    gateway = await start_gateway(f"{simulator.url}/v1", budgets=BUDGETS)
    messages = [{"role": "user", "content": "hello"}]
    asked: dict[str, Any] = {"messages": messages, "max_tokens": 50}
    async with gateway.sdk() as client:
        await client.chat.completions.create(model="sim-small", **asked)
        async for _ in await client.chat.completions.create(model="sim-small", **asked, stream=True):
            pass
        with pytest.raises(APIStatusError):
            await client.chat.completions.create(model="no-such-model", **asked)
    return gateway


@pytest.fixture
async def scraper(gateway: GatewayUnderTest, tmp_path: Path) -> AsyncIterator[Scraper]:
    started = Scraper(Prometheus(tmp_path))
    await started.start(gateway.url)
    yield started
    await started.stop()


async def test_what_is_scraped_is_what_boards_and_alerts_are_built_from(scraper: Scraper) -> None:
    (spent,) = await scraper.until_found('sum by (agent) (farebox_cost_usd_total{agent="tester"})')
    assert float(spent["value"][1]) > 0
    known = exposed()
    found = await scraper.until_found('{__name__=~"farebox_.+"}')
    names = {series["metric"]["__name__"] for series in found}
    assert names <= known.keys(), sorted(names - known.keys())
    for series in found:
        labels = series["metric"].keys() - {"__name__"}
        # Prometheus keeps no empty labels: those of a global budget have no agent.
        assert labels <= known[series["metric"]["__name__"]], series["metric"]
        assert labels >= TARGET
    for wanted in ("requests_total", "tokens_total", "budget_posted_usd", "store_up", "overhead_seconds_bucket"):
        assert f"farebox_{wanted}" in names
    for started in await scraper.until_found("process_start_time_seconds"):  # the recording rules look at it
        assert started["metric"]["job"] == "farebox"
    (instance,) = {series["metric"]["instance"] for series in found}
    (up,) = await scraper.until_found('up{job="farebox"} == 1')
    assert up["metric"]["instance"] == instance
    groups = [group for file in (RULES, ALERTS) for group in yaml.safe_load(file.read_text("utf-8"))["groups"]]
    assert await scraper.rules() == {rule.get("record") or rule["alert"] for group in groups for rule in group["rules"]}
