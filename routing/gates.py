"""Gates: what a candidate has to fulfil before any rule is asked. No policy can override them. Pure.

| reason           | the candidate                                                                                 |
|------------------|-----------------------------------------------------------------------------------------------|
| `unknown_model`  | is not configured (any more)                                                                  |
| `unpriced`       | has no price, and what has no price is not called                                             |
| `allowed_models` | is not among the models of the agent, or of the key                                           |
| `residency`      | lacks a tag that the agent demands                                                            |
| `api`            | cannot be asked by the API of the request                                                     |
| `tools`, `parallel_tools`, `vision`, `json_schema` | declares that it cannot do what the request needs           |
| `context`        | has a shorter context window than the input, as estimated, and the bound on the answer        |
| `budget:<id>`    | is expected to cost more than is left of a budget with `on_exceed: downgrade` (routing.router) |

A deployment passes or does not; a model passes with those of its deployments that do. What is not known counts as
able. A breaker that is open is no gate: such a candidate is called last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, NamedTuple

from routing.catalog import ENDLESS, Deployment, Model
from routing.decision import Wanted

CAPABILITIES: Final = ("tools", "parallel_tools", "vision", "json_schema")
"""Fields of a deployment, each one bit of a mask."""
_TOOLS, _PARALLEL_TOOLS, _VISION, _JSON_SCHEMA = (1 << bit for bit in range(len(CAPABILITIES)))
DOUBT: Final = 2
"""An estimate of tokens may be so many times too high: of what is asked for by name, nothing is refused for less."""


class Demand(NamedTuple):
    """What a request demands of every candidate; worked out once."""

    needs: int
    """A mask of capabilities."""
    input_tokens: int
    """As estimated."""
    context_tokens: int
    """These, and the bound on the answer."""
    api: str
    residency: frozenset[str]
    allowed: tuple[frozenset[str], ...] = ()


def demand_of(wanted: Wanted) -> Demand:
    """What a request demands."""
    facts = wanted.facts
    needs = needs_of(facts.tools, facts.images, json_schema=facts.json_schema, parallel_tools=wanted.parallel_tools)
    tokens = facts.input_tokens
    return Demand(needs, tokens, tokens + facts.max_output_tokens, wanted.api, wanted.residency, wanted.allowed)


def needs_of(tools: int, images: int, *, json_schema: bool, parallel_tools: bool) -> int:
    """A mask of the capabilities that a request needs."""
    needs = 0
    if tools:
        needs = _TOOLS | _PARALLEL_TOOLS if parallel_tools else _TOOLS
    if images:
        needs |= _VISION
    return needs | _JSON_SCHEMA if json_schema else needs


class Gate:
    """The gate of one model: what its deployments can do, worked out at load."""

    __slots__ = ("_able", "_aliases", "_apis", "_contexts", "_lacks", "_narrowed", "_shortest", "model")

    def __init__(self, model: Model, aliases: Mapping[str, str]) -> None:
        """`aliases`: other names, to the models' own."""
        kept = [place for place, each in enumerate(model.deployments) if each.price is not None]
        self.model = model if len(kept) == len(model.deployments) else _with(model, kept)
        """Without deployments that have no price."""
        deployments = self.model.deployments
        self._aliases = (model.name, *(alias for alias, name in aliases.items() if name == model.name))
        self._lacks = [_lacks(each) for each in deployments]
        self._contexts = [each.context_tokens or ENDLESS for each in deployments]
        self._apis = [each.apis for each in deployments]
        self._able = 0  # what all of them can do
        for bit in range(len(CAPABILITIES)):
            if not any(lacks & 1 << bit for lacks in self._lacks):
                self._able |= 1 << bit
        self._shortest = min(self._contexts, default=0)
        self._narrowed: dict[tuple[int, ...], Model] = {}

    def admit(self, demand: Demand) -> tuple[Model | None, str]:
        """The model with those of its deployments that pass; or None, and what they fail at."""
        if demand.allowed and not is_allowed(demand.allowed, self._aliases):
            return None, "allowed_models"
        if (
            not demand.residency
            and not demand.needs & ~self._able
            and demand.context_tokens <= self._shortest
            and all(apis is None or demand.api in apis for apis in self._apis)
        ):
            return (self.model, "") if self._lacks else (None, "unpriced")
        return self._narrow(demand)

    def admit_named(self, demand: Demand) -> tuple[Model | None, str]:
        """The same for a model that was asked for by its own name, of which nothing else can take the place.

        Where no deployment's window is long enough for the input as estimated, those count whose window might be: their
        provider knows better. What is surely too long is refused.
        """
        admitted, reason = self.admit(demand)
        if admitted is None and "context" in reason.split(","):
            return self.admit(demand._replace(context_tokens=demand.input_tokens // DOUBT))
        return admitted, reason

    def _narrow(self, demand: Demand) -> tuple[Model | None, str]:
        deployments = self.model.deployments
        reasons = [self._reason(place, demand) for place in range(len(deployments))]
        kept = tuple(place for place, reason in enumerate(reasons) if not reason)
        if not kept:
            return None, ",".join(dict.fromkeys(reasons)) or "unpriced"
        if len(kept) == len(deployments):
            return self.model, ""
        narrowed = self._narrowed.get(kept)
        if narrowed is None:
            narrowed = self._narrowed[kept] = _with(self.model, kept)
        return narrowed, ""

    def _reason(self, place: int, demand: Demand) -> str:
        """Why a deployment does not pass; empty: it does."""
        deployment = self.model.deployments[place]
        if not demand.residency <= deployment.tags:
            return "residency"
        apis = deployment.apis
        if apis is not None and demand.api not in apis:
            return "api"
        missing = demand.needs & self._lacks[place]
        if missing:
            return next(name for bit, name in enumerate(CAPABILITIES) if missing & 1 << bit)
        return "context" if demand.context_tokens > self._contexts[place] else ""


def _lacks(deployment: Deployment) -> int:
    return sum(1 << bit for bit, name in enumerate(CAPABILITIES) if getattr(deployment, name) is False)


def _with(model: Model, kept: tuple[int, ...] | list[int]) -> Model:
    """The model with only these of its deployments."""
    weights = tuple([model.weights[place] for place in kept]) if model.weights else ()
    return replace(model, deployments=tuple([model.deployments[place] for place in kept]), weights=weights)


def is_allowed(allowed: tuple[frozenset[str], ...], names: tuple[str, ...]) -> bool:
    """Whether each of the sets of names and patterns allows one of a model's names."""
    return all(_allows(patterns, names) for patterns in allowed)


@lru_cache(maxsize=4096)
def _allows(patterns: frozenset[str], names: tuple[str, ...]) -> bool:
    return any(name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns) for name in names)
