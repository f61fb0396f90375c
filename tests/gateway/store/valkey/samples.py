"""Hand-made events and what they become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.ledger.operations import Amounts, Claim, Origin, Unit
from gateway.store.valkey.client import Client
from gateway.store.valkey.codec import Body, body_of, charge_body
from gateway.telemetry.events import ChargePosted
from tests.gateway.telemetry.samples import charged

DEADLINE_S = 20.0


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client that may send plain commands."""
    client = Client(url, 5.0, ())
    try:
        await client.ready()
        yield client
    finally:
        await client.close()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what other tasks or servers bring about, however long it takes them, but not for ever."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


def origin(request: str = "req", run_path: str = "") -> Origin:
    return Origin(
        request,
        1,
        "acme",
        "research",
        "researcher",
        run_path,
        "ann",
        (("feature", "search"),),
        "m",
        "d",
        "p",
        "up",
        False,
    )


def claim(key: str = "b|team||total", limit: int = 1_000_000, *, calibrated: bool = False) -> Claim:
    return Claim(key, Unit.MONEY, limit, 1, "team:research", calibrated=calibrated)


def body(request: str = "req", *, calibrated: bool = False) -> Body:
    return Body((claim(calibrated=calibrated),), origin(request), None, ())


def admit(request: str, owner: str = "g1", money: int = 100, at_us: int = 1_000_000) -> dict[str, Any]:
    numbers = f"{at_us} {money} 10 {money // 2} 5"
    return {"k": "admit", "i": f"{request}.1", "o": owner, "n": numbers, "b": body_of(body(request))}


def extend(request: str, strict: Amounts, calibrated: Amounts) -> dict[str, Any]:
    return {
        "k": "extend",
        "i": f"{request}.1",
        "o": "g1",
        "n": f"{strict[0]} {strict[1]} {calibrated[0]} {calibrated[1]}",
    }


def charge(request: str, cost: int = 70) -> ChargePosted:
    return charged()._replace(
        charge_id=f"{request}.1", request_id=request, attempt=1, cost_nano_usd=cost, run_path="", user="ann", tags=()
    )


def settle(request: str, cost: int = 70, at_us: int = 1_000_000) -> dict[str, Any]:
    return {"k": "settle", "i": f"{request}.1", "o": "g1", "n": f"{at_us} 100", "b": charge_body(charge(request, cost))}


def orphan(request: str, money: int = 100) -> dict[str, Any]:
    numbers = f"1000000 {money} 10 9000000"
    return {"k": "orphan", "i": f"{request}.1", "o": "g1", "n": numbers, "b": body_of(body(request))}


def correct(request: str, cost: int, money: int = 100) -> dict[str, Any]:
    numbers = f"1000000 {money} {money} 10"
    return {"k": "correct", "i": f"{request}.1", "o": "g1", "n": numbers, "b": charge_body(charge(request, cost))}


async def append(client: Client, installation: str, entry: str, event: dict[str, Any]) -> None:
    fields = [part for pair in event.items() for part in pair]
    await client.command("XADD", f"{{{installation}}}:events", entry, *fields)
