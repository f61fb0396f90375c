"""The admin API, `/admin/v1`, by FastAPI. Off without an admin key; its page is /admin/v1/docs.

Roles: `admin` may do everything, `viewer` may only look. An agent's key opens nothing here.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from gateway.api import admin_explain
from gateway.api.admin_breakers import add_breakers
from gateway.api.admin_governance import add_governance
from gateway.api.admin_reports import add_reports
from gateway.api.answers import answer_error, journal_unavailable
from gateway.api.asgi import AsgiApp, AsgiCall, AsgiReply, Receive, Scope, Send
from gateway.api.errors import error_body, error_headers
from gateway.config.snapshot import Snapshot
from gateway.context import new_request_id
from gateway.errors import BodyTooLarge, FareboxError, InvalidField, InvalidKey, NotFound
from gateway.identity.keys import key_digest
from gateway.journal.database import JournalError
from gateway.reply import ClientGone
from gateway.services import Services, key_object

log = logging.getLogger("farebox.api")

MAX_BODY_BYTES = 65_536
CENTURY_S = 3_155_760_000
"""The longest that a key may be given: instants beyond cannot be told apart or written as dates."""


class AdminRoleRequired(FareboxError):
    """The viewer's key was used for a change, or a key of an agent or run for anything."""

    status = 403
    type = "invalid_request_error"
    code = "admin_role_required"
    anthropic_type = "permission_error"


