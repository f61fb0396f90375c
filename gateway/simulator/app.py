"""The simulator as a raw ASGI application: finds out who answers a request, and words what it is refused with."""

from __future__ import annotations

import asyncio
import logging
import os

import msgspec

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator.bill import Bill
from gateway.simulator.control import Control
from gateway.simulator.conversation import JSON, ClientGone, Conversation, Receive, Scope, Send
from gateway.simulator.desk import Desk
from gateway.simulator.engine import Engine
from gateway.simulator.errors import SimError, unknown_model
from gateway.simulator.faults import SUFFIX, Schedule
from gateway.simulator.models import MODELS
from gateway.simulator.responses import stored
from gateway.simulator.routes import ROUTES, json_object
from gateway.simulator.tongues import OPENAI, Tongue

log = logging.getLogger("farebox.simulator")

_CREATED = 1_767_225_600


class Simulator:
    """The application. Make it on a running event loop; `close()` it there."""

    def __init__(self, settings: SimulatorSettings, bill: Bill) -> None:
        self.bill = bill
        self.schedule = Schedule(settings.seed)
        self.control = Control(bill, self.schedule)
        self.stopping = asyncio.Event()
        """Set when nothing may linger any more."""
        self._engine = Engine(settings, bill)
        self._desk = Desk(self._engine, bill, self.schedule)

    async def close(self) -> None:
        """Wait for background work; close the bill's file. Call after `control.close()`."""
        await self._engine.close()
        self.bill.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        conversation = Conversation(scope, receive, send, self.stopping)
        try:
            await self._route(conversation, scope)
        except SimError as error:
            self.bill.refuse(error.status)
            await _refuse(conversation, error, _tongue(scope["path"]))
        except ClientGone:
            pass
        except Exception:  # the outermost edge: a bug must not pass for a provider's fault without a trace
            log.exception("the simulator failed")
            if conversation.started:
                await conversation.reset()
            else:
                failure = SimError(500, "The simulator failed; see its log.", type_="server_error")
                await _refuse(conversation, failure, _tongue(scope["path"]))
        finally:
            await conversation.close()

    async def _route(self, conversation: Conversation, scope: Scope) -> None:
        method, path = scope["method"], scope["path"]
        route = ROUTES.get(path)
        if route is not None:
            if method != "POST":
                raise SimError(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
            await self._desk.answer(conversation, route)
        elif path.startswith(stored.PREFIX):
            await stored.serve(self._engine.shelf, conversation, scope)
        elif path == "/healthz" and method == "GET":
            await conversation.answer(200, b'{"status":"ok"}', JSON)
        elif path.startswith("/v1/models") and method == "GET":
            OPENAI.admit(conversation)
            await conversation.answer(200, _models(path), JSON)
        elif path in {"/sim/bill", "/sim/faults"}:
            await conversation.answer(200, await self._control(conversation, scope), JSON)
        else:
            raise SimError(404, f"Invalid URL ({method} {path})")

    async def _control(self, conversation: Conversation, scope: Scope) -> bytes:
        what = (scope["method"], scope["path"])
        if what == ("GET", "/sim/bill"):
            return await self.control.show_bill(scope["query_string"])
        if what == ("DELETE", "/sim/bill"):
            return self.control.clear_bill()
        if what == ("GET", "/sim/faults"):
            return self.control.show_faults()
        if what == ("DELETE", "/sim/faults"):
            return self.control.clear_faults()
        if what == ("POST", "/sim/faults"):
            return await self.control.add_fault(json_object(await conversation.body()))
        raise SimError(405, f"Not allowed to {what[0]} on {what[1]}.", code="method_not_supported")


def _tongue(path: str) -> Tongue:
    route = ROUTES.get(path)
    return OPENAI if route is None else route.tongue


async def _refuse(conversation: Conversation, error: SimError, tongue: Tongue) -> None:
    request_id = f"req_{os.urandom(12).hex()}"
    headers = [*JSON, (tongue.id_header, request_id.encode()), *error.headers]
    await conversation.answer(error.status, tongue.refusal(error, request_id), headers)


def _models(path: str) -> bytes:
    """The answer to `GET /v1/models` and `GET /v1/models/{id}`. Raises SimError (404)."""
    shown = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "farebox-simulator"} for name in MODELS]
    if path in {"/v1/models", "/v1/models/"}:
        return msgspec.json.encode({"object": "list", "data": shown})
    wanted = path.removeprefix("/v1/models/")
    found = next((model for model in shown if model["id"] == wanted.split(SUFFIX)[0]), None)
    if found is None:
        raise unknown_model(wanted)
    return msgspec.json.encode(found)
