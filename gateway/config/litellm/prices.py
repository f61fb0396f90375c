"""Prices of translated deployments: LiteLLM's floats per token as decimal strings per million, and its own table."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RATES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
}
_MAX = Decimal(1_000_000)


def written_price(costs: dict[str, Any]) -> dict[str, str] | None:
    """A `price` from LiteLLM's costs; None when they have no input price."""
    price = {ours: usd for theirs, ours in RATES.items() if (usd := per_million(costs.get(theirs))) is not None}
    if "input" not in price:
        return None
    return {"input": price.pop("input"), "output": price.pop("output", "0"), **price}


def per_million(per_token: Any) -> str | None:
    """USD per token, number or text, as USD per million tokens, rounded up to 6 decimals. None for anything else."""
    if isinstance(per_token, bool) or not isinstance(per_token, int | float | str):
        return None
    try:
        usd = (Decimal(str(per_token)) * 1_000_000).quantize(Decimal("0.000001"), ROUND_CEILING)
    except ArithmeticError:
        return None
    if not usd.is_finite() or not 0 <= usd <= _MAX:
        return None
    whole, _, decimals = f"{usd:f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals:0<2}" if decimals else whole


def table_price(prefix: str, model: str) -> dict[str, str] | None:
    """The price in the installed LiteLLM's table; None when it has none."""
    table = _table()
    for name in (f"{prefix}/{model}", model):
        entry = table.get(name)
        if isinstance(entry, dict) and (price := written_price(entry)) is not None:
            return price
    return None


@cache
def _table() -> dict[str, Any]:
    """LiteLLM's price table, read as a file: importing the package takes seconds."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "model_prices_and_context_window_backup.json"
        if file.is_file():
            table = json.loads(file.read_text(encoding="utf-8"))
            return table if isinstance(table, dict) else {}
    return {}