class NewKey(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    agent: str = Field(description="The agent that the key belongs to; it must be in the configuration.")
    name: str = Field(default="", max_length=128, description="What people call the key.")
    models: list[str] | None = Field(
        default=None, description="Names and `*` patterns it may use; absent: all of its agent's."
    )
    expires_in_s: float | None = Field(
        default=None, gt=0, le=CENTURY_S, description="Seconds until it expires; absent: never."
    )


class Rotation(BaseModel):
    """How to replace a key."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: float | None = Field(
        default=None,
        ge=0,
        le=CENTURY_S,
        description="Seconds for which the old key still works. Left out: none, or the rest of an earlier overlap.",
    )


_bearer = HTTPBearer(auto_error=False, description="The admin key (FAREBOX_ADMIN_KEY) or the viewer key.")


def _role(snapshot: Snapshot, credentials: HTTPAuthorizationCredentials | None) -> str | None:
    if credentials is None:
        return None
    digest = key_digest(credentials.credentials)
    role = None
    for name, expected in (("viewer", snapshot.admin.viewer_key_sha256), ("admin", snapshot.admin.admin_key_sha256)):
        if expected is not None and hmac.compare_digest(digest, expected):
            role = name
    return role


def admin_app(services: Services) -> AsgiApp:
    """The ASGI application."""
    app = FastAPI(
        title="Farebox admin API",
        version="1",
        openapi_url="/admin/v1/openapi.json",
        docs_url="/admin/v1/docs",
        redoc_url=None,
        description="Operate a gateway. Errors have the same shape as on /v1.",
    )

    async def viewer(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
        role = _role(services.snapshot, credentials)
        if role is None:
            if credentials is not None and await services.principal(credentials.credentials.encode()) is not None:
                raise AdminRoleRequired("This is an agent's or a run's key; the admin API takes the admin key.")
            raise InvalidKey("This is not an admin key of the gateway. Send it as `Authorization: Bearer <key>`.")
        return role

    async def admin(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        if await viewer(credentials) != "admin":
            raise AdminRoleRequired("The viewer key may look but not change anything; use the admin key.")

    _add_views(app, services, [Depends(viewer)])
    _add_changes(app, services, [Depends(admin)])
    add_governance(app, services.governance, [Depends(viewer)], [Depends(admin)])
    add_reports(app, services.governance, [Depends(viewer)])
    add_breakers(app, services.upstream_health, [Depends(viewer)], [Depends(admin)])
    admin_explain.add_explain(app, services, [Depends(viewer)])
    _add_errors(app)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        most = admin_explain.MAX_BODY_BYTES if scope.get("path") == admin_explain.PATH else MAX_BODY_BYTES
        try:  # FastAPI reads a body of any size, and before it asks whose it is
            body = await AsgiCall("admin", scope, receive).body(most)
        except BodyTooLarge:
            refusal = BodyTooLarge(f"The body is larger than {most} bytes, the most that the admin API takes.")
            await answer_error(AsgiReply(scope, send), refusal)
            return
        except ClientGone:
            return
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> MutableMapping[str, Any]:
            return unread.pop() if unread else await receive()

        try:
            await app(scope, receive_again, send)
        except Exception:
            log.exception(
                "unforeseen error in the admin API"
            )  # the client has its answer: Starlette sends, then raises

    return guarded


def _add_views(app: FastAPI, services: Services, guard: list[Any]) -> None:
    @app.get("/admin/v1/status", dependencies=guard, summary="Version, uptime, configuration, journal")
    def status() -> dict[str, Any]:
        return services.status()

    @app.get("/admin/v1/models", dependencies=guard, summary="Models with their deployments and prices")
    def models() -> dict[str, Any]:
        return {"data": [_model(model) for model in services.snapshot.catalog.models.values()]}

    @app.get("/admin/v1/agents", dependencies=guard, summary="Agents with their teams and orgs")
    def agents() -> dict[str, Any]:
        return {
            "data": [
                {"id": agent.id, "team": agent.team, "org": agent.org, "trust": sorted(agent.trust)}
                for agent in services.snapshot.agents.values()
            ]
        }

    @app.get("/admin/v1/keys", dependencies=guard, summary="All keys, without their secrets")
    async def keys() -> dict[str, Any]:
        return {"data": [key_object(record) for record in await services.keys()]}

    @app.get("/admin/v1/requests/{request_id}", dependencies=guard, summary="What a request cost")
    async def request_cost(request_id: Annotated[str, Path(max_length=128)]) -> dict[str, Any]:
        found = await services.request_cost(request_id, None)
        if found is None:
            raise NotFound(f"No request `{request_id}` is in the journal.")
        return found

    @app.get("/admin/v1/totals", dependencies=guard, summary="Calls, tokens, cost and errors per agent")
    async def totals(
        since_s: Annotated[float, Query(ge=0, allow_inf_nan=False, description="Unix time")] = 0.0,
    ) -> dict[str, Any]:
        return {"data": await services.totals(since_s)}


def _add_changes(app: FastAPI, services: Services, guard: list[Any]) -> None:
    @app.post("/admin/v1/config/reload", dependencies=guard, summary="Read the configuration again")
    async def reload() -> dict[str, Any]:
        reason = await services.reload()
        if reason is not None:
            raise InvalidField(f"The new configuration was refused; the old one stays in force: {reason}")
        return {"version": services.snapshot.version}

    @app.post("/admin/v1/keys", dependencies=guard, status_code=201, summary="Make a key; it is shown once")
    async def create_key(new: NewKey) -> dict[str, Any]:
        if new.agent not in services.snapshot.agents:
            raise InvalidField(f"There is no agent `{new.agent}` in the configuration.", param="agent")
        expires_at_s = None if new.expires_in_s is None else time.time() + new.expires_in_s
        key, record = await services.create_key(new.agent, new.name, new.models, expires_at_s)
        return {**key_object(record), "key": key}

    @app.post("/admin/v1/keys/{key_id}/revoke", dependencies=guard, summary="Revoke a key")
    async def revoke_key(key_id: Annotated[str, Path(max_length=64)]) -> dict[str, Any]:
        if not await services.revoke_key(key_id):
            raise NotFound(f"No stored key has the id `{key_id}`.")
        return {"id": key_id, "revoked": True}

    @app.post("/admin/v1/keys/{key_id}/rotate", dependencies=guard, status_code=201, summary="Replace a key")
    async def rotate_key(key_id: Annotated[str, Path(max_length=64)], rotation: Rotation) -> dict[str, Any]:
        rotated = await services.rotate_key(key_id, rotation.overlap_s)
        if rotated is None:
            raise NotFound(f"No stored key has the id `{key_id}`, or it no longer works.")
        key, record = rotated
        return {**key_object(record), "key": key}


def _add_errors(app: FastAPI) -> None:
    def respond(error: FareboxError) -> Response:
        request_id = new_request_id(time.time())
        headers = {name.decode(): value.decode() for name, value in error_headers(error, request_id)}
        return Response(error_body(error, request_id), error.status, headers)

    @app.exception_handler(FareboxError)
    async def farebox_error(_request: Request, error: FareboxError) -> Response:
        return respond(error)

    @app.exception_handler(JournalError)
    async def journal_error(_request: Request, error: JournalError) -> Response:
        return respond(journal_unavailable(error))

    @app.exception_handler(Exception)
    async def unforeseen(_request: Request, _error: Exception) -> Response:
        return respond(FareboxError("An error inside the gateway; its log tells more."))

    @app.exception_handler(RequestValidationError)
    async def wrong_shape(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:])
        return respond(InvalidField(f"{param or 'body'}: {first['msg']}.", param=param or None))

    @app.exception_handler(HTTPException)
    async def no_such_path(request: Request, error: HTTPException) -> Response:
        failure = NotFound(f"There is no {request.method} {request.url.path} here; /admin/v1/docs lists what there is.")
        if error.status_code not in (404, 405):
            failure = NotFound(str(error.detail))
        return respond(failure)

    @app.middleware("http")
    async def add_request_id(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.setdefault("x-request-id", new_request_id(time.time()))
        return response


def _model(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "deployments": [
            {
                "id": deployment.id,
                "provider": deployment.provider,
                "upstream_model": deployment.upstream_model,
                "price": _rates(deployment),
            }
            for deployment in model.deployments
        ],
    }


def _rates(deployment: Any) -> dict[str, Any] | None:
    if deployment.price is None:
        return None
    point = deployment.price.at(0, time.time())
    return {
        "id": point.id,
        "input_pico_usd_per_token": point.input,
        "output_pico_usd_per_token": point.output,
        "ceiling": deployment.unpriced,
    }
