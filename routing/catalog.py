"""What can be called: models by the names clients use, each with its deployments at providers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from routing.balance import StrategyName
from routing.hedge import HedgeSettings
from routing.money import Price
from routing.tariff import NO_TARIFF, Tariff

ENDLESS: Final = 1 << 62
"""Longer than any context window."""


@dataclass(frozen=True, slots=True)
class Metering:
    """How a deployment's streams can be counted while they run, as its operator declares. Rates are the highest."""

    tokens_per_event: int = 1
    """Output tokens in one event at most."""
    tokens_per_s: float = 400.0
    """Generated a second at most."""
    cancel_s: float = 0.5
    """From the end of a connection to the end of its generation."""
    read_ahead_tokens: int = 0
    """Generated and not yet sent at most."""
    running_usage: bool = False
    """Every event says what was used so far, when it is asked to, as vLLM's do."""

    @property
    def margin_tokens(self) -> int:
        """What may be generated beyond what was seen: money for it has to be there before it is."""
        return self.tokens_per_event + self.read_ahead_tokens + math.ceil(self.tokens_per_s * self.cancel_s)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at one provider's endpoint, with a price and capacities."""

    id: str
    """`provider/upstream-model`, unique in a configuration; a metric label."""
    provider: str
    upstream_model: str
    """The name that the provider knows it by."""
    price: Price | None
    """None only where the configuration says `unpriced: ceiling` has no ceiling to offer: such a call is refused."""
    unpriced: bool = False
    """True when `price` is the configured ceiling because the model has no price of its own."""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    metering: Metering | None = None
    """None: its streams cannot be counted or do not stop when the connection does, so its requests reserve strictly."""
    max_tokens_field: str = "max_tokens"
    """The chat field that bounds an answer here, for requests that name none: or `max_completion_tokens`."""
    image_tokens: int | None = None
    """The most one image counts for; None: as its model's family documents, else the context window."""
    model: str = ""
    """The name of the model that it serves here: a route may mix models. Its `Model` sets it."""
    apis: frozenset[str] | None = None
    """What it can be asked by: `chat`, `completions`, `embeddings`; None: nothing is known, so it counts as able."""
    tools: bool | None = None
    """Whether it takes tools. None, here and below: nothing is known, so it counts as able."""
    parallel_tools: bool | None = None
    """Whether one answer may call several tools."""
    vision: bool | None = None
    """Whether it takes images."""
    json_schema: bool | None = None
    """Whether it keeps to a JSON schema."""
    tags: frozenset[str] = frozenset()
    """What its operator says of it: `eu`. An agent's `residency` asks for them."""
    watched: bool = False
    """Whether a model's strategy has to know how busy and quick it is."""
    tariff: Tariff = field(default_factory=lambda: NO_TARIFF)
    """What it bills by other units than tokens, in nano-USD of one."""


@dataclass(frozen=True, slots=True)
class Model:
    """A name that clients ask for, and its candidates in order."""

    name: str
    deployments: tuple[Deployment, ...]
    created_s: int = 0
    owner: str = "farebox"
    hedge: HedgeSettings | None = None
    """When a second deployment is called beside the first; None: never."""
    strategy: StrategyName = "ordered"
    """Which of the deployments is called first."""
    weights: tuple[int, ...] = ()
    """Of the deployments, one each; empty: all weigh the same."""
    selective: bool = field(init=False, repr=False, compare=False, default=False)
    """Whether one of them declares that it cannot do something: then it depends on the request which may be called."""
    shortest_tokens: int = field(init=False, repr=False, compare=False, default=0)
    """The shortest of their context windows; `ENDLESS` where none is known."""
    priced: tuple[Deployment, ...] = field(init=False, repr=False, compare=False)
    """Those that have a price: only they may be called."""

    def __post_init__(self) -> None:
        """Its deployments say that they are its own, even one that other models share."""
        if any(each.model != self.name for each in self.deployments):
            own = tuple([replace(each, model=self.name) for each in self.deployments])
            object.__setattr__(self, "deployments", own)
        object.__setattr__(self, "priced", tuple([each for each in self.deployments if each.price is not None]))
        object.__setattr__(self, "selective", any(_is_selective(each) for each in self.deployments))
        windows = [each.context_tokens or ENDLESS for each in self.deployments]
        object.__setattr__(self, "shortest_tokens", min(windows, default=ENDLESS))


def _is_selective(deployment: Deployment) -> bool:
    abilities = (deployment.tools, deployment.parallel_tools, deployment.vision, deployment.json_schema)
    return deployment.apis is not None or False in abilities


@dataclass(frozen=True, slots=True)
class WildcardModel:
    """A pattern such as `openai/*`: whatever `*` stands for is the upstream's model name."""

    pattern: str
    provider: str
    upstream_pattern: str
    """`*` is replaced by what the pattern's `*` matched."""

    def match(self, name: str) -> str | None:
        """The upstream model for `name`, or None when the pattern does not fit."""
        if not fnmatchcase(name, self.pattern):
            return None
        prefix, _, suffix = self.pattern.partition("*")
        captured = name[len(prefix) : len(name) - len(suffix)]
        return self.upstream_pattern.replace("*", captured, 1) if captured else None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models of one configuration."""

    models: Mapping[str, Model]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Another name for a model in `models`."""
    wildcards: tuple[WildcardModel, ...] = ()
    """Tried in order when no model and no alias has the name; longest literal prefix first."""

    def find(self, name: str) -> Model | None:
        """The model behind a name or alias. Wildcards are not tried: they need a price (`gateway.pricing`)."""
        model = self.models.get(name)
        if model is None and (target := self.aliases.get(name)) is not None:
            model = self.models[target]
        return model

    def with_model(self, model: Model) -> Catalog:
        """A catalog that knows `model` as well."""
        return replace(self, models={**self.models, model.name: model})
