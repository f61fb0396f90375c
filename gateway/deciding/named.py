"""A model that is asked for by its own name, and that no policy routes: the gates hold for it as for any other.

Those of its deployments that pass are called, in the order of its own strategy. Where none does the client is told what
is missing, before anything is spent.
"""

from __future__ import annotations

from typing import Final

from gateway.config.snapshot import Agent
from gateway.deciding.refusals import does_not_fit
from gateway.wire.requests import ModelRequest
from routing.catalog import Model
from routing.gates import Demand, Gate, needs_of

KEPT: Final = 4_096
"""Models whose gates are kept, those that wildcards stand for among them."""


class Named:
    """The gates of models by their names."""

    def __init__(self) -> None:
        self._gates: dict[str, tuple[Model, Gate]] = {}

    def fitting(self, model: Model, request: ModelRequest, agent: Agent) -> Model:
        """The model with those of its deployments that can take the request, and may.

        Raises ModelNotAllowed, ContextTooLong or NoModelFits. A model without any price is left to its caller.
        """
        profile, residency = request.profile, agent.residency
        tokens = profile.input_tokens
        context_tokens = tokens + (profile.max_output_tokens or 0)
        if not residency and not model.selective and context_tokens <= model.shortest_tokens:  # the usual case
            return model
        if not model.priced:
            return model
        needs = needs_of(
            profile.tools, profile.images, json_schema=profile.json_schema, parallel_tools=request.parallel_tools
        )
        demand = Demand(needs, tokens, context_tokens, request.api, residency)
        fitting, reason = self._gate(model).admit_named(demand)
        if fitting is None:
            raise does_not_fit(model, reason, request, agent)
        return fitting

    def _gate(self, model: Model) -> Gate:
        known = self._gates.get(model.name)
        if known is not None and known[0] is model:
            return known[1]
        if len(self._gates) >= KEPT:
            self._gates.clear()
        gate = Gate(model, {})
        self._gates[model.name] = (model, gate)
        return gate
