"""GET /v1/me, who a key is; GET /v1/requests/{id}, what a call cost."""

from __future__ import annotations

from gateway.api.answers import answer_json
from gateway.api.asgi import AsgiReply, Receive, Scope
from gateway.api.budgets import budget_object
from gateway.api.caller import principal_of
from gateway.errors import NotFound
from gateway.services import Services

REQUESTS = "/v1/requests"


async def serve_me(services: Services, scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    """Answer a GET: identity, limits, budgets."""
    principal = await principal_of(services, scope)
    found = services.me(principal)
    found["limits"]["budgets"] = [budget_object(line) for line in await services.governance.covering(principal)]
    await answer_json(reply, 200, found)


async def serve_request(services: Services, scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    """Answer a GET: a request of the caller's agent, with its charges."""
    principal = await principal_of(services, scope)
    request_id = scope["path"].removeprefix(f"{REQUESTS}/")
    found = await services.request_cost(request_id, principal.agent)
    if found is None:
        raise NotFound(f"No request `{request_id}` of the agent `{principal.agent}` is in the journal.")
    await answer_json(reply, 200, found)
