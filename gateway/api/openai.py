"""The data plane: OpenAI's endpoints, and what Farebox adds under `/v1`. Raw ASGI.

POST /v1/chat/completions, /v1/completions, /v1/embeddings go through the pipeline. The rest answers from memory, but for
GET /v1/requests/{id}, which asks the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from gateway.api.asgi import AsgiCall, AsgiReply, Receive, Scope, Send
from gateway.config.snapshot import Snapshot
from gateway.context import new_request_id
from gateway.errors import FareboxError, MethodNotAllowed, ModelNotFound, NotFound
from gateway.identity.keys import Principal
from gateway.pipeline import Pipeline, may_use
from gateway.reply import Headers
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS
from routing.catalog import Model

log = logging.getLogger("farebox.api")

_MODEL_APIS = {"/v1/chat/completions": CHAT, "/v1/completions": COMPLETIONS, "/v1/embeddings": EMBEDDINGS}
_LATER = {"/v1/responses", "/v1/messages", "/v1/files", "/v1/batches", "/v1/realtime", "/v1/images/generations"}


class Services(Protocol):
    """What the data plane answers from."""

    pipeline: Pipeline

    @property
    def snapshot(self) -> Snapshot:
        """The configuration in force."""
        ...

    def find_model(self, snapshot: Snapshot, name: str) -> Model | None:
        """A model, alias or wildcard's expansion."""
        ...

    async def request_cost(self, request_id: str, agent: str) -> dict[str, Any] | None:
        """What a request of this agent cost, or None."""
        ...

    async def me(self, principal: Principal) -> dict[str, Any]:
        """The key's own view of itself."""
        ...

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /healthz."""
        ...

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /readyz."""
        ...

    async def metrics(self, accept: str) -> tuple[bytes, str] | None:
        """Exposition and its content type; None when another listener serves it."""
        ...


Handler = Callable[[Scope, AsgiReply], Awaitable[None]]


class OpenAIApi:
    """The ASGI application of the main listener."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._gets: dict[str, Handler] = {
            "/v1/models": self._models,
            "/v1/me": self._me,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/": self._root,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        reply = AsgiReply(scope, send)
        api = _MODEL_APIS.get(scope["path"])
        if api is not None and scope["method"] == "POST":
            try:
                await self._services.pipeline.serve(self._services.snapshot, AsgiCall(api, scope, receive), reply)
            except Exception:
                await _unforeseen(reply)
            return
        request_id = new_request_id(time.time())
        try:
            await self._other(scope, reply)
        except FareboxError as error:
            await reply.error(error, request_id)
        except Exception:
            await _unforeseen(reply)

    async def _other(self, scope: Scope, reply: AsgiReply) -> None:
        path, method = scope["path"], scope["method"]
        path = path.rstrip("/") or "/"
        handler = self._gets.get(path)
        if handler is None and path.startswith("/v1/models/"):
            handler = self._model
        if handler is None and path.startswith("/v1/requests/"):
            handler = self._request
        if path in _MODEL_APIS:
            raise MethodNotAllowed(f"{path} takes POST, not {method}.")
        if handler is None:
            raise _no_such_path(method, path)
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{path} takes GET, not {method}.")
        await handler(scope, reply)

    async def _principal(self, scope: Scope) -> Principal:
        return await self._services.pipeline.authenticate(self._services.snapshot, scope["headers"])

    async def _models(self, scope: Scope, reply: AsgiReply) -> None:
        principal = await self._principal(scope)
        snapshot = self._services.snapshot
        catalog = snapshot.catalog
        found = [
            _model_object(name, model) for name, model in catalog.models.items() if may_use(snapshot, principal, name)
        ]
        found += [
            _model_object(alias, catalog.models[name])
            for alias, name in catalog.aliases.items()
            if may_use(snapshot, principal, alias)
        ]
        await _json(reply, 200, {"object": "list", "data": found})

    async def _model(self, scope: Scope, reply: AsgiReply) -> None:
        principal = await self._principal(scope)
        name = unquote(scope["path"].removeprefix("/v1/models/"))
        snapshot = self._services.snapshot
        model = self._services.find_model(snapshot, name) if may_use(snapshot, principal, name) else None
        if model is None:
            raise ModelNotFound(
                f"The model `{name}` does not exist here, or this key may not use it. GET /v1/models lists the ones it may.",
                param="model",
            )
        await _json(reply, 200, _model_object(name, model))

    async def _me(self, scope: Scope, reply: AsgiReply) -> None:
        await _json(reply, 200, await self._services.me(await self._principal(scope)))

    async def _request(self, scope: Scope, reply: AsgiReply) -> None:
        principal = await self._principal(scope)
        request_id = scope["path"].removeprefix("/v1/requests/")
        found = await self._services.request_cost(request_id, principal.agent)
        if found is None:
            raise NotFound(f"No request `{request_id}` of the agent `{principal.agent}` is in the journal.")
        await _json(reply, 200, found)

    async def _healthz(self, _scope: Scope, reply: AsgiReply) -> None:
        await _json(reply, *self._services.health())

    async def _readyz(self, _scope: Scope, reply: AsgiReply) -> None:
        await _json(reply, *self._services.readiness())

    async def _metrics(self, scope: Scope, reply: AsgiReply) -> None:
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        rendered = await self._services.metrics(accept)
        if rendered is None:
            raise NotFound("Metrics are served on the admin listener (admin.listen).")
        body, content_type = rendered
        await reply.whole(200, _headers(content_type), body)

    async def _root(self, _scope: Scope, reply: AsgiReply) -> None:
        await _json(
            reply,
            200,
            {
                "name": "farebox",
                "message": "An OpenAI-compatible gateway. Point an SDK's base_url at /v1.",
                "models": "/v1/models",
            },
        )


def _model_object(name: str, model: Model) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": model.created_s, "owned_by": model.owner}


def _headers(content_type: str) -> Headers:
    return [(b"content-type", content_type.encode()), (b"x-request-id", new_request_id(time.time()).encode())]


async def _json(reply: AsgiReply, status: int, body: Any) -> None:
    await reply.whole(status, _headers("application/json"), msgspec.json.encode(body))


def _no_such_path(method: str, path: str) -> NotFound:
    if path in _LATER:
        return NotFound(f"{path} is not served yet. This version serves {', '.join(_MODEL_APIS)} and /v1/models.")
    if "/v1" + path in _MODEL_APIS:
        return NotFound(
            f"There is no {path} here; did you mean /v1{path}? Set the SDK's base_url to http://HOST:PORT/v1."
        )
    return NotFound(f"There is no {method} {path} here. The API lives under /v1; GET /v1/models lists the models.")


async def _unforeseen(reply: AsgiReply) -> None:
    """The outermost edge: a defect of ours. Logged in full, told in brief."""
    request_id = new_request_id(time.time())
    log.exception("unforeseen error", extra={"request_id": request_id})
    await reply.error(
        FareboxError("An error inside the gateway; its log tells more under this request id."), request_id
    )
