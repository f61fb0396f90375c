"""What a policy's rules may choose from: tiers and models as entries, within an agent's floor and ceiling. Pure.

Worked out at load and, for each rule under each floor and ceiling, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from routing.catalog import Catalog
from routing.gates import Gate
from routing.rules import CompiledPolicy, Rule

UNRANKED: Final = -1
"""The rank of a model that no tier lists: floors, ceilings and sessions do not move it."""


class Entry(NamedTuple):
    """A model, as one of a policy's candidates."""

    name: str
    gate: Gate | None
    """None: it is not configured (any more)."""
    tier: str
    """Empty: no tier lists it."""
    rank: int
    """The tier's place, weak to strong."""


class Group(NamedTuple):
    """What one entry of a rule's `use` stands for."""

    weight: int
    entries: tuple[Entry, ...]


class Bounds(NamedTuple):
    """The ranks that an agent may be routed to."""

    floor: int = 0
    ceiling: int = 1 << 30

    def clamp(self, rank: int) -> int:
        """The nearest rank within; the ceiling holds where the two contradict each other."""
        return rank if rank == UNRANKED else min(max(rank, self.floor), self.ceiling)


class Pool:
    """All candidates of a policy."""

    def __init__(self, policy: CompiledPolicy, catalog: Catalog) -> None:
        self._policy = policy
        self._gates: dict[str, Gate] = {}
        self._catalog = catalog
        self._ranks = {tier.name: rank for rank, tier in enumerate(policy.tiers)}
        self._tiers = tuple(
            tuple([self._entry(name, tier.name, rank) for name in tier.models])
            for rank, tier in enumerate(policy.tiers)
        )
        self._ranked = {entry.name: entry for tier in self._tiers for entry in tier}
        """By the model's name, in the strongest tier that lists it."""
        self._bounds: dict[str, Bounds] = {}
        self._groups: dict[tuple[tuple[str, ...], tuple[int, ...], Bounds], tuple[Group, ...]] = {}

    def gate(self, name: str) -> Gate | None:
        """The gate of a model by its name or alias; None when there is no such model."""
        gate = self._gates.get(name)
        if gate is None:
            model = self._catalog.find(name)
            if model is not None:
                gate = self._gates[name] = Gate(model, self._catalog.aliases)
        return gate

    def bounds(self, agent: str) -> Bounds:
        """Between which tiers an agent is routed."""
        policy = self._policy
        if agent not in policy.floors and agent not in policy.ceilings:
            return _ALL
        found = self._bounds.get(agent)
        if found is None:
            floor, ceiling = policy.floors.get(agent), policy.ceilings.get(agent)
            found = self._bounds[agent] = Bounds(
                self._ranks.get(floor or "", _ALL.floor), self._ranks.get(ceiling or "", _ALL.ceiling)
            )
        return found

    def groups(self, use: tuple[str, ...], weights: tuple[int, ...], bounds: Bounds) -> tuple[Group, ...]:
        """What a rule's `use` stands for, each model once. A tier out of bounds is replaced by the nearest within."""
        key = (use, weights, bounds)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = self._expand(use, weights, bounds)
        return found

    def _expand(self, use: tuple[str, ...], weights: tuple[int, ...], bounds: Bounds) -> tuple[Group, ...]:
        seen: set[str] = set()
        groups = []
        for name, weight in zip(use, weights or (1,) * len(use), strict=True):
            kept = []
            for entry in self._named(name, bounds):
                if entry.name not in seen:
                    seen.add(entry.name)
                    kept.append(entry)
            if kept:
                groups.append(Group(weight, tuple(kept)))
        return tuple(groups)

    def _named(self, name: str, bounds: Bounds) -> Sequence[Entry]:
        """The entries behind a tier's name or a model's."""
        rank = self._ranks.get(name)
        if rank is not None:
            return self._tiers[bounds.clamp(rank)]
        entry = self._ranked.get(name)
        if entry is None:
            return (self._entry(name, "", UNRANKED),)
        within = bounds.clamp(entry.rank)
        return (entry,) if within == entry.rank else self._tiers[within]

    def within(self, bounds: Bounds) -> Iterable[Entry]:
        """All entries of the tiers within bounds, weak to strong; a model that several tiers list may come twice."""
        for rank, tier in enumerate(self._tiers):
            if bounds.floor <= rank <= bounds.ceiling:
                yield from tier

    def strongest(self) -> Iterable[Entry]:
        """All entries of the tiers, strong to weak."""
        for tier in reversed(self._tiers):
            yield from tier

    def remembered(self, model: str, tier: str) -> Entry | None:
        """The entry that a session was routed to; None when the policy does not have it any more."""
        rank = self._ranks.get(tier)
        if rank is not None:
            return next((entry for entry in self._tiers[rank] if entry.name == model), None)
        if model in self._ranked:
            return self._ranked[model]
        return self._entry(model, "", UNRANKED) if self._uses(model) else None

    def _uses(self, model: str) -> bool:
        policy = self._policy
        return any(_names(rule, model) for rule in (*policy.rules, policy.default))

    def _entry(self, name: str, tier: str, rank: int) -> Entry:
        gate = self.gate(name)
        return Entry(name if gate is None else gate.model.name, gate, tier, rank)


_ALL: Final = Bounds()


def _names(rule: Rule, model: str) -> bool:
    return model in rule.use or any(model in arm.use for arm in rule.arms)
