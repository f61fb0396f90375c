"""Prices as people write them: USD per million tokens, in quoted decimals."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Count, EmptyIsNone, Id, UnitName, UsdPerMillion, UsdPerRequest, Written

Tariff = dict[UnitName, UsdPerRequest]
"""USD of one unit, by its name."""


class Rates(Written):
    """Rates of a tier. What is not given costs what the price above it says."""

    input: UsdPerMillion | None = Field(None, description="Input tokens, USD per million.")
    output: UsdPerMillion | None = Field(None, description="Output tokens, reasoning included, USD per million.")
    cache_read: UsdPerMillion | None = Field(
        None, description="Input read from a prompt cache, USD per million tokens."
    )
    cache_write: UsdPerMillion | None = Field(
        None, description="Input written to a prompt cache, USD per million tokens."
    )
    cache_write_1h: UsdPerMillion | None = Field(
        None, description="Input written to a prompt cache for an hour, USD per million tokens."
    )
    input_audio: UsdPerMillion | None = Field(None, description="Audio input, USD per million tokens.")
    cache_read_audio: UsdPerMillion | None = Field(
        None, description="Audio input read from a prompt cache, USD per million tokens."
    )
    input_image: UsdPerMillion | None = Field(None, description="Image input, USD per million tokens.")
    output_audio: UsdPerMillion | None = Field(None, description="Audio output, USD per million tokens.")
    output_image: UsdPerMillion | None = Field(None, description="Image output, USD per million tokens.")
    request: UsdPerRequest | None = Field(None, description="A fee per request, USD.")


class ContextTier(Rates):
    """Other rates for long requests."""

    above_input_tokens: Count = Field(description="Applies to the whole request when its input is larger than this.")


class ServiceTier(Rates):
    """Other rates for a service tier."""

    context_tiers: list[ContextTier] = Field([], description="Rates for long requests in this service tier.")


class Price(ServiceTier):
    """What a deployment costs, instead of what the price table says."""

    input: UsdPerMillion = Field(description='Input tokens, USD per million. An explicit "0" is a price.')
    output: UsdPerMillion = Field(description="Output tokens, reasoning included, USD per million.")
    service_tiers: Annotated[dict[Id, ServiceTier], EmptyIsNone] = Field(
        {}, description="Rates by service tier: `flex`, `priority`, `batch`."
    )


class Ceiling(Written):
    """What a model without a known price is charged."""

    input: UsdPerMillion = Field(description="Input tokens, USD per million.")
    output: UsdPerMillion = Field(description="Output tokens, USD per million.")


class UnpricedRule(Written):
    """What happens to a model without a price."""

    ceiling: Ceiling | None = Field(None, description="Charge it this instead of refusing it.")


def _deny(value: Any) -> Any:
    if value == "deny":
        return {}
    if not isinstance(value, dict) or not value:
        raise PydanticCustomError("unpriced", "should be `deny`, or `ceiling:` with `input` and `output`")
    return value


Unpriced = Annotated[
    UnpricedRule,
    BeforeValidator(_deny),
    PlainSerializer(lambda rule: rule.model_dump(exclude_none=True) or "deny"),
]
