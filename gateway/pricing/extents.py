"""The most that a request beside chat can cost at a deployment, and what its answer is charged as. Pure.

Such an answer is billed by tokens or by a unit (an image, a character, a second), as the deployment's price and tariff
have it. Where the answer tells its tokens and the deployment has a price for them, they count; where the tariff lists
the unit, the unit does; where neither can be, the request's estimate of tokens is charged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.errors import CostUnbounded
from gateway.pricing.dearest import Rates, dearest
from gateway.wire.extent import UNKNOWN, Extent
from gateway.wire.others import PARTIAL_TOKENS
from routing.catalog import Deployment
from routing.money import NanoUsd, Price, Usage
from routing.tariff import OPEN, may_vary, rate

_SIZES: Final = {"1024x1024": 0, "1024x1536": 1, "1536x1024": 2}
_IMAGE_TOKENS: Final = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}
"""Output tokens of one image (platform.openai.com/docs/guides/image-generation, "Cost and latency")."""
_FAMILY: Final = re.compile(r"gpt-image-1(-mini|\.5)?(-\d{4}-\d\d-\d\d)?|sim-image")
"""The models that the table is about."""


class Limit(NamedTuple):
    """A bound's parts."""

    usage: Usage
    """The most tokens."""
    input_pico_usd: int
    output_rate: int
    """Pico-USD a token."""
    fee: NanoUsd


class Billed(NamedTuple):
    """What an answer is charged as."""

    usage: Usage
    services: Mapping[str, int] | None
    estimated: bool


def limit(extent: Extent, deployment: Deployment, service_tier: str, now_s: float) -> Limit:
    """The most that a request can be billed for, at Unix time `now_s`. Raises CostUnbounded (400)."""
    rates = _rates(deployment, service_tier, now_s)
    usage = Usage() if _is_free(rates) else _most(extent, deployment)
    input_rate, output_rate = rates.input, rates.output
    if usage.input_audio_tokens:
        input_rate = max(input_rate, rates.audio)
    if usage.input_image_tokens:
        input_rate = max(input_rate, rates.image)
    if usage.output_audio_tokens:
        output_rate = max(output_rate, rates.output_audio)
    fees = sum(count * (rate(deployment.tariff, unit) or 0) for unit, count in extent.most_units.items())
    return Limit(usage, usage.input_tokens * input_rate, output_rate, NanoUsd(fees + rates.request_nano_usd))


def unseen(extent: Extent, deployment: Deployment, now_s: float, *, most: bool) -> Billed:
    """What an answer that did not come whole is charged as; `most`: no less than what it can have been billed for."""
    usage = Usage()
    if not _is_free(_rates(deployment, "default", now_s)) and (most or not _is_priced(extent.units, deployment)):
        usage = _most(extent, deployment) if most else extent.estimate
    services = extent.most_units if most else extent.units
    return Billed(usage, services if _is_priced(services, deployment) else None, estimated=not _is_exact(extent, usage))


def billed(
    extent: Extent, told: Usage | None, counted: Mapping[str, int] | None, deployment: Deployment, now_s: float
) -> Billed:
    """What a whole answer is charged as that `told` its tokens, or its units (`counted`), or neither."""
    free = _is_free(_rates(deployment, "default", now_s))
    units = extent.units if counted is None else _named(counted, extent.units)
    if told is not None and not free:
        return Billed(told, units if counted is not None else None, estimated=False)
    if _is_priced(units, deployment) or free:
        exact = counted is not None or extent.exact or (told is not None and not _is_priced(units, deployment))
        exact = exact and not any(may_vary(deployment.tariff, unit) for unit in units)
        return Billed(told or Usage(), units or None, estimated=not exact)
    return Billed(extent.estimate, units if counted is not None else None, estimated=True)


def _is_exact(extent: Extent, usage: Usage) -> bool:
    return extent.exact and not any(usage)


def _named(counted: Mapping[str, int], asked: Mapping[str, int]) -> Mapping[str, int]:
    """Units that were counted, under the names by which they were asked for: `image:1024x1024`."""
    names = {unit.partition(":")[0]: unit for unit in asked}
    return {names.get(unit, unit): count for unit, count in counted.items()}


def _is_priced(units: Mapping[str, int], deployment: Deployment) -> bool:
    return any(rate(deployment.tariff, unit) is not None for unit in units)


def _rates(deployment: Deployment, service_tier: str, now_s: float) -> Rates:
    price = deployment.price
    assert isinstance(price, Price), "a deployment without a price is never called"  # noqa: S101 -- admission refuses it
    return dearest(price, service_tier, deployment.context_tokens or 0, now_s)


def _is_free(rates: Rates) -> bool:
    """Whether tokens cost nothing."""
    return not any(rates[:-1])


def _most(extent: Extent, deployment: Deployment) -> Usage:
    """No more tokens than these."""
    made = _most_output(extent, deployment)
    given = extent.most.input_tokens
    if given == UNKNOWN:
        if deployment.context_tokens is None:
            raise CostUnbounded(
                "How many tokens of input this request counts for is not known here. Configure the model's "
                "`context_tokens`.",
                param=extent.field,
            )
        given = deployment.context_tokens
    elif deployment.context_tokens is not None:
        given = min(given, deployment.context_tokens)
    most = extent.most
    return Usage(
        given,
        made,
        input_audio_tokens=given if most.input_audio_tokens else 0,
        input_image_tokens=given if most.input_image_tokens else 0,
        output_audio_tokens=made if most.output_audio_tokens else 0,
        output_image_tokens=made if most.output_image_tokens else 0,
    )


def _most_output(extent: Extent, deployment: Deployment) -> int:
    if extent.images is not None:
        images = extent.images
        each = deployment.max_output_tokens or image_tokens(deployment.upstream_model, images.size, images.quality)
        if each is None:
            raise CostUnbounded(
                "How many tokens an image of this model counts for is not known here. Configure the model's "
                "`max_output_tokens`.",
                param="model",
            )
        return images.number * (each + images.partial * PARTIAL_TOKENS)
    made = extent.most.output_tokens
    longest = deployment.max_output_tokens or deployment.context_tokens
    if made == UNKNOWN:
        if longest is None:
            raise CostUnbounded(
                "Nothing bounds how long the answer may become. Configure the model's `max_output_tokens`.",
                param=extent.field,
            )
        return longest
    return made if deployment.max_output_tokens is None else min(made, deployment.max_output_tokens)


def image_tokens(upstream_model: str, size: str, quality: str) -> int | None:
    """The most output tokens of one image; None where its model does not document them."""
    if not _FAMILY.fullmatch(upstream_model.lower().rpartition("/")[2]):
        return None
    by_size = _IMAGE_TOKENS["high"] if quality in ("", OPEN) else _IMAGE_TOKENS.get(quality)
    if by_size is None:
        return None
    return max(by_size) if size in ("", OPEN) else by_size[_SIZES[size]] if size in _SIZES else None
