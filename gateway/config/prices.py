"""A deployment's price: the configuration's own, else the price table's, else what `unpriced` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.config.litellm_sdk import seller as seller_of
from gateway.config.models.models import Deployment
from gateway.config.models.prices import Price as WrittenPrice
from gateway.config.models.prices import UnpricedRule
from gateway.config.models.providers import Provider
from gateway.pricing.override import compile_override
from gateway.pricing.rates import RATE_NAMES
from gateway.pricing.table import PriceTable
from routing.money import ContextTier, Price, PricePeriod, PricePoint, parse_usd
from routing.tariff import NO_TARIFF, Tariff, apis_of

CEILING_ID = "config:unpriced"


class Priced(NamedTuple):
    """What a deployment costs and how long its context is."""

    price: Price | None
    unpriced: bool
    """The price is the ceiling."""
    context_tokens: int | None
    tariff: Tariff = NO_TARIFF
    """What is billed by other units than tokens."""
    apis: frozenset[str] | None = None
    """The only APIs that a price without tokens is one for; None: any."""


class Prices:
    """Finds prices for one configuration."""

    def __init__(self, table: PriceTable, unpriced: UnpricedRule) -> None:
        self._table = table
        self._ceiling: Price | None = None
        if unpriced.ceiling is not None:
            self._ceiling = compile_override(unpriced.ceiling.model_dump(), CEILING_ID)

    def of(self, name: str, spec: Deployment, provider_id: str, provider: Provider, upstream_model: str) -> Priced:
        """The price of `upstream_model`. `name` is what an override is called after.

        Raises ValueError, with a path below `price`, when the override contradicts itself.
        """
        seller, url = seller_of(provider_id, provider), provider.base_url
        context_tokens = spec.context_tokens or self._table.context_tokens(seller, upstream_model, url)
        tariff = _tariff(self._table.tariff(seller, upstream_model, url), provider.tariff, spec.tariff)
        if spec.price is not None:
            return Priced(override(spec.price, f"config:{name}"), False, context_tokens, tariff)
        price = self._table.find(seller, upstream_model, url)
        if price is not None:
            return Priced(price, False, context_tokens, tariff)
        apis = apis_of(tariff) | self._table.free_apis(seller, upstream_model, url)
        if apis:
            return Priced(_no_tokens(name), False, context_tokens, tariff, apis)
        return Priced(self._ceiling, self._ceiling is not None, context_tokens, tariff)

    def suggest(self, model: str) -> list[str]:
        """Priced models with names like `model`."""
        return self._table.suggest(model)


def override(written: WrittenPrice, price_id: str) -> Price:
    """The configured price. Raises ValueError as `compile_override` does."""
    return compile_override(written.model_dump(exclude_unset=True), price_id)


def _tariff(listed: Tariff, *written: Mapping[str, str] | None) -> Tariff:
    """The units' fees: those that are written last count. A unit's own listing hides what is listed in more detail."""
    tariff = dict(listed)
    for fees in written:
        names = {unit.partition(":")[0] for unit in fees or ()}
        tariff = {unit: nano for unit, nano in tariff.items() if unit.partition(":")[0] not in names}
        tariff.update((unit, parse_usd(usd)) for unit, usd in (fees or {}).items())
    return tariff


def _no_tokens(name: str) -> Price:
    """The price of what is billed by its tariff alone, or free."""
    point = PricePoint._make((f"tariff:{name}", *(0 for _ in RATE_NAMES), 0))
    return Price((PricePeriod({"default": (ContextTier(-1, point),)}),))


def load_table(cache_dir: Path) -> PriceTable:
    """The price table, from `cache_dir` where that can be written. Raises PriceTableError."""
    from gateway.pricing.cache import PriceTableError

    try:
        return PriceTable.load(cache_dir)
    except PriceTableError:  # a read-only folder, as when a configuration is checked elsewhere
        return PriceTable.load(None)
