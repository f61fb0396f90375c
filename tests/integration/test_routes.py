"""Every path that is served, walked: none reaches a provider without a reservation."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path
from typing import Any

import httpx

from gateway.api import routes
from gateway.wire.native import COUNT, RESPONSES
from gateway.wire.others import UPLOADS
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY
from tests.integration.upstream import Exchange, Upstream

ROOT = Path(__file__).parents[2]
FREE = frozenset((COUNT,))
"""APIs that nobody bills: they may be called though no money is left, and are reserved nothing for."""
EVERYTHING = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hello."}],
    "input": "Hello.",
    "prompt": "Hello.",
    "query": "Hello?",
    "documents": ["Hello."],
    "max_tokens": 5,
}
"""A body that every API finds its fields in."""
PRICE = {"input": "1", "output": "2"}
TARIFF = dict.fromkeys(("image", "character", "second", "search_unit"), "0.01")


async def refuse(exchange: Exchange) -> None:
    await exchange.whole(b'{"id":"x","choices":[],"input_tokens":3,"results":[]}')


async def test_no_path_that_asks_a_model_gets_past_a_budget_that_is_spent(start_gateway: StartGateway) -> None:
    async with Upstream(refuse) as upstream:
        limits = {"context_tokens": 1000, "max_output_tokens": 100}
        deployment = {"provider": "sim", "model": "m", "price": PRICE, "tariff": TARIFF, **limits}
        gateway = await start_gateway(
            upstream.base_url,
            providers={"sim": {"base_url": upstream.base_url, "natives": ["messages", "responses"]}},
            models={"m": {"deployments": [deployment]}},
            budgets={"spent": {"scope": "global", "limit_usd": "0.000000001", "window": "total"}},
        )
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TESTER_KEY}"}) as client:
            for path, api in routes.ASKING.items():
                called = len(upstream.requests)
                answer = await client.post(f"{gateway.url}{path}", **body_of(api))
                free = api in FREE
                assert answer.status_code == (200 if free else 402), (path, answer.text)
                assert len(upstream.requests) - called == (1 if free else 0), path
        assert sum(charge["cost_nano_usd"] for charge in await gateway.rows("charges")) == 0


def body_of(api: str) -> dict[str, Any]:
    """What a client sends to an API."""
    if api in UPLOADS:
        return {"data": {"model": "m"}, "files": {"file": b"x" * 64, "image": b"y" * 64}}
    chats = ("messages", "max_tokens")
    return {"json": {name: value for name, value in EVERYTHING.items() if api != RESPONSES or name not in chats}}


async def test_no_path_that_the_gateway_answers_itself_calls_a_provider(start_gateway: StartGateway) -> None:
    async with Upstream(refuse) as upstream:
        gateway = await start_gateway(upstream.base_url)
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TESTER_KEY}"}) as client:
            for local, below, method in product(
                routes.LOCAL, ("", "/x", "/x/items", "/x/cancel"), ("GET", "POST", "DELETE")
            ):
                answer = await client.request(
                    method, f"{gateway.url}{local.path}{below}", json={} if method == "POST" else None
                )
                assert answer.status_code < 500, (method, local.path, below, answer.text)
        assert upstream.requests == []


def test_only_an_attempt_and_a_probe_start_calls() -> None:
    """Whoever else called the transport would be past admission."""
    found = set()
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == "start" and "transport" in ast.dump(called.value):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {
        "gateway/upstream/launch.py",  # attempts, each with its reservation
        "gateway/upstream/probes.py",  # asks for the list of models, which nobody bills
        "gateway/alerting/sinks.py",  # webhooks, by a transport of its own
    }
