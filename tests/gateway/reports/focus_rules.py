"""FOCUS 1.2's rules for cost and usage rows, as far as they can be checked in one file: presence, null, types, values.

From the specification's requirements model (version 1.2): the mandatory columns, and of the conditional ones those that
apply to a provider with a price list, units, sub-accounts and tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

_MANDATORY = """
    BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency BillingPeriodEnd
    BillingPeriodStart ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost
    EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory
    ServiceName
"""
MANDATORY = _MANDATORY.split()
_CONDITIONAL = """
    ConsumedQuantity ConsumedUnit ContractedUnitPrice ListUnitPrice PricingCategory SkuId SkuMeter SkuPriceDetails
    SkuPriceId SubAccountId SubAccountName SubAccountType Tags
"""
CONDITIONAL = _CONDITIONAL.split()
RECOMMENDED = ["ChargeFrequency", "InvoiceId", "ServiceSubcategory"]
NEVER_NULL = {*MANDATORY} - {"ChargeClass", "PricingQuantity", "PricingUnit"}
_FOR_USAGE = """
    ConsumedQuantity ConsumedUnit ContractedUnitPrice ListUnitPrice PricingCategory PricingQuantity PricingUnit SkuId
    SkuPriceId
"""
FOR_USAGE = _FOR_USAGE.split()
_DECIMALS = """
    BilledCost ConsumedQuantity ContractedCost ContractedUnitPrice EffectiveCost ListCost ListUnitPrice PricingQuantity
"""
DECIMALS = _DECIMALS.split()
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Committed", "Dynamic", "Other"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},
    "BillingCurrency": {"USD"},
    "ConsumedUnit": {"", "Tokens", "Requests"},
    "PricingUnit": {"", "Tokens", "Requests", "Units"},
}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T00:00:00Z")


def problems(rows: list[Mapping[str, str]]) -> Iterator[str]:
    """What stands against the specification."""
    for number, row in enumerate(rows):
        for problem in _of_row(row):
            yield f"row {number}: {problem}"
    skus: dict[str, str] = {}
    for row in rows:
        if row["SkuPriceId"] and skus.setdefault(row["SkuPriceId"], row["SkuId"]) != row["SkuId"]:
            yield f"{row['SkuPriceId']} is of two SKUs"


def _of_row(row: Mapping[str, str]) -> Iterator[str]:
    for name in {*MANDATORY, *CONDITIONAL, *RECOMMENDED} - row.keys():
        yield f"{name} is missing"
    for name in row.keys() - {*MANDATORY, *CONDITIONAL, *RECOMMENDED}:
        if not re.fullmatch(r"x_[A-Z][A-Za-z]*", name):
            yield f"{name} is neither FOCUS's nor x_"
    usage = row["ChargeCategory"] in {"Usage", "Purchase"} and row["ChargeClass"] != "Correction"
    for name in NEVER_NULL | set(FOR_USAGE if usage else ()):
        if row[name] == "":
            yield f"{name} is null"
    for name in DECIMALS:
        if row[name] and not _NUMBER.fullmatch(row[name]):
            yield f"{name} is no decimal: {row[name]}"
    for name, allowed in ALLOWED.items():
        if row[name] not in allowed:
            yield f"{name} may not be {row[name]}"
    yield from _of_amounts(row)
    yield from _of_pairs(row)
    for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
        if not _INSTANT.fullmatch(row[name]):
            yield f"{name} is no instant: {row[name]}"
    if not row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]:
        yield "the charge's period is not in the billing period"
    for name in ("Tags", "SkuPriceDetails"):
        found = json.loads(row[name] or "{}")
        if any(not isinstance(value, str | int | float | bool) for value in found.values()):
            yield f"{name} is no map of simple values"


def _of_amounts(row: Mapping[str, str]) -> Iterator[str]:
    for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        if row[price] and row["PricingQuantity"] and row["ChargeClass"] != "Correction":
            if Decimal(row[price]) < 0 and row["x_Resolution"] == "settled":
                yield f"{price} is negative"
            if Decimal(row[price]) * Decimal(row["PricingQuantity"]) != Decimal(row[cost]):
                yield f"{price} x PricingQuantity is not {cost}"
    if row["ChargeCategory"] != "Usage" and row["ConsumedQuantity"]:
        yield "only usage is consumed"


def _of_pairs(row: Mapping[str, str]) -> Iterator[str]:
    pairs = (
        ("ConsumedUnit", "ConsumedQuantity"),
        ("PricingUnit", "PricingQuantity"),
        ("SkuMeter", "SkuId"),
        ("SubAccountType", "SubAccountId"),
        ("BillingAccountType", "BillingAccountId"),
    )
    for name, of in pairs:
        if bool(row[name]) != bool(row[of]):
            yield f"{name} and {of} are null together or not at all"
