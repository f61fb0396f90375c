"""A deployment's price: the configuration's own, else the price table's, else what `unpriced` says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gateway.config.litellm_sdk import seller as seller_of
from gateway.config.models.models import Deployment
from gateway.config.models.prices import Price as WrittenPrice
from gateway.config.models.prices import UnpricedRule
from gateway.config.models.providers import Provider
from gateway.pricing.override import compile_override
from gateway.pricing.table import PriceTable
from routing.money import Price

CEILING_ID = "config:unpriced"


class Priced(NamedTuple):
    """What a deployment costs and how long its context is."""

    price: Price | None
    unpriced: bool
    """The price is the ceiling."""
    context_tokens: int | None


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
        if spec.price is not None:
            return Priced(override(spec.price, f"config:{name}"), False, context_tokens)
        price = self._table.find(seller, upstream_model, url)
        if price is not None:
            return Priced(price, False, context_tokens)
        return Priced(self._ceiling, self._ceiling is not None, context_tokens)

    def suggest(self, model: str) -> list[str]:
        """Priced models with names like `model`."""
        return self._table.suggest(model)


def override(written: WrittenPrice, price_id: str) -> Price:
    """The configured price. Raises ValueError as `compile_override` does."""
    return compile_override(written.model_dump(exclude_unset=True), price_id)


def load_table(cache_dir: Path) -> PriceTable:
    """The price table, from `cache_dir` where that can be written. Raises PriceTableError."""
    from gateway.pricing.cache import PriceTableError

    try:
        return PriceTable.load(cache_dir)
    except PriceTableError:  # a read-only folder, as when a configuration is checked elsewhere
        return PriceTable.load(None)
