"""GET /v1/models and /v1/models/{id}: what the caller's key may ask."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from gateway.api.answers import answer_json
from gateway.api.asgi import AsgiReply, Receive, Scope
from gateway.api.caller import principal_of
from gateway.errors import ModelNotFound
from gateway.pipeline import claimed_names, may_use
from gateway.services import Services
from routing.catalog import Model

PATH = "/v1/models"


async def serve_models(services: Services, scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    """Answer a GET of the list, or of one model below it."""
    if scope["path"].rstrip("/") == PATH:
        await _models(services, scope, reply)
    else:
        await _model(services, scope, reply)


async def _models(services: Services, scope: Scope, reply: AsgiReply) -> None:
    principal = await principal_of(services, scope)
    snapshot = services.snapshot
    models = snapshot.catalog.models
    names = [*models.items(), *((alias, models[name]) for alias, name in snapshot.catalog.aliases.items())]
    found = [_model_object(name, model) for name, model in names if may_use(snapshot, principal, name)]
    known = {each["id"] for each in found}
    found += [_claimed_object(name) for name in claimed_names(snapshot, principal) if name not in known]
    await answer_json(reply, 200, {"object": "list", "data": found})


async def _model(services: Services, scope: Scope, reply: AsgiReply) -> None:
    principal = await principal_of(services, scope)
    name = unquote(scope["path"].removeprefix("/v1/models/"))
    if name in claimed_names(services.snapshot, principal):
        await answer_json(reply, 200, _claimed_object(name))
        return
    model = services.find_model(name) if may_use(services.snapshot, principal, name) else None
    if model is None:
        raise ModelNotFound(
            f"The model `{name}` does not exist here, or this key may not use it. GET /v1/models lists the models.",
            param="model",
        )
    await answer_json(reply, 200, _model_object(name, model))


def _model_object(name: str, model: Model) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": model.created_s, "owned_by": model.owner}


def _claimed_object(name: str) -> dict[str, Any]:
    """A name behind which a policy chooses."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "farebox"}
