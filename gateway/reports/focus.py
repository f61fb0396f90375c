"""The FOCUS 1.2 export: cost and usage as finance's tools read it (the FinOps Open Cost and Usage Specification).

A row for each day, owner, price and kind of token. Numbers are decimals, never floats: a unit price times its quantity
is the cost, digit by digit. What a charge was rounded up by, and what late settlements corrected, are adjustments of
their own, so that the file's total is the journal's to the nano-dollar. Where no rates that the price point ever had
explain what was charged (a price that changed within the day, a lost gateway, an amount that the provider named) the
row has the amount as the price of one unit. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from gateway.reports.periods import instant, month_bounds
from gateway.reports.rates import REQUEST, Part, explained
from routing.money import NANO_PER_USD, PICO_PER_NANO, PricePoint, Usage

_PICO_PER_USD: Final = NANO_PER_USD * PICO_PER_NANO
_SETTLED: Final = "settled"
_CHANGES: Final = frozenset(("correction", "reconciled"))
TAG_PREFIX: Final = "farebox/"

KINDS: Final[Mapping[str, str]] = {
    "BilledCost": "exact",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingAccountType": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "text",
    "BillingPeriodStart": "text",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "text",
    "ChargePeriodStart": "text",
    "ConsumedQuantity": "exact",
    "ConsumedUnit": "text",
    "ContractedCost": "exact",
    "ContractedUnitPrice": "exact",
    "EffectiveCost": "exact",
    "InvoiceId": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "exact",
    "ListUnitPrice": "exact",
    "PricingCategory": "text",
    "PricingQuantity": "exact",
    "PricingUnit": "text",
    "ProviderName": "text",
    "PublisherName": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceSubcategory": "text",
    "SkuId": "text",
    "SkuMeter": "text",
    "SkuPriceDetails": "text",
    "SkuPriceId": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "SubAccountType": "text",
    "Tags": "text",
    "x_Purpose": "text",
    "x_Resolution": "text",
    "x_Estimated": "text",
    "x_Unpriced": "text",
    "x_Deployment": "text",
    "x_Attempts": "count",
}
"""The columns in their order, and what is in them (as `gateway.reports.parquet` calls it)."""

_NOTHING: Final = dict.fromkeys(KINDS)


class Charged(NamedTuple):
    """A row of `daily`, or the same of charges with labels that roll-ups do not know."""

    day: int
    org: str
    team: str
    agent: str
    model: str
    deployment: str
    provider: str
    upstream_model: str
    price_point: str
    service_tier: str
    purpose: str
    resolution: str
    estimated: bool
    unpriced: bool
    attempts: int
    usage: Usage
    cost: int
    listed: int
    labels: tuple[tuple[str, str], ...] = ()
    """Further tags: the run, the user."""
    fee: int = 0
    """Part of the cost: what was billed by count."""


def focus_rows(charged: Iterable[Charged], rates: Mapping[str, Sequence[PricePoint]]) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of `KINDS`: text, Decimal, whole numbers, None for FOCUS's null.

    `rates`: all that a price point has, or had, by its name.
    """
    for each in charged:
        for row in _rows(each, rates):
            yield tuple(row.values())


def _rows(of: Charged, rates: Mapping[str, Sequence[PricePoint]]) -> Iterator[dict[str, Any]]:
    if of.resolution in _CHANGES:
        yield _adjustment(of, of.cost * PICO_PER_NANO, of.listed * PICO_PER_NANO, "Corrected")
        return
    metered = None
    if of.resolution == _SETTLED and of.listed == of.cost:
        metered = explained(of.usage, of.attempts, of.cost - of.fee, rates.get(of.price_point, ()))
    if metered is None:
        if of.cost or of.listed:
            yield _lump(of)
        return
    rest = (of.cost - of.fee) * PICO_PER_NANO
    for part in metered:
        rest -= part.quantity * part.pico_usd
        yield _metered(of, part)
    if of.fee:
        yield _fees(of)
    if rest:
        yield _adjustment(of, rest, rest, "Rounded up to a nano-dollar a charge")


def _metered(of: Charged, part: Part) -> dict[str, Any]:
    price, quantity = _usd(part.pico_usd), Decimal(part.quantity)
    unit = "Requests" if part.kind == REQUEST else "Tokens"
    amount = _usd(part.pico_usd * part.quantity)
    meter = "Requests" if part.kind == REQUEST else f"{part.kind.replace('_', ' ').capitalize()} tokens"
    row = _usage(of, meter, f"{of.price_point}#{part.kind}@{part.pico_usd}")
    return row | {
        **_costs(amount, amount),
        "ChargeDescription": f"{meter} of {of.upstream_model} at {of.provider}",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
    }


