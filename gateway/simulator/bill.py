"""The provider's own bill: what was really generated, delivered or not, and what it costs.

Computed here from decimal prices, apart from `routing.money`, so that a mistake there cannot hide in both.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.simulator.models import Rates, SimModel

_NANO_USD_PER_TOKEN = 1000
"""One USD per million tokens is a thousand nano-USD a token."""
_KEPT_RECORDS = 200_000
_NANO_USD_PER_USD = 1_000_000_000
_TOTALS = (
    *("generations", "prompt_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    *("completion_tokens", "reasoning_tokens", "fee_nano_usd", "cost_nano_usd"),
)


class Record(NamedTuple):
    """One generation."""

    id: int
    """1, 2, 3 ... in the order in which generations began."""
    response_id: str
    """The `id` of the answer's body; empty for embeddings, which have none."""
    caller_id: str | None
    """The `x-request-id` header of the request."""
    at_s: float
    """Unix time of the end of the generation."""
    key: str
    """A fingerprint of the API key."""
    endpoint: str
    """`chat`, `completions`, `embeddings`, `responses`, `messages` ..."""
    model: str
    stream: bool
    prompt_tokens: int
    cached_tokens: int
    """Part of the prompt."""
    completion_tokens: int
    """Really generated, also past a cut or cancellation."""
    reasoning_tokens: int
    """Part of the completion."""
    usage_delivered: bool
    """Whether the client was sent the usage."""
    cost_nano_usd: int
    """Of tokens and services."""
    outcome: str
    """`ok`, `cancelled` (the client left), `cut` (a fault ended the answer early)."""
    faults: str
    """The faults that were asked for, comma-separated."""
    cache_write_tokens: int
    """Part of the prompt, written to a cache that lasts five minutes."""
    cache_write_1h_tokens: int
    """Part of the prompt, written to a cache that lasts an hour."""
    services: dict[str, int]
    """What was done beside generating, in units of the model's fees: `{"web_search": 2}`."""
    fee_nano_usd: int
    """Of the services: part of the cost."""


class Counts(NamedTuple):
    """Token counts of one generation."""

    prompt: int
    """All of it, cached and written to a cache or not."""
    cached: int
    completion: int
    reasoning: int
    cache_write: int = 0
    cache_write_1h: int = 0


def rates_for(model: SimModel, prompt_tokens: int) -> Rates:
    """The rates that the whole request pays."""
    applying = [rates for rates in model.rates if prompt_tokens > rates.above_input_tokens]
    return applying[-1] if applying else model.rates[0]


def cost_nano_usd(model: SimModel, counts: Counts) -> int:
    """The exact cost of the tokens in nano-USD, rounded up once."""
    rates = rates_for(model, counts.prompt)
    cache_write = rates.cache_write or rates.input
    per_million = (
        Decimal(rates.input) * (counts.prompt - counts.cached - counts.cache_write - counts.cache_write_1h)
        + Decimal(rates.cached_input) * counts.cached
        + Decimal(cache_write) * counts.cache_write
        + Decimal(rates.cache_write_1h or cache_write) * counts.cache_write_1h
        + Decimal(rates.output) * counts.completion
    )
    return int((per_million * _NANO_USD_PER_TOKEN).to_integral_value(rounding=ROUND_CEILING))


def fee_nano_usd(model: SimModel, services: Mapping[str, int]) -> int:
    """The exact cost of what was done beside generating, in nano-USD, rounded up once. Raises KeyError: no such fee."""
    usd = sum((Decimal(model.fees[unit]) * count for unit, count in services.items()), Decimal(0))
    return int((usd * _NANO_USD_PER_USD).to_integral_value(rounding=ROUND_CEILING))


class Bill:
    """All generations since the start or the last `clear()`; only the last 200,000 one by one."""

    def __init__(self, file: Path | None = None) -> None:
        """`file` gets one JSON line per record, handed to the operating system at once: kill -9 loses none."""
        self.records: deque[Record] = deque(maxlen=_KEPT_RECORDS)
        self.posted = 0
        """Records since the start or the last `clear()`."""
        self.open = 0
        """Generations that have begun and not ended."""
        self.refused: dict[int, int] = {}
        """Requests that were refused, by status: nothing was generated for them."""
        self._begun = 0
        self._totals: dict[str, dict[str, int]] = {}
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._file = None if file is None else os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def begin(self) -> int:
        """A generation begins: its ordinal."""
        self._begun += 1
        self.open += 1
        return self._begun

    def post(self, record: Record) -> None:
        """A generation ended."""
        self.open -= 1
        self.records.append(record)
        counts = Counts(
            *(record.prompt_tokens, record.cached_tokens, record.completion_tokens, record.reasoning_tokens),
            *(record.cache_write_tokens, record.cache_write_1h_tokens),
        )
        self.add(record.model, counts, record.cost_nano_usd, record.fee_nano_usd)
        if self._file is not None:
            os.write(self._file, msgspec.json.encode(record._asdict()) + b"\n")

    def add(self, model: str, counts: Counts, cost: int, fee: int = 0) -> None:
        """Add to the totals; `fee` is part of the cost.

        Alone, without a record: the fast mode's generations, which are all alike.
        """
        self.posted += 1
        total = self._totals.setdefault(model, dict.fromkeys(_TOTALS, 0))
        total["generations"] += 1
        total["prompt_tokens"] += counts.prompt
        total["cached_tokens"] += counts.cached
        total["completion_tokens"] += counts.completion
        total["cache_write_tokens"] += counts.cache_write
        total["cache_write_1h_tokens"] += counts.cache_write_1h
        total["reasoning_tokens"] += counts.reasoning
        total["fee_nano_usd"] += fee
        total["cost_nano_usd"] += cost
        if self._waiters:
            self._wake()

    def refuse(self, status: int) -> None:
        """Count a refusal."""
        self.refused[status] = self.refused.get(status, 0) + 1

    async def wait(self, posted: int) -> None:
        """Wait until so many generations have been billed since the start or the last `clear()`."""
        if self.posted < posted:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((posted, future))
            await future

    def _wake(self) -> None:
        for wanted, future in self._waiters:
            if wanted <= self.posted and not future.done():
                future.set_result(None)
        self._waiters = [waiter for waiter in self._waiters if not waiter[1].done()]

    def clear(self) -> None:
        """Begin a new bill. The file is left as it is."""
        self.records.clear()
        self._totals.clear()
        self.refused.clear()
        self.posted = 0

    def as_dict(self) -> dict[str, Any]:
        """The bill as `GET /sim/bill` gives it."""
        return {
            "posted": self.posted,
            "open": self.open,
            "refused": {str(status): count for status, count in sorted(self.refused.items())},
            "total_nano_usd": sum(total["cost_nano_usd"] for total in self._totals.values()),
            "totals": self._totals,
            "records": [record._asdict() for record in self.records],
        }

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
