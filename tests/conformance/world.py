"""The gateway and the simulated provider that all SDKs meet: an agent and a key for each variant and scenario."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from gateway.simulator.models import MODELS
from tests.conformance.cases import CHAT_ONLY, NATIVE, Variant
from tests.conformance.judge import HOLDER, SCENARIOS, Books
from tests.integration.processes import LIMIT_S, Gateway, Provider

_SLOW = "sim-slow"
"""An answer that never seems to end: it takes a busy key's place."""
_POLL_S = 0.05


class Scenario(NamedTuple):
    """One run of an agent, with a key of its own."""

    agent: str
    """The gateway's agent that stands for it."""
    name: str
    """One of `SCENARIOS`."""
    variant: Variant

    @property
    def key(self) -> str:
        """The key of its agent."""
        return f"fb-{self.agent}-0123456789abcdef"

    @property
    def variable(self) -> str:
        """The environment variable that the gateway reads the key from."""
        return f"KEY_{self.agent.upper().replace('-', '_')}"

    @property
    def model(self) -> str:
        """What it asks for."""
        return f"{self.variant.model}-cut" if self.name == "cut" else self.variant.model


def scenarios(case: str, number: int, variant: Variant) -> list[Scenario]:
    """All that one variant goes through."""
    return [Scenario(f"{case}-{number}-{name}", name, variant) for name in SCENARIOS]


def configuration(provider_url: str, folder: Path, all_scenarios: Iterable[Scenario]) -> dict[str, Any]:
    """The gateway's: a budget without room for those who are broke, one call at a time for those who are busy."""
    listed = list(all_scenarios)
    sim = MODELS["sim-small"]
    [rates] = sim.rates
    price = {"input": rates.input, "cache_read": rates.cached_input, "output": rates.output}

    def model(provider: str, fault: str = "") -> dict[str, Any]:
        bounds = {"context_tokens": sim.context_window, "max_output_tokens": sim.max_output_tokens}
        return {"provider": provider, "model": f"{sim.id}+fault-one-tool;name=weather{fault}", "price": price, **bounds}

    cut = "+fault-cut;after=12"
    return {
        "server": {"drain_s": 1},
        "admin": {"key": "${ADMIN_KEY}"},
        # One attempt each: what an SDK sees is then what the provider did.
        "retries": {"max": 0},
        "breaker": {"consecutive_failures": 1_000_000_000, "min_requests": 1_000_000_000, "park_max_s": 0},
        "storage": {"dir": str(folder / "state"), "flush_interval_s": 0.01},
        "providers": {
            "chat": {"base_url": provider_url},
            "native": {"base_url": provider_url, "natives": ["responses", "messages"], "api_key": "${PROVIDER_KEY}"},
        },
        "models": {
            CHAT_ONLY: model("chat"),
            f"{CHAT_ONLY}-cut": model("chat", cut),
            _SLOW: model("chat", "+fault-length;tokens=10000+fault-slow;token_ms=100"),
            NATIVE: model("native"),
            f"{NATIVE}-cut": model("native", cut),
        },
        "agents": {each.agent: {"trust": ["value"]} for each in listed},
        "keys": {each.agent: {"agent": each.agent, "key": f"${{{each.variable}}}"} for each in listed},
        "budgets": {
            each.agent: {"scope": f"agent:{each.agent}", "limit_usd": "0.000000001", "window": "total"}
            for each in listed
            if each.name == "broke"
        },
        "limits": {
            each.agent: {"scope": f"agent:{each.agent}", "concurrency": 1} for each in listed if each.name == "busy"
        },
    }


class World:
    """Both servers, running. An async context manager."""

    def __init__(self, folder: Path, all_scenarios: Iterable[Scenario]) -> None:
        self._folder = folder
        self._scenarios = list(all_scenarios)
        self._provider = Provider(folder)
        self._gateway: Gateway | None = None

    async def __aenter__(self) -> World:
        await self._provider.start()
        config = configuration(self._provider.url, self._folder, self._scenarios)
        self._gateway = Gateway(self._folder, config)
        try:
            await self._gateway.start(PROVIDER_KEY="any", **{each.variable: each.key for each in self._scenarios})
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._gateway is not None:
            await self._gateway.kill()
        await self._provider.stop()

    @property
    def url(self) -> str:
        """The gateway's, without a path."""
        assert self._gateway is not None
        return self._gateway.url

    @asynccontextmanager
    async def occupied(self, listed: Collection[Scenario]) -> AsyncIterator[None]:
        """Take the only place of every busy key; each is given back once its agent was refused one."""
        busy = {each.agent: asyncio.Event() for each in listed if each.name == "busy"}
        keys = {each.agent: each.key for each in listed}
        held = {agent: asyncio.Event() for agent in busy}
        async with httpx.AsyncClient(base_url=self.url, timeout=None) as client, asyncio.TaskGroup() as tasks:
            for agent, refused in busy.items():
                tasks.create_task(_hold(client, keys[agent], held[agent], refused))
            watcher = tasks.create_task(self._watch(busy))
            async with asyncio.timeout(LIMIT_S):
                for each in held.values():
                    await each.wait()
            try:
                yield
            finally:
                watcher.cancel()
                for refused in busy.values():
                    refused.set()

    async def _watch(self, busy: dict[str, asyncio.Event]) -> None:
        assert self._gateway is not None
        while not all(event.is_set() for event in busy.values()):
            for row in self._gateway.rows("requests"):
                if row["status"] == 429 and row["agent"] in busy:
                    busy[row["agent"]].set()
            await asyncio.sleep(_POLL_S)

    async def books(self, listed: Iterable[Scenario]) -> dict[str, Books]:
        """By agent, once all that the agents did has ended and is written."""
        assert self._gateway is not None
        await self._provider.at_rest()
        await self._gateway.settled()
        bill = {record["caller_id"]: record for record in self._bill()}
        requests, charges = await self._written()
        found = {}
        for each in listed:
            mine = [row for row in requests if row["agent"] == each.agent]
            ids = {row["request_id"] for row in mine}
            found[each.agent] = Books(
                mine,
                [row for row in charges if row["agent"] == each.agent],
                {request_id: bill[request_id]["cost_nano_usd"] for request_id in ids if request_id in bill},
                frozenset(bill[request_id]["endpoint"] for request_id in ids if request_id in bill),
            )
        return found

    def _bill(self) -> list[dict[str, Any]]:
        file = self._provider.file
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    async def _written(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The journal's rows, once two looks find the same: it is written in the background."""
        assert self._gateway is not None
        before: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
        while True:
            rows = self._gateway.rows("requests"), self._gateway.rows("charges")
            if rows == before:
                return rows
            before = rows
            await asyncio.sleep(0.2)


async def _hold(client: httpx.AsyncClient, key: str, held: asyncio.Event, refused: asyncio.Event) -> None:
    body = {"model": _SLOW, "messages": [{"role": "user", "content": "Talk."}], "stream": True}
    headers = {"authorization": f"Bearer {key}", "x-farebox-run": HOLDER}
    async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        async for _ in answer.aiter_bytes():
            held.set()
            if refused.is_set():
                return


def told(scenario: Scenario, url: str, blocks: dict[str, str]) -> dict[str, Any]:
    """What a script is told of one of its scenarios (agents/saying.py)."""
    return {
        "id": scenario.agent,
        "name": scenario.name,
        "url": url,
        "key": scenario.key,
        "model": scenario.model,
        "api": scenario.variant.api,
        "block": "\n".join(blocks[name] for name in scenario.variant.block.split()),
        "stream": scenario.name in ("stream", "cut"),
    }
