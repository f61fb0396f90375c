"""The data plane: OpenAI's endpoints, and what Farebox adds under `/v1`. Raw ASGI.

POST /v1/chat/completions, /v1/completions, /v1/embeddings go through the pipeline; /v1/runs opens, shows and closes
runs (`gateway.api.runs`); /v1/feedback takes what clients say of answers. The rest answers from memory, but for GET
/v1/requests/{id}, which asks the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from gateway.api.answers import answer_error, answer_json
from gateway.api.asgi import AsgiApp, AsgiCall, AsgiReply, Receive, Scope, Send
from gateway.api.budgets import budget_object
from gateway.api.connection import CYCLE_KEY
from gateway.api.feedback import PATH as FEEDBACK
from gateway.api.feedback import serve_feedback
from gateway.api.operations import OPERATIONS
from gateway.api.runs import PATH as RUNS
from gateway.api.runs import serve_runs
from gateway.api.tongue import reply_in
from gateway.errors import MethodNotAllowed, ModelNotFound, NotFound
from gateway.identity.keys import Principal
from gateway.pipeline import claimed_names, may_use
from gateway.services import Services
from gateway.wire.native import MESSAGES, RESPONSES, TONGUES
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS
from routing.catalog import Model

_MODEL_APIS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/messages": MESSAGES,
    "/v1/responses": RESPONSES,
}
_LATER = ("/v1/files", "/v1/batches", "/v1/realtime", "/v1/images", "/v1/audio")

Handler = Callable[[Services, Scope, AsgiReply], Awaitable[None]]


class OpenAIApi:
    """The ASGI application of the main listener."""

    def __init__(self, services: Services, *, admin: AsgiApp | None = None, metrics: bool = True) -> None:
        """`admin` serves `/admin/v1` here too, if anything does; `metrics` tells whether `/metrics` is served here."""
        self._services = services
        self._admin = admin
        self._gets: dict[str, Handler] = {**OPERATIONS, "/": _root, "/v1/models": _models, "/v1/me": _me}
        if not metrics:
            del self._gets["/metrics"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Nothing escapes."""
        api = _MODEL_APIS.get(scope["path"])
        reply = AsgiReply(scope, send) if api not in TONGUES else reply_in(api, scope, send)
        try:
            if api is not None and scope["method"] == "POST":
                services = self._services
                await services.pipeline.serve(services.snapshot, AsgiCall(api, scope, receive), reply)
            elif self._admin is not None and scope["path"].startswith("/admin/"):
                await self._admin(scope, receive, send)
            else:
                await self._other(scope, receive, reply)
        except Exception as error:  # noqa: BLE001 -- the outermost edge
            await answer_error(reply, error)
        finally:
            scope.pop(
                CYCLE_KEY, None
            )  # they know each other: nothing of a request is to wait for the garbage collector

    async def _runs(self, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
        services = self._services
        principal = await _principal(services, scope)
        await serve_runs(services.governance.runs, services.snapshot, principal, (scope, receive), reply)

    async def _feedback(self, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
        principal = await _principal(self._services, scope)
        await serve_feedback(self._services.feedback, principal, (scope, receive), reply)

    async def _other(self, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
        method, path = scope["method"], scope["path"].rstrip("/") or "/"
        handler = self._gets.get(path)
        if path == RUNS or path.startswith(f"{RUNS}/"):
            await self._runs(scope, receive, reply)
            return
        if path == FEEDBACK:
            await self._feedback(scope, receive, reply)
            return
        if handler is None and path.startswith("/v1/models/"):
            handler = _model
        elif handler is None and path.startswith("/v1/requests/"):
            handler = _request
        if path in _MODEL_APIS:
            raise MethodNotAllowed(f"{path} takes POST (and no slash at its end), not {method}.")
        if handler is None:
            raise _no_such_path(method, path)
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{path} takes GET, not {method}.")
        await handler(self._services, scope, reply)


async def _principal(services: Services, scope: Scope) -> Principal:
    return await services.pipeline.authenticate(services.snapshot, scope["headers"])


async def _root(_services: Services, _scope: Scope, reply: AsgiReply) -> None:
    message = "An OpenAI-compatible gateway. Point an SDK's base_url at /v1; GET /v1/models lists the models."
    await answer_json(reply, 200, {"name": "farebox", "message": message})


async def _models(services: Services, scope: Scope, reply: AsgiReply) -> None:
    principal = await _principal(services, scope)
    snapshot = services.snapshot
    models = snapshot.catalog.models
    names = [*models.items(), *((alias, models[name]) for alias, name in snapshot.catalog.aliases.items())]
    found = [_model_object(name, model) for name, model in names if may_use(snapshot, principal, name)]
    known = {each["id"] for each in found}
    found += [_claimed_object(name) for name in claimed_names(snapshot, principal) if name not in known]
    await answer_json(reply, 200, {"object": "list", "data": found})


async def _model(services: Services, scope: Scope, reply: AsgiReply) -> None:
    principal = await _principal(services, scope)
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


async def _me(services: Services, scope: Scope, reply: AsgiReply) -> None:
    principal = await _principal(services, scope)
    found = services.me(principal)
    found["limits"]["budgets"] = [budget_object(line) for line in await services.governance.covering(principal)]
    await answer_json(reply, 200, found)


async def _request(services: Services, scope: Scope, reply: AsgiReply) -> None:
    principal = await _principal(services, scope)
    request_id = scope["path"].removeprefix("/v1/requests/")
    found = await services.request_cost(request_id, principal.agent)
    if found is None:
        raise NotFound(f"No request `{request_id}` of the agent `{principal.agent}` is in the journal.")
    await answer_json(reply, 200, found)


def _no_such_path(method: str, path: str) -> NotFound:
    if path.startswith(_LATER):
        return NotFound(f"{path} is not served yet. This version serves {', '.join(_MODEL_APIS)} and /v1/models.")
    if "/v1" + path in _MODEL_APIS:
        return NotFound(f"There is no {path} here, but /v1{path}: the SDK's base_url must end in /v1.")
    return NotFound(f"There is no {method} {path} here. The API lives under /v1; GET /v1/models lists the models.")
