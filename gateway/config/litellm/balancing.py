"""LiteLLM's ways to share calls out among deployments as our strategies, weights and capacities."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Any, Final

from gateway.config.litellm.notes import Notes
from gateway.config.problems import YamlPath

PARAMS: Final = frozenset(("rpm", "tpm", "max_parallel_requests", "weight"))
"""Of `litellm_params`."""
_CAPACITY: Final = (
    ("max_parallel_requests", "concurrency", "{}"),
    ("rpm", "requests", "{}/min"),
    ("tpm", "tokens", "{}/min"),
)
_MOST: Final = 1_000_000_000
_MOST_WEIGHT: Final = 1_000_000
_BY_USAGE: Final = "became `least_busy`: by calls in flight; what each deployment can take is its `capacity`"
_STRATEGIES: Final[dict[str, tuple[str, str]]] = {
    "simple-shuffle": ("weighted", ""),
    "least-busy": ("least_busy", ""),
    "latency-based-routing": ("fastest", ""),
    "usage-based-routing": ("least_busy", _BY_USAGE),
    "usage-based-routing-v2": ("least_busy", _BY_USAGE),
    "cost-based-routing": ("ordered", "became `ordered`: write the cheapest deployment first"),
}


def strategy_of(router: dict[str, Any], notes: Notes) -> str:
    """Our strategy for `router_settings.routing_strategy`; LiteLLM shuffles where none is written."""
    written = router.get("routing_strategy", "simple-shuffle")
    known = _STRATEGIES.get(written) if isinstance(written, str) else None
    strategy, note = known or ("weighted", "has no counterpart; became `weighted`")
    if note:
        notes.add(("router_settings", "routing_strategy"), note)
    return strategy


def capacity_of(path: YamlPath, params: dict[str, Any], notes: Notes) -> dict[str, Any] | None:
    """What a deployment can take. `path`: of its `litellm_params`."""
    found: dict[str, Any] = {}
    for theirs, ours, form in _CAPACITY:
        if params.get(theirs) is None:
            continue
        number = _whole(params[theirs])
        if number is None:
            notes.add((*path, theirs), "not a whole number above 0; left out")
        else:
            found[ours] = number if form == "{}" else form.format(number)
    return found or None


def weights_of(entries: Sequence[dict[str, Any]], strategy: str) -> list[int]:
    """The shares of a model's deployments by their `litellm_params`; 1 each where they say nothing.

    LiteLLM's shuffle goes by `weight`, else by `rpm`, else by `tpm`; who has none of it gets no calls but fallbacks.
    """
    keys = {"weighted": ("weight", "rpm", "tpm"), "least_busy": ("weight",)}.get(strategy, ())
    for key in keys:
        shares = [_share(params.get(key)) for params in entries]
        if any(shares):
            return _as_whole([share or Fraction(0) for share in shares])
    return [1] * len(entries)


def _as_whole(shares: list[Fraction]) -> list[int]:
    """The same shares in whole numbers that a weight may have."""
    factor = lcm(*[share.denominator for share in shares])
    numbers = [round(share * factor) for share in shares]
    most = max(numbers)
    if most > _MOST_WEIGHT:
        numbers = [-(-number * _MOST_WEIGHT // most) for number in numbers]
    return numbers


def _share(written: Any) -> Fraction | None:
    if isinstance(written, bool) or not isinstance(written, int | float) or not 0 <= written <= _MOST:
        return None
    return Fraction(str(written)).limit_denominator(1_000)


def _whole(written: Any) -> int | None:
    if isinstance(written, bool) or not isinstance(written, int | float) or not 1 <= written <= _MOST:
        return None
    return int(written)
