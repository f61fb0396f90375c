"""What the tokens of charges cost by kind: their price point's rates, where they explain the charge to the nano-dollar.

A charge knows its price point by name alone, and a name's rates may have changed since: so what each of the rates that
it ever had comes to is compared with what was charged. Each charge was rounded up once, by less than a nano-dollar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from routing.catalog import Model
from routing.money import PICO_PER_NANO, Price, PricePoint, Usage

REQUEST: Final = "request"


class Part(NamedTuple):
    """A kind of token, or the fee for requests."""

    kind: str
    quantity: int
    pico_usd: int
    """Of one."""


def price_points(models: Iterable[Model]) -> dict[str, PricePoint]:
    """All rates of the configured models' deployments, by name."""
    found: dict[str, PricePoint] = {}
    for model in models:
        for deployment in model.deployments:
            if isinstance(deployment.price, Price):
                tiers = (tier for period in deployment.price.periods for each in period.tiers.values() for tier in each)
                found.update((tier.point.id, tier.point) for tier in tiers)
    return found


def with_former(
    present: Mapping[str, PricePoint], noted: Mapping[str, Sequence[PricePoint]]
) -> dict[str, Sequence[PricePoint]]:
    """By name: the rates of the configuration, then those that the journal remembers (`gateway.journal.prices`)."""
    return {
        name: tuple(dict.fromkeys((*([present[name]] if name in present else []), *noted.get(name, ()))))
        for name in present.keys() | noted.keys()
    }


def explained(usage: Usage, attempts: int, cost: int, rates: Sequence[PricePoint]) -> Sequence[Part] | None:
    """The parts by the first of these rates that explains the sum; None where none does."""
    return next((found for point in rates if (found := parts(usage, attempts, cost, point)) is not None), None)


def parts(usage: Usage, attempts: int, cost: int, point: PricePoint) -> Sequence[Part] | None:
    """The parts that a sum of charges at one price point consists of; None where its rates do not explain it."""
    if min(usage) < 0 or attempts < 0:
        return None
    cached_audio = min(usage.cache_read_audio_tokens, usage.cache_read_tokens)
    counts: Mapping[str, int] = {
        "cache_read": usage.cache_read_tokens - cached_audio,
        "cache_read_audio": cached_audio,
        "input_audio": usage.input_audio_tokens - cached_audio,
        "cache_write": usage.cache_write_tokens,
        "cache_write_1h": usage.cache_write_1h_tokens,
        "input_image": usage.input_image_tokens,
        "output_audio": usage.output_audio_tokens,
        "output_image": usage.output_image_tokens,
    }
    inputs = sum(count for kind, count in counts.items() if not kind.startswith("output"))
    outputs = counts["output_audio"] + counts["output_image"]
    counts = {"input": usage.input_tokens - inputs, "output": usage.output_tokens - outputs, **counts}
    if min(counts.values()) < 0:
        return None
    found = [Part(kind, count, getattr(point, kind)) for kind, count in counts.items() if count]
    if point.request_nano_usd:
        found.append(Part(REQUEST, attempts, point.request_nano_usd * PICO_PER_NANO))
    rounded = cost * PICO_PER_NANO - sum(part.quantity * part.pico_usd for part in found)
    return found if 0 <= rounded < max(1, attempts) * PICO_PER_NANO else None
