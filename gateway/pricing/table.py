"""What each model costs at each provider, by genai-prices' own rules for finding it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.pricing.cache import read_or_compile
from gateway.pricing.documented import documented, free_apis
from gateway.pricing.match import Clause, dashed_dates, matches
from routing.money import ContextTier, Price, PricePeriod, PricePoint

_LOOKUPS_KEPT = 4096
_SUGGESTIONS = 3


class RawProvider(msgspec.Struct, array_like=True, frozen=True):
    """A provider as compiled. Its models stay packed until one is asked for."""

    id: str
    api_pattern: str
    provider_match: Clause | None
    model_match: Clause | None
    fallbacks: list[str]
    """Ids of providers whose models it sells as well."""
    models: msgspec.Raw


class RawModel(msgspec.Struct, array_like=True, frozen=True):
    """A model as compiled. Its price stays packed until it is asked for."""

    id: str
    match: Clause
    context_tokens: int | None
    price: msgspec.Raw
    tariff: dict[str, int]
    """What is billed by other units than tokens, in nano-USD of one."""


class _Found(NamedTuple):
    """A model, and which provider's list it is on."""

    provider: str
    model: RawModel
    borrowed: bool
    """Found with a provider that the asked one falls back to: its service tiers do not come along."""


_PeriodData = tuple[int | None, int | None, int | None, dict[str, list[tuple[int, tuple[int, ...], int]]]]

_decode_providers = msgspec.msgpack.Decoder(list[RawProvider]).decode
_decode_models = msgspec.msgpack.Decoder(list[RawModel]).decode
_decode_price = msgspec.msgpack.Decoder(list[_PeriodData] | None).decode


class PriceTable:
    """All prices of the installed genai-prices. Immutable but for its caches; not for several threads at once."""

    def __init__(self, packed: bytes | memoryview) -> None:
        self._providers = _decode_providers(packed)
        self._by_id = {provider.id: provider for provider in self._providers}
        self._models: dict[str, list[RawModel]] = {}
        self._lookup = lru_cache(_LOOKUPS_KEPT)(self._find)
        self._price = lru_cache(_LOOKUPS_KEPT)(self._find_price)

    @classmethod
    def load(cls, cache_dir: Path | None = None) -> PriceTable:
        """Read the table kept in `cache_dir`, or compile it in a process of its own (under a second) and keep it there.

        Raises `gateway.pricing.cache.PriceTableError` when it can be neither read nor made.
        """
        return cls(read_or_compile(cache_dir))

    def find(self, provider: str | None, model: str, base_url: str | None = None) -> Price | None:
        """The price of `model` at a provider, or None when there is none: never a guess, never zero for want of one.

        The provider is looked for by its id (`openai`, or a name that genai-prices takes for one, as `vertex` is for
        `google`), then by `base_url`; by the model's name alone only when neither is given.
        """
        return self._price(provider, model, base_url)

    def context_tokens(self, provider: str | None, model: str, base_url: str | None = None) -> int | None:
        """The longest input that the model takes, in tokens, where it is known."""
        found = self._lookup(provider, model, base_url)
        return found.model.context_tokens if found else None

    def tariff(self, provider: str | None, model: str, base_url: str | None = None) -> dict[str, int]:
        """What the model bills by other units than tokens, in nano-USD of one: as listed, else as documented."""
        found = self._lookup(provider, model, base_url)
        seller = found.provider if found is not None else self._seller(provider, model, base_url)
        listed = {} if found is None else found.model.tariff
        return {**documented(seller, model), **listed}

    def free_apis(self, provider: str | None, model: str, base_url: str | None = None) -> frozenset[str]:
        """The APIs that the model serves for nothing, as its maker documents."""
        return free_apis(self._seller(provider, model, base_url), model)

    def _seller(self, provider: str | None, model: str, base_url: str | None) -> str:
        found = self._find_provider(provider, model.lower(), base_url)
        return "" if found is None else found.id

    def suggest(self, model: str) -> list[str]:
        """Up to three priced models with names like `model`, nearest first. Slow: for messages to people."""
        names = {name for provider in self._providers for name in self._priced_names(provider)}
        return get_close_matches(model.lower(), sorted(names), n=_SUGGESTIONS, cutoff=0.5)

    def _priced_names(self, provider: RawProvider) -> Iterator[str]:
        return (model.id for model in self._models_of(provider) if _decode_price(model.price) is not None)

    def _find_price(self, provider: str | None, model: str, base_url: str | None) -> Price | None:
        found = self._lookup(provider, model, base_url)
        return _build_price(found) if found else None

    def _find(self, provider_name: str | None, model: str, base_url: str | None) -> _Found | None:
        name = model.lower()
        if provider_name is not None and provider_name.lower() == "litellm":
            # a LiteLLM proxy: its models are called provider/model
            prefix, slash, rest = name.partition("/")
            if slash and self._provider_by_name(prefix) is not None:
                provider_name, name = prefix, rest
        provider = self._find_provider(provider_name, name, base_url)
        if provider is None:
            return None
        found = self._match(provider, name)
        if found is None and (dashed := dashed_dates(name)) != name:
            found = self._match(provider, dashed)
        return found

    def _find_provider(self, provider: str | None, model: str, base_url: str | None) -> RawProvider | None:
        if provider is not None and (named := self._provider_by_name(provider)) is not None:
            return named
        if base_url is not None:
            return next((p for p in self._providers if re.match(p.api_pattern, base_url)), None)
        if provider is not None and provider.lower() != "litellm":
            return None
        return next((p for p in self._providers if p.model_match and matches(p.model_match, model)), None)

    def _provider_by_name(self, name: str) -> RawProvider | None:
        name = name.lower().strip()
        if (exact := self._by_id.get(name)) is not None:
            return exact
        return next((p for p in self._providers if p.provider_match and matches(p.provider_match, name)), None)

    def _match(self, provider: RawProvider, name: str) -> _Found | None:
        for seller in (provider.id, *provider.fallbacks):
            listed = self._by_id.get(seller)
            for model in self._models_of(listed) if listed is not None else ():
                if matches(model.match, name):
                    return _Found(seller, model, seller != provider.id)
        return None

    def _models_of(self, provider: RawProvider) -> list[RawModel]:
        models = self._models.get(provider.id)
        if models is None:
            models = self._models[provider.id] = _decode_models(provider.models)
        return models