def _lump(of: Charged) -> dict[str, Any]:
    """An amount as such: the tokens are told, their price is not."""
    cost, listed = _usd(of.cost * PICO_PER_NANO), _usd(of.listed * PICO_PER_NANO)
    tokens = of.usage.input_tokens + of.usage.output_tokens
    row = _usage(of, "Model usage", f"{of.price_point or 'none'}#usage")
    return row | {
        **_costs(cost, listed),
        "ChargeDescription": f"Usage of {of.upstream_model} at {of.provider}",
        "ConsumedQuantity": Decimal(tokens),
        "ConsumedUnit": "Tokens",
        "PricingQuantity": Decimal(1),
        "PricingUnit": "Units",
        "ListUnitPrice": listed,
        "ContractedUnitPrice": cost,
    }


def _fees(of: Charged) -> dict[str, Any]:
    """What was billed by count, as an amount: the roll-ups do not tell searches from images."""
    amount = _usd(of.fee * PICO_PER_NANO)
    row = _usage(of, "Services", f"{of.price_point}#services")
    return row | {
        **_costs(amount, amount),
        "ChargeDescription": f"Services and units of {of.upstream_model} at {of.provider}",
        "ConsumedQuantity": Decimal(of.attempts),
        "ConsumedUnit": "Requests",
        "PricingQuantity": Decimal(1),
        "PricingUnit": "Units",
        "ListUnitPrice": amount,
        "ContractedUnitPrice": amount,
    }


def _adjustment(of: Charged, pico_usd: int, listed_pico_usd: int, why: str) -> dict[str, Any]:
    cost = _usd(pico_usd)
    description = f"{why}: {of.upstream_model or of.model} at {of.provider}"
    return _base(of) | {
        **_costs(cost, _usd(listed_pico_usd)),
        "ChargeCategory": "Adjustment",
        "ChargeDescription": description,
    }


def _usage(of: Charged, meter: str, price_id: str) -> dict[str, Any]:
    details = {"x_PricePoint": of.price_point, "x_ServiceTier": of.service_tier or "default"}
    return _base(of) | {
        "ChargeCategory": "Usage",
        "PricingCategory": "Standard",
        "SkuId": f"{of.provider}/{of.upstream_model}#{meter}",
        "SkuMeter": meter,
        # Its id says which deployment's, since no price id may stand for two SKUs.
        "SkuPriceId": f"{of.provider}/{of.upstream_model}:{price_id}",
        "SkuPriceDetails": json.dumps(details, ensure_ascii=False),
    }


def _base(of: Charged) -> dict[str, Any]:
    month, after = month_bounds(of.day)
    tags = {"org": of.org, "team": of.team, "agent": of.agent, "model": of.model, **dict(of.labels)}
    return _NOTHING | {
        "BillingAccountId": of.org or "(none)",
        "BillingAccountName": of.org or "(none)",
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "BillingPeriodStart": instant(month),
        "BillingPeriodEnd": instant(after),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": instant(of.day),
        "ChargePeriodEnd": instant(of.day + 1),
        "InvoiceIssuerName": of.provider,
        "ProviderName": of.provider,
        "PublisherName": of.provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": of.upstream_model or of.model or "(none)",
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": of.team or None,
        "SubAccountName": of.team or None,
        "SubAccountType": "Team" if of.team else None,
        "Tags": json.dumps({f"{TAG_PREFIX}{name}": value for name, value in tags.items() if value}, ensure_ascii=False),
        "x_Purpose": of.purpose,
        "x_Resolution": of.resolution,
        "x_Estimated": str(of.estimated).lower(),
        "x_Unpriced": str(of.unpriced).lower(),
        "x_Deployment": of.deployment,
        "x_Attempts": of.attempts,
    }


def _costs(cost: Decimal, listed: Decimal) -> dict[str, Decimal]:
    return {"BilledCost": cost, "EffectiveCost": cost, "ContractedCost": cost, "ListCost": listed}


def _usd(pico_usd: int) -> Decimal:
    """Exact: twelve places at most."""
    return Decimal(pico_usd).scaleb(-12)


def text_of(value: Any) -> str:
    """A value as FOCUS writes it in CSV: no exponents, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)
