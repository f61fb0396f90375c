"""What a client hears when the gates leave no candidate. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config.snapshot import Agent
from gateway.errors import ContextTooLong, FareboxError, ModelNotAllowed, ModelNotFound, ModelNotPriced, NoModelFits
from gateway.wire.requests import ModelRequest
from routing.catalog import Catalog, Model
from routing.decision import Decision

_WORDS = {
    "context": "has too short a context window",
    "tools": "takes no tools",
    "parallel_tools": "calls one tool at a time",
    "vision": "takes no images",
    "json_schema": "keeps to no JSON schema",
    "api": "is not asked by this API",
    "residency": "is not where the agent's data may go",
    "allowed_models": "is not allowed for this key",
    "unpriced": "has no price",
    "unknown_model": "is not configured",
}
_SHOWN = 5


def nothing_left(decision: Decision, request: ModelRequest, catalog: Catalog) -> FareboxError:
    """The error for an empty decision: it names the gates that the candidates fail at."""
    gates = {gate.partition(":")[0] for reasons in decision.exclusions.values() for gate in reasons.split(",")}
    reason = ",".join(sorted(gates)) or decision.reason
    why = _why(decision)
    name = request.model
    if gates == {"context"}:
        found = [catalog.find(excluded) for excluded in decision.exclusions]
        return _too_long([model for model in found if model is not None], request)
    if gates and gates <= {"allowed_models", "residency"}:
        return ModelNotAllowed(
            f"No model that may be used stands behind `{name}`: {why}.", param="model", reason="model_not_allowed"
        )
    if gates == {"unpriced"}:
        return ModelNotPriced(
            f"No model behind `{name}` has a price, and what has no price is not called: {why}.", param="model"
        )
    if gates <= {"unknown_model"}:
        return ModelNotFound(f"No model stands behind `{name}`{': ' if why else ''}{why}.", param="model")
    return NoModelFits(
        f"No model behind `{name}` can take this request: {why}. Leave out what they cannot do, or name another model.",
        param="model",
        reason=reason,
    )


def does_not_fit(model: Model, reason: str, request: ModelRequest, agent: Agent) -> FareboxError:
    """The error for a model that was asked for by its own name, and of which the gates leave nothing.

    `reason`: what its deployments fail at, separated by `,`.
    """
    gates = reason.split(",")
    if gates == ["context"]:
        return _too_long([model], request)
    if gates == ["residency"]:
        return ModelNotAllowed(
            f"The data of the agent `{agent.id}` may only go to deployments tagged "
            f"{', '.join(sorted(agent.residency))}; the model `{model.name}` has none.",
            param="model",
            reason="residency",
        )
    advice = "Name another model" if gates == ["api"] else "Leave that out, or name another model"
    return NoModelFits(
        f"The model `{model.name}` cannot take this request: it {_in_words(gates)}. {advice}.",
        param="model",
        reason=",".join(sorted(gates)),
    )


def _in_words(gates: Iterable[str]) -> str:
    return " and ".join(_WORDS.get(gate, gate) for gate in gates)


def _why(decision: Decision) -> str:
    """Which model fails at what, in words."""
    found = [f"`{model}` {_in_words(reasons.split(','))}" for model, reasons in decision.exclusions.items()]
    more = len(found) - _SHOWN
    return ", ".join(found[:_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _too_long(models: Iterable[Model], request: ModelRequest) -> ContextTooLong:
    windows = [each.context_tokens or 0 for model in models for each in model.deployments]
    profile = request.profile
    asked = f"about {profile.input_tokens} tokens"
    if profile.max_output_tokens:
        asked += f" and {profile.max_output_tokens} for the answer"
    return ContextTooLong(
        f"This request is too long for every model behind `{request.model}`: the maximum context length is "
        f"{max(windows, default=0)} tokens, and the request has {asked}.",
        param="messages",
        reason="context",
    )
