"""Our books against the provider's: many calls of every kind at once, some under faults, some given up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import openai as sdk
from openai import AsyncOpenAI

from gateway.simulator.bill import Record
from tests.integration.gateway import GatewayUnderTest

CALLS = 200
FAULTS = ("", "", "", "500", "missing-usage", "cut;after=3", "usage-on-last", "late-usage;ms=5", "429;retry_after=1")
LONG = "A long preface that fills the prompt's cache. " * 300


async def call(client: AsyncOpenAI, dice: random.Random) -> None:
    """One call of a random kind. What goes wrong for the client is no matter here."""
    fault = {"x-sim-fault": dice.choice(FAULTS)}
    if not fault["x-sim-fault"]:
        fault = {}
    text = dice.choice(("Short.", LONG))
    messages: Any = [{"role": "user", "content": text}]
    model = dice.choice(("sim-small", "sim-large", "sim-reasoner"))
    kind = dice.choice(("plain", "stream", "leave", "embeddings", "completions", "several"))
    try:
        if kind == "embeddings":
            await client.embeddings.create(model="sim-embed", input=[text, "more"])
        elif kind == "completions":
            await client.completions.create(model="sim-small", prompt=text, max_tokens=20, extra_headers=fault)
        elif kind in ("stream", "leave"):
            stream = await client.chat.completions.create(
                model=model, messages=messages, stream=True, extra_headers=fault
            )
            async for _ in stream:
                if kind == "leave":
                    await stream.close()
                    break
        else:
            n = 3 if kind == "several" else 1
            await client.chat.completions.create(model=model, messages=messages, n=n, extra_headers=fault)
    except sdk.APIError:
        pass


async def test_every_charge_with_usage_equals_the_bill(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    dice = random.Random(11)
    gate = asyncio.Semaphore(32)

    async def one() -> None:
        async with gate:
            await call(openai, dice)

    await asyncio.gather(*(one() for _ in range(CALLS)))
    requests = await gateway.eventually("requests", CALLS)
    charges = await gateway.rows("charges")
    assert len(requests) == len(charges) == CALLS
    assert {request["request_id"]: request["cost_nano_usd"] for request in requests} == {
        charge["request_id"]: charge["cost_nano_usd"] for charge in charges
    }
    billed = {record.caller_id: record for record in bill()}
    kinds = Counter[str]()
    for charge in charges:
        record = billed.pop(charge["request_id"], None)
        if record is None:
            assert (charge["outcome"], charge["cost_nano_usd"]) == ("error", 0), charge
        elif charge["estimated"]:
            assert charge["cost_nano_usd"] > 0, charge
        else:
            assert charge["cost_nano_usd"] == record.cost_nano_usd, (charge, record)
        kinds["unbilled" if record is None else "estimated" if charge["estimated"] else "exact"] += 1
    assert not billed, "generations that nobody was charged for"
    assert min(kinds.values()) > 10, f"each kind should have been tried: {kinds}"
