"""LiteLLM's limits for the whole proxy as our `budgets` and `limits`."""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from gateway.config.durations import parse_duration
from gateway.config.litellm.notes import Notes
from gateway.config.models.budgets import MAX_ROLLING_S, MIN_ROLLING_S

_MONTH = re.compile(r"1 ?(mo|month)")


def written_limits(general: dict[str, Any], settings: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Our sections for `litellm_settings.max_budget` and `general_settings.global_max_parallel_requests`."""
    result: dict[str, Any] = {}
    if "max_budget" in settings:
        limit, window = _usd(settings["max_budget"]), _window(settings.get("budget_duration"))
        if limit is None or window is None:
            notes.add(("litellm_settings", "max_budget"), "not a budget that can be translated: write it by hand")
        else:
            result["budgets"] = {"everything": {"scope": "global", "limit_usd": limit, "window": window}}
            if isinstance(window, dict):
                message = "became a rolling window: the time up to now, where LiteLLM begins again after each"
                notes.add(("litellm_settings", "budget_duration"), message)
    most = general.get("global_max_parallel_requests")
    if "global_max_parallel_requests" in general:
        if isinstance(most, int) and not isinstance(most, bool) and most > 0:
            result["limits"] = {"everything": {"scope": "global", "concurrency": most}}
        else:
            notes.add(("general_settings", "global_max_parallel_requests"), "not a number of requests; left out")
    return result


def _usd(written: Any) -> str | None:
    """An amount of USD, rounded down to nano-dollars."""
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        return None
    try:
        usd = Decimal(str(written)).quantize(Decimal("0.000000001"), ROUND_FLOOR)
    except ArithmeticError:
        return None
    if not usd.is_finite() or not 0 <= usd < 1_000_000_000:
        return None
    return f"{usd:f}".rstrip("0").rstrip(".")


def _window(written: Any) -> str | dict[str, str] | None:
    if written is None:
        return "total"
    if not isinstance(written, str):
        return None
    if _MONTH.fullmatch(written):
        return "month"
    try:
        seconds = parse_duration(written)
    except ValueError:
        return None
    return {"rolling": written} if MIN_ROLLING_S <= seconds <= MAX_ROLLING_S else None
