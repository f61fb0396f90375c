"""A gateway that is stopped, has no room on its disk, or cannot write its journal: every call is paid for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.integration.callers import Seen, call, each_its_own, governed, key_of
from tests.integration.processes import LIMIT_S, Gateway, Provider


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()


async def begun(seen: Seen) -> None:
    """Wait until the first byte of an answer is there."""
    async with asyncio.timeout(LIMIT_S):
        while not seen.body:
            await asyncio.sleep(0.001)


async def generating(provider: Provider, count: int) -> None:
    """Wait until so many generations have begun."""
    async with asyncio.timeout(LIMIT_S):
        while (await provider.state())["open"] < count:
            await asyncio.sleep(0.001)


async def ended(provider: Provider, count: int) -> None:
    """Wait until so many generations have ended."""
    async with asyncio.timeout(LIMIT_S):
        while (await provider.state())["posted"] < count:
            await asyncio.sleep(0.01)


GENERATED = 1_500
"""Tokens of the provider's answers: more than each budget has money for."""
SLOW = "slow;first_ms=0;token_ms=1"
WHOLE = f"{SLOW},length;tokens={GENERATED}"
ENDLESS = f"{SLOW},length;tokens={GENERATED},stall-mid;after={GENERATED - 100}"
STOPPED = {"whole": WHOLE, "endless": ENDLESS, "leaving": WHOLE, "leaving-endless": ENDLESS, "assembled": WHOLE}


async def test_a_gateway_stopped_in_mid_stream_records_all_that_was_generated_meanwhile(
    provider: Provider, tmp_path: Path
) -> None:
    """Streams end, go on, or lose their clients while nobody counts them; their money is over long before."""
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "1", **each_its_own("0.0008", STOPPED)))
    await gateway.start()
    try:
        calls = {}
        for name, fault in STOPPED.items():
            seen = Seen()
            asked = call(
                gateway.url,
                model="metered",
                stream=name != "assembled",
                fault=fault,
                max_tokens=1_600,
                seen=seen,
                key=key_of(name),
            )
            calls[name] = asyncio.create_task(asked)
            if name != "assembled":
                await begun(seen)
        await generating(provider, len(STOPPED))
        gateway.signal(signal.SIGSTOP)
        for name in ("leaving", "leaving-endless"):
            calls[name].cancel()
        await ended(provider, 3)  # all have generated what they will
        gateway.signal(signal.SIGCONT)
        await asyncio.wait(calls.values())
        lines = await gateway.settled()
        billed = await provider.at_rest()
        await gateway.verify()
        charges = {row["request_id"]: row for row in gateway.rows("charges")}
        for each in billed:
            charge = charges[each.request_id]
            print(charge["agent"], charge["outcome"], charge["cost_nano_usd"], each.cost, charge["estimated"])
        for each in billed:
            charge = charges[each.request_id]
            assert each.cost > lines[f"agent:{charge['agent']}"].limit, "it is an overrun"
            assert lines[f"agent:{charge['agent']}"].posted == charge["cost_nano_usd"] >= each.cost
        assert [charge["estimated"] for charge in charges.values() if charge["agent"] in ("whole", "assembled")] == [
            0,
            0,
        ]
    finally:
        gateway.signal(signal.SIGCONT)
        await gateway.kill()
