"""Agents that call a gateway which may be gone at any moment, and remember what they saw."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.integration.gateway import TESTER_KEY, configuration
from tests.integration.processes import LIMIT_S, Gateway

PRICE = {"input": "0.15", "cache_read": "0.075", "output": "0.60"}
KNOWN = {"price": PRICE, "context_tokens": 8_000, "max_output_tokens": 2_000}
TOKENS_PER_S = 1_000
CANCEL_S = 0.2
METERED = {
    "countable_stream": True,
    "stops_on_disconnect": True,
    "metering": {"tokens_per_event": 4, "tokens_per_s": TOKENS_PER_S, "cancel_s": CANCEL_S},
}
KINDS = ("plain", "stream", "leave", "metered", "metered", "leave-metered", "assembled")


def governed(base_url: str, folder: Path, limit_usd: str, **changes: Any) -> dict[str, Any]:
    """One agent with a tight budget in a less tight one, runs with a limit of their own, and another agent."""
    tester = {
        "team": "quality",
        "reserve": "calibrated",
        "assemble_whole_answers": True,
        "clamp": {"min_output_tokens": 16},
        "runs": {"cost_usd": limit_usd, "requests": 100_000},
    }
    metered = {"provider": "sim", "model": "sim-small+fault-slow", **KNOWN, **METERED}
    config = {
        "admin": {"key": "${ADMIN_KEY}"},
        "models": {"strict": {"provider": "sim", "model": "sim-small", **KNOWN}, "metered": {"deployments": [metered]}},
        "agents": {"tester": tester, "other": {"team": "others", "clamp": "off"}},
        "budgets": {
            "agent": {"scope": "agent:tester", "limit_usd": limit_usd, "window": "total"},
            "all": {"scope": "global", "limit_usd": limit_usd, "window": {"rolling": "6h"}},
        },
        "queue": {"wait_s": 0.2},
        **changes,
    }
    storage = {"dir": str(folder / "state"), "flush_interval_s": 0.02, **config.pop("storage", {})}
    return {**configuration(base_url, folder, **config), "storage": storage}


def key_of(agent: str) -> str:
    """The key of an agent of `each_its_own`."""
    return f"fb-{agent}-key-0123456789abcdef"


def each_its_own(limits_usd: Mapping[str, str], **agent: Any) -> dict[str, Any]:
    """Sections for agents with a budget each."""
    each = {"team": "quality", "reserve": "calibrated", "assemble_whole_answers": True, **agent}
    return {
        "agents": {name: {**each, "clamp": {"min_output_tokens": 16}} for name in limits_usd},
        "keys": {name: {"agent": name, "key": f"${{NONE:-{key_of(name)}}}"} for name in limits_usd},
        "budgets": {
            name: {"scope": f"agent:{name}", "limit_usd": limit, "window": "total"}
            for name, limit in limits_usd.items()
        },
    }


@dataclass(slots=True)
class Seen:
    """One call, as its client saw it."""

    request_id: str = ""
    """Empty while nothing came."""
    status: int = 0
    code: str = ""
    reason: str = ""
    body: bytes = b""
    finished: bool = False
    """Whether all of the answer came."""


async def call(
    url: str,
    *,
    model: str = "strict",
    stream: bool = False,
    fault: str = "",
    key: str = TESTER_KEY,
    seen: Seen | None = None,
    **body: Any,
) -> Seen:
    """One call. `seen` is filled while the answer comes. Raises httpx.TransportError when the gateway goes away."""
    seen = seen or Seen()
    asked = {"model": model, "messages": [{"role": "user", "content": "Go on."}], "stream": stream, **body}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    headers = {"authorization": f"Bearer {key}", **({"x-sim-fault": fault} if fault else {})}
    async with (
        httpx.AsyncClient(timeout=LIMIT_S) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=asked, headers=headers) as answer,
    ):
        seen.request_id, seen.status = answer.headers["x-request-id"], answer.status_code
        async for chunk in answer.aiter_raw():
            seen.body += chunk
    seen.finished = True
    if seen.status >= 400:
        error = json.loads(seen.body)["error"]
        seen.code, seen.reason = error["code"], error.get("metadata", {}).get("reason", "")
    return seen


@dataclass
class Crowd:
    """Agents that call all the time, in every way, until they are told to go home."""

    gateway: Gateway
    seed: int
    size: int = 30
    seen: list[Seen] = field(default_factory=list)
    pieces: int = 0
    """Of answers, that have come to anybody."""
    up: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether it is worth calling."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Crowd:
        limits = httpx.Limits(max_connections=self.size, max_keepalive_connections=self.size)
        self._client = httpx.AsyncClient(timeout=LIMIT_S, limits=limits)
        self.up.set()
        self._tasks = [asyncio.create_task(self._agent(random.Random(f"{self.seed} {n}"))) for n in range(self.size)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        assert self._client is not None
        await self._client.aclose()

    async def pieces_more(self, count: int) -> None:
        """Wait until so many more pieces of answers have come to anybody, or refusals."""
        wanted = self.pieces + count
        async with asyncio.timeout(LIMIT_S):
            while self.pieces < wanted:
                await asyncio.sleep(0.001)

    async def _agent(self, dice: random.Random) -> None:
        while True:
            await self.up.wait()
            seen = Seen()
            self.seen.append(seen)
            try:
                await self._call(dice, seen)
            except httpx.TransportError:  # it is gone: the test says when it is back
                await asyncio.sleep(0.01)

    async def _call(self, dice: random.Random, seen: Seen) -> None:
        kind = dice.choice(KINDS)
        asked: dict[str, Any] = {
            "model": "metered" if kind.endswith("metered") or kind == "assembled" else "strict",
            "messages": [{"role": "user", "content": "Go on. " * dice.randrange(1, 20)}],
            "max_tokens": dice.choice((60, 200, 600)),
            "stream": kind not in ("plain", "assembled"),
        }
        headers = {
            "authorization": f"Bearer {TESTER_KEY}",
            "x-sim-fault": f"slow;first_ms=5;token_ms=10,length;tokens={dice.randrange(5, 150)}",
            "x-farebox-run": f"run-{dice.randrange(3)}",
        }
        most = dice.randrange(1, 30) if kind.startswith("leave") else None
        assert self._client is not None
        url = f"{self.gateway.url}/v1/chat/completions"
        async with self._client.stream("POST", url, json=asked, headers=headers) as answer:
            seen.request_id, seen.status = answer.headers["x-request-id"], answer.status_code
            self.pieces += 1
            async for chunk in answer.aiter_raw():
                self.pieces += 1
                seen.body += chunk
                if most is not None and seen.body.count(b"data:") >= most:
                    return
        seen.finished = True

    def served(self) -> set[str]:
        """The requests of which somebody saw a byte of an answer."""
        return {seen.request_id for seen in self.seen if seen.status == 200 and seen.body}
