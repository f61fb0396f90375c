"""Models behind patterns such as `openai/*`, priced when a request first asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from gateway.config.metering import declared
from gateway.config.models.models import Deployment as WrittenDeployment
from gateway.config.models.providers import Provider
from gateway.config.prices import Prices
from routing.catalog import Deployment, Model, WildcardModel

_KEPT = 4096
_MAX_NAME = 256
"""Longer names, which clients choose freely, match nothing."""


class Pattern(NamedTuple):
    """A wildcard, and what the configuration says about its deployment."""

    wildcard: WildcardModel
    spec: WrittenDeployment
    provider: Provider


class Wildcards:
    """All patterns of a configuration, the longest literal prefix first. Answers are kept, up to a bound."""

    def __init__(self, patterns: list[Pattern], prices: Prices) -> None:
        self.patterns = sorted(patterns, key=lambda p: _precedence(p.wildcard.pattern))
        self._prices = prices
        self._kept = lru_cache(_KEPT)(self._resolve)

    def resolve(self, name: str) -> Model | None:
        """The model that `name` stands for. Its deployment has no price when none is known and `unpriced` is `deny`."""
        return self._kept(name) if len(name) <= _MAX_NAME else None

    def _resolve(self, name: str) -> Model | None:
        for wildcard, spec, provider in self.patterns:
            upstream_model = wildcard.match(name)
            if upstream_model is None:
                continue
            priced = self._prices.of(wildcard.pattern, spec, wildcard.provider, provider, upstream_model)
            deployment = Deployment(
                id=f"{wildcard.provider}/{upstream_model}",
                provider=wildcard.provider,
                upstream_model=upstream_model,
                price=priced.price,
                unpriced=priced.unpriced,
                context_tokens=priced.context_tokens,
                apis=priced.apis,
                tariff=priced.tariff,
                **declared(spec, provider),
            )
            return Model(name, (deployment,), owner=wildcard.provider)
        return None


def _precedence(pattern: str) -> tuple[int, int, str]:
    prefix, _, suffix = pattern.partition("*")
    return -len(prefix), -len(suffix), pattern


def matches_any(name: str, patterns: Mapping[str, object]) -> bool:
    """Whether one of the patterns (each with one `*`) fits `name`."""
    return any(_fits(name, pattern) for pattern in patterns if "*" in pattern)


def _fits(name: str, pattern: str) -> bool:
    prefix, _, suffix = pattern.partition("*")
    return len(name) > len(prefix) + len(suffix) and name.startswith(prefix) and name.endswith(suffix)
