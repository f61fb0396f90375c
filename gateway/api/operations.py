"""What operators and their tools ask: health, readiness, metrics."""

from __future__ import annotations

from gateway.api.answers import answer, answer_error, answer_json
from gateway.api.asgi import AsgiApp, AsgiReply, Receive, Scope, Send
from gateway.errors import NotFound
from gateway.services import Services


async def healthz(services: Services, _scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    """The process answers."""
    await answer_json(reply, *services.health())


async def readyz(services: Services, _scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    """Whether to send requests here."""
    await answer_json(reply, *services.readiness())


async def metrics(services: Services, scope: Scope, _receive: Receive, reply: AsgiReply) -> None:
    """The Prometheus exposition."""
    accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
    body, content_type = await services.metrics(accept)
    await answer(reply, 200, content_type, body)


async def _nothing(_services: Services, scope: Scope, _receive: Receive, _reply: AsgiReply) -> None:
    raise NotFound(f"There is no {scope['path']} here: this listener serves /admin/v1, /metrics, /healthz and /readyz.")


OPERATIONS = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


class OperationsApi:
    """The ASGI application of the admin listener: `/admin/v1`, `/metrics` and health, away from the agents."""

    def __init__(self, services: Services, admin: AsgiApp) -> None:
        self._services = services
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        reply = AsgiReply(scope, send)
        path = scope["path"]
        try:
            if path.startswith("/admin/"):
                await self._admin(scope, receive, send)
            else:
                await OPERATIONS.get(path, _nothing)(self._services, scope, receive, reply)
        except Exception as error:  # noqa: BLE001 -- the outermost edge
            await answer_error(reply, error)
