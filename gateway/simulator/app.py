"""The simulator as a raw ASGI application: finds the handler, lets the caller in, strikes with faults, answers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time

import msgspec

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator import fixed
from gateway.simulator.bill import Bill
from gateway.simulator.control import Control
from gateway.simulator.conversation import JSON, ClientGone, Conversation, Receive, Scope, Send
from gateway.simulator.engine import Engine, Request
from gateway.simulator.errors import SimError, bad_key, invalid, missing, poor_key, unknown_model, wrong_type
from gateway.simulator.faults import HEADER, SUFFIX, Fault, Faults, Schedule, UnknownFault, parse_header, split_model
from gateway.simulator.fields import Body
from gateway.simulator.generation import Caller, StreamWire
from gateway.simulator.models import MODELS, SimModel
from gateway.simulator.plain import PlainDelivery
from gateway.simulator.stream import StreamDelivery

log = logging.getLogger("farebox.simulator")

BAD_KEY = "sim-bad-key"
POOR_KEY = "sim-poor-key"
_CREATED = 1_767_225_600
_KINDS = {"chat": ("chat", "fixed"), "completions": ("chat",), "embeddings": ("embedding",)}
_POSTS = {"/v1/chat/completions": "chat", "/v1/completions": "completions", "/v1/embeddings": "embeddings"}
_HTML = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
_REFUSALS: dict[int, tuple[str, str, str | None]] = {
    400: ("invalid_request_error", "Your request was refused.", None),
    401: ("invalid_request_error", "Incorrect API key provided: sim-ke***wxyz.", "invalid_api_key"),
    403: ("invalid_request_error", "Your account may not use this.", "unsupported_country_region_territory"),
    429: ("requests", "Rate limit reached for requests. Please try again later.", "rate_limit_exceeded"),
    500: ("server_error", "The server had an error while processing your request. Sorry about that!", None),
    503: ("service_unavailable_error", "The engine is currently overloaded, please try again later.", None),
}
"""Type, message and code of what providers say, by status."""


class Simulator:
    """The application. Make it on a running event loop; `close()` it there."""

    def __init__(self, settings: SimulatorSettings, bill: Bill) -> None:
        self.bill = bill
        self.schedule = Schedule(settings.seed)
        self.control = Control(bill, self.schedule)
        self.stopping = asyncio.Event()
        """Set when nothing may linger any more."""
        self._engine = Engine(settings, bill)

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
            await conversation.answer(error.status, error.body, [*JSON, *error.headers])
        except ClientGone:
            pass
        except Exception:  # the outermost edge: a bug must not pass for a provider's fault without a trace
            log.exception("the simulator failed")
            if conversation.started:
                await conversation.reset()
            else:
                failure = SimError(500, "The simulator failed; see its log.", type_="server_error")
                await conversation.answer(500, failure.body, JSON)
        finally:
            await conversation.close()

    async def _route(self, conversation: Conversation, scope: Scope) -> None:
        method, path = scope["method"], scope["path"]
        endpoint = _POSTS.get(path)
        if endpoint is not None:
            if method != "POST":
                raise SimError(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
            await self._post(conversation, endpoint)
        elif path == "/healthz" and method == "GET":
            await conversation.answer(200, b'{"status":"ok"}', JSON)
        elif path.startswith("/v1/models") and method == "GET":
            self._admit(conversation)
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
            return await self.control.add_fault(_json_object(await conversation.body()))
        raise SimError(405, f"Not allowed to {what[0]} on {what[1]}.", code="method_not_supported")

    def _admit(self, conversation: Conversation) -> str:
        """The caller's key; empty without one. Raises SimError (401, 429)."""
        scheme, _, key = (conversation.header(b"authorization") or "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        if key == BAD_KEY:
            raise bad_key(key)
        if key == POOR_KEY:
            raise poor_key()
        return key

    async def _post(self, conversation: Conversation, endpoint: str) -> None:
        raw = await conversation.body()
        key = self._admit(conversation)
        body = _json_object(raw)
        model, faults = self._model_and_faults(conversation, body)
        if faults and await self._refused_by(conversation, faults):
            return
        if model.kind not in _KINDS[endpoint]:
            raise invalid(f"The model `{model.id}` does not support this endpoint.", "model", "model_not_supported")
        if model.kind == "fixed":
            await fixed.answer(conversation, body, faults, self.bill)
            return
        fingerprint = hashlib.sha256(key.encode()).hexdigest()[:12] if key else "none"
        caller = Caller(fingerprint, conversation.header(b"x-request-id"))
        nonce = conversation.header(b"x-sim-nonce") or ""
        await self._generate(conversation, endpoint, Request(body, len(raw), model, faults, caller, nonce))

    def _model_and_faults(self, conversation: Conversation, body: Body) -> tuple[SimModel, Faults]:
        name = body.get("model")
        if name is None:
            raise missing("model")
        if not isinstance(name, str):
            raise wrong_type("model", "a string", name)
        header = conversation.header(HEADER)
        try:
            base, suffixed = split_model(name)
            asked = parse_header(header) if header else ()
        except UnknownFault as error:
            raise invalid(str(error), "model" if header is None else HEADER.decode(), "unknown_fault") from None
        model = MODELS.get(base)
        if model is None:
            raise unknown_model(name)
        # What strikes comes first: of two faults of a name the first one counts.
        return model, Faults((*self.schedule.strike(base, time.monotonic()), *asked, *suffixed))

    async def _refused_by(self, conversation: Conversation, faults: Faults) -> bool:
        """Whether a fault ended the request before anything was generated."""
        if faults.find("reset"):
            conversation.watch()
            self.bill.refuse(0)
            await conversation.reset()
            return True
        if faults.find("html"):
            self.bill.refuse(200)
            await conversation.answer(200, _HTML, [(b"content-type", b"text/html")])
            return True
        if faults.status is not None:
            raise _status_error(faults.status)
        return False

    async def _generate(self, conversation: Conversation, endpoint: str, request: Request) -> None:
        begin = {
            "chat": self._engine.chat,
            "completions": self._engine.completion,
            "embeddings": self._engine.embedding,
        }
        generation, wire = await begin[endpoint](request)
        headers = [(b"x-request-id", b"req_%024x" % generation.ordinal)]
        try:
            if generation.options.stream and isinstance(wire, StreamWire):
                await StreamDelivery(conversation, generation, wire, headers).run()
            else:
                await PlainDelivery(conversation, generation, wire, headers).run()
        except asyncio.CancelledError:
            generation.outcome = "cancelled"
            raise
        finally:
            generation.settle()


def _json_object(raw: bytes) -> Body:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("We could not parse the JSON body of your request.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise invalid("The body of your request must be a JSON object.", code="invalid_json")
    return body


def _status_error(fault: Fault) -> SimError:
    """The refusal that a status fault asks for."""
    status = fault.status or 500
    type_, message, code = _REFUSALS.get(
        status, ("invalid_request_error" if status < 500 else "server_error", "", None)
    )
    params = fault.params
    text = str(params["message"] or message or f"The simulator was asked for status {status}.")
    error = SimError(status, text, type_=type_, code=str(params["code"]) or code)
    if params["body"]:
        error.body = str(params["body"]).encode()
    retry_after = fault.number("retry_after")
    if retry_after < 0 and status == 429:
        retry_after = 1
    if retry_after >= 0:
        error.headers.append((b"retry-after", b"%g" % retry_after))
    return error


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