def _build_price(found: _Found) -> Price | None:
    data = _decode_price(found.model.price)
    if data is None:
        return None
    name = f"genai-prices:{found.provider}/{found.model.id}"
    known: dict[tuple[str, int], PricePoint] = {}
    # Oldest first: rates that a later period leaves alone keep the identity that they have.
    periods = [_build_period(name, period, found.borrowed, known) for period in reversed(data)]
    return Price(tuple(reversed(periods)))


def _build_period(
    name: str, data: _PeriodData, borrowed: bool, known: dict[tuple[str, int], PricePoint]
) -> PricePeriod:
    starts_at_s, daily_from_s, daily_to_s, data_tiers = data
    when = _when(starts_at_s, daily_from_s, daily_to_s)
    tiers = {}
    for tier, contexts in data_tiers.items():
        if borrowed and tier != "default":
            continue
        points = []
        for above, rates, fee in contexts:
            point = PricePoint._make((_point_id(name, when, tier, above), *rates, fee))
            earlier = known.get((tier, above))
            if earlier is not None and earlier[1:] == point[1:]:
                point = earlier
            known[tier, above] = point
            points.append(ContextTier(above, point))
        tiers[tier] = tuple(points)
    return PricePeriod(tiers, starts_at_s, daily_from_s, daily_to_s)


def _when(starts_at_s: int | None, daily_from_s: int | None, daily_to_s: int | None) -> str:
    """What sets a period's price points apart from the same model's others: `@20260730`, `@20260730T1630-2400`."""
    day = "" if starts_at_s is None else datetime.fromtimestamp(starts_at_s, UTC).strftime("@%Y%m%d")
    if daily_from_s is None or daily_to_s is None:
        return day
    hours = "-".join(f"{second // 3600:02d}{second // 60 % 60:02d}" for second in (daily_from_s, daily_to_s))
    return f"{day or '@'}T{hours}"


def _point_id(name: str, when: str, tier: str, above: int) -> str:
    tier_part = "" if tier == "default" else f"+{tier}"
    return f"{name}{when}{tier_part}" + (f">{above}" if above >= 0 else "")
