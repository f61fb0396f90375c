"""The models that a policy chooses from, strong to weak. Pure."""

from __future__ import annotations

from routing.catalog import Catalog, Model
from routing.gates import Gate
from routing.rules import CompiledPolicy


def strong_first(policy: CompiledPolicy, catalog: Catalog) -> tuple[Gate, ...]:
    """The models of a policy's tiers, strong to weak; without tiers those that its rules name, the dearest first."""
    names = [name for tier in reversed(policy.tiers) for name in tier.models]
    if not names:
        rules = (*policy.rules, policy.default)
        names = [name for rule in rules for use in (rule.use, *(arm.use for arm in rule.arms)) for name in use]
    found = {model.name: model for name in names if (model := catalog.find(name)) is not None}
    models = list(found.values())
    if not policy.tiers:
        models.sort(key=_dearness, reverse=True)
    return tuple(Gate(model, catalog.aliases) for model in models)


def _dearness(model: Model) -> int:
    """Pico-USD of a token in and a token out."""
    price = model.deployments[0].price if model.deployments else None
    point = None if price is None else price.at(0, 0.0)
    return 0 if point is None else point.input + point.output
