"""Our books against the provider's, for what is asked in the Responses and Messages APIs: passed on, and translated.

The provider is the simulator, whose reading of these APIs shares nothing with the gateway's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import anthropic
import openai as sdk
import pytest
from openai import AsyncOpenAI

from gateway.simulator.bill import Record
from gateway.simulator.models import price_table
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest

CALLS = 150
FAULTS = ("", "", "", "500", "missing-usage", "cut;after=3", "late-usage;ms=5", "429;retry_after=1", "error-event")
LONG = "A long preface that fills the prompt's cache. " * 300
FUNCTION: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NATIVE = ("native-small", "native-reasoner", "native-claude")
MODELS = (*NATIVE, "plain-small", "plain-reasoner", "claude")
FEES = {"web_search": "0.01", "file_search": "0.0025", "code_interpreter": "0.03"}


async def begin(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    """Three providers, all of them the simulator: one that speaks all APIs, one that speaks chat, and Anthropic."""
    key = {"api_key": "${SIM_KEY}"}
    providers = {
        "both": {"base_url": f"{simulator.url}/v1", "natives": ["responses", "messages"], "tariff": FEES, **key},
        "plain": {"base_url": f"{simulator.url}/v1", "natives": [], **key},
        "anthropic": {"base_url": f"{simulator.url}/v1", "dialect": "anthropic", "tariff": FEES, **key},
    }
    prices = price_table()

    def model(provider: str, upstream: str) -> dict[str, Any]:
        rate = prices[upstream][0]
        written = {name: rate[name] for name in ("cache_write", "cache_write_1h") if name in rate}
        price = {"input": rate["input"], "cache_read": rate["cached_input"], "output": rate["output"], **written}
        return {"provider": provider, "model": upstream, "price": price, "max_output_tokens": 16_000}

    models = {f"native-{name}": model("both", f"sim-{name}") for name in ("small", "reasoner", "claude")}
    models |= {f"plain-{name}": model("plain", f"sim-{name}") for name in ("small", "reasoner")}
    models["claude"] = model("anthropic", "sim-claude")
    return await start_gateway(f"{simulator.url}/v1", providers=providers, models=models)


class Callers:
    """One client of each API."""

    def __init__(self, openai: AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
        self._openai = openai
        self._claude = claude

    async def call(self, dice: random.Random) -> str:
        """One call of a random kind; which. What goes wrong for the client is no matter here."""
        fault = dice.choice(FAULTS)
        headers = {"x-sim-nonce": str(dice.random()), **({"x-sim-fault": fault} if fault else {})}
        api, model = dice.choice(("responses", "messages")), dice.choice(MODELS)
        how = dice.choice(("plain", "stream", "leave"))
        ask = self._response if api == "responses" else self._message
        try:
            await ask(dice, {"model": model, "extra_headers": headers, "stream": how != "plain"}, how)
        except (sdk.APIError, anthropic.APIError):
            pass
        return f"{api}/{model}/{how}/{fault}"

    async def _response(self, dice: random.Random, fields: dict[str, Any], how: str) -> None:
        tools: list[Any] = [{"type": "function", "name": "get_weather", "parameters": FUNCTION}]
        if fields["model"] in NATIVE and dice.random() < 0.5:
            tools.append({"type": "web_search"})
        text = dice.choice(("Short.", LONG))
        await self._take(await self._openai.responses.create(input=text, tools=tools, **fields), how)

    async def _message(self, dice: random.Random, fields: dict[str, Any], how: str) -> None:
        tools: list[Any] = [{"name": "get_weather", "input_schema": FUNCTION}]
        if fields["model"] in NATIVE and dice.random() < 0.5:
            tools.append({"type": "web_search_20250305", "name": "web_search", "max_uses": 2})
        ttl = dice.choice(("5m", "1h"))
        system = [
            {"type": "text", "text": LONG + dice.choice("ab"), "cache_control": {"type": "ephemeral", "ttl": ttl}}
        ]
        if dice.random() < 0.5:
            fields |= {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
        messages: Any = [{"role": "user", "content": "Short."}]
        found = await self._claude.messages.create(
            max_tokens=2_000, messages=messages, system=system, tools=tools, **fields
        )
        await self._take(found, how)

    async def _take(self, found: Any, how: str) -> None:
        if how == "plain":
            return
        async for _ in found:
            if how == "leave":
                await found.close()
                break


async def test_every_charge_with_usage_equals_the_bill(
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    bill: Callable[[], list[Record]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIM_KEY", "any")
    gateway = await begin(simulator, start_gateway)
    dice = random.Random(11)
    gate = asyncio.Semaphore(32)
    async with (
        gateway.sdk() as openai,
        anthropic.AsyncAnthropic(base_url=gateway.url, api_key=TESTER_KEY, max_retries=0) as claude,
    ):
        callers = Callers(openai, claude)

        async def one() -> str:
            async with gate:
                return await callers.call(dice)

        asked = Counter(await asyncio.gather(*(one() for _ in range(CALLS))))
        requests = await gateway.eventually("requests", CALLS)
    charges = await gateway.rows("charges")
    assert len(requests) == len(charges) == CALLS, asked
    billed = {record.caller_id: record for record in bill()}
    kinds = Counter[str]()
    for charge in charges:
        record = billed.pop(charge["request_id"], None)
        if record is None:
            assert charge["cost_nano_usd"] == 0, charge
        elif charge["estimated"]:
            assert charge["cost_nano_usd"] > 0, charge
        else:
            assert charge["cost_nano_usd"] == record.cost_nano_usd, (charge, record)
        kinds["unbilled" if record is None else "estimated" if charge["estimated"] else "exact"] += 1
        if record is not None:
            kinds[record.endpoint] += 1
    assert not billed, "generations that nobody was charged for"
    assert set(simulator.bill.refused) == {429, 500}, "nothing was refused but by a fault"
    assert min(kinds.values()) > 10, f"each kind should have been tried: {kinds}"
