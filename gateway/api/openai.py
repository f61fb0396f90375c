"""The data plane: `/v1`, health and metrics. Raw ASGI; `gateway.api.routes` lists what is served."""

from __future__ import annotations

from gateway.api import background, conversations, routes
from gateway.api.answers import answer_error
from gateway.api.asgi import AsgiApp, AsgiCall, AsgiReply, Receive, Scope, Send
from gateway.api.connection import CYCLE_KEY
from gateway.api.messages import MessagesReply
from gateway.api.responding import ResponsesReply
from gateway.errors import MethodNotAllowed, NotFound
from gateway.reply import ClientGone, Reply
from gateway.services import Services
from gateway.wire.native import COUNT, RESPONSES, TONGUES

_METRICS = "/metrics"
_IN_TONGUES = (*TONGUES, COUNT)
_ANTHROPICS = ("/v1/messages/", "/v1/v1/messages")
"""Beginnings of paths that only Anthropic's clients ask for: also what is not served there is said in their shape."""


class OpenAIApi:
    """The ASGI application of the main listener."""

    def __init__(self, services: Services, *, admin: AsgiApp | None = None, metrics: bool = True) -> None:
        """`admin` serves `/admin/v1` here too, if anything does; `metrics` tells whether `/metrics` is served here."""
        self._services = services
        self._admin = admin
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Nothing escapes."""
        api = routes.ASKING.get(scope["path"])
        out = AsgiReply(scope, send)
        reply = self._in_tongue(api, out) if api in _IN_TONGUES else out
        try:
            if api is not None and scope["method"] == "POST":
                services = self._services
                if api == RESPONSES:
                    again = await background.heard(services, scope, receive, out)
                    if again is None:
                        return
                    receive = again
                await services.pipeline.serve(services.snapshot, AsgiCall(api, scope, receive), reply)
            elif self._admin is not None and scope["path"].startswith("/admin/"):
                await self._admin(scope, receive, send)
            else:
                if scope["path"].startswith(_ANTHROPICS):
                    reply = MessagesReply(out)
                await self._other(scope, receive, out)
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 -- the outermost edge
            await answer_error(reply, error)
        finally:
            scope.pop(
                CYCLE_KEY, None
            )  # they know each other: nothing of a request is to wait for the garbage collector

    def _in_tongue(self, api: str, out: AsgiReply) -> Reply:
        return ResponsesReply(out, self._services.responses.store) if api == RESPONSES else MessagesReply(out)

    async def _other(self, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
        method, path = scope["method"], scope["path"].rstrip("/") or "/"
        if path in routes.ASKING:
            wrong = f"not {method}" if method != "POST" else "and its path has no slash at its end"
            raise MethodNotAllowed(f"{path} takes POST, {wrong}.")
        local = None if path == _METRICS and not self._metrics else routes.find(path)
        if local is None:
            raise _no_such_path(method, path)
        if method not in local.methods:
            raise MethodNotAllowed(f"{path} takes {local.methods[0]}, not {method}.")
        await local.serve(self._services, scope, receive, reply)


def _no_such_path(method: str, path: str) -> NotFound:
    if path.startswith(routes.LATER):
        served = ", ".join((*routes.ASKING, conversations.PATH))
        return NotFound(f"{path} is not served yet. This version serves {served} and /v1/models.")
    if _is_served("/v1" + path):
        return NotFound(f"There is no {path} here, but /v1{path}: the SDK's base_url must end in /v1.")
    if path.startswith("/v1/v1/") and _is_served(path[3:]):
        return NotFound(
            f"There is no {path} here, but {path[3:]}: this SDK adds /v1 itself, as Anthropic's does; its base_url "
            "must not end in /v1."
        )
    return NotFound(f"There is no {method} {path} here. The API lives under /v1; GET /v1/models lists the models.")


def _is_served(path: str) -> bool:
    return path in routes.ASKING or routes.find(path) is not None
