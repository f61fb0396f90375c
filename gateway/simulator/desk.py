"""From a posted request to its answer: lets the caller in, strikes with faults, begins the generation, delivers it."""

from __future__ import annotations

import asyncio
import hashlib
import time

from gateway.simulator import fixed
from gateway.simulator.bill import Bill
from gateway.simulator.conversation import JSON, Conversation
from gateway.simulator.engine import Engine, Request
from gateway.simulator.errors import invalid, missing, unknown_model, wrong_type
from gateway.simulator.faults import HEADER, Faults, Schedule, UnknownFault, parse_header, split_model
from gateway.simulator.fields import Body
from gateway.simulator.generation import Caller, Generation, StreamWire, Wire
from gateway.simulator.models import MODELS, SimModel
from gateway.simulator.others.made import BytesDelivery, BytesWire
from gateway.simulator.plain import PlainDelivery
from gateway.simulator.routes import Route
from gateway.simulator.stream import StreamDelivery
from gateway.simulator.tongues import Tongue, status_error
from gateway.simulator.typed import TypedDelivery, TypedWire

_HTML = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"


class Desk:
    """Answers what is posted."""

    def __init__(self, engine: Engine, bill: Bill, schedule: Schedule) -> None:
        self._engine = engine
        self._bill = bill
        self._schedule = schedule

    async def answer(self, conversation: Conversation, route: Route) -> None:
        """Answer one request. Raises SimError, ClientGone."""
        raw = await conversation.body()
        key = route.tongue.admit(conversation)
        body = route.read(raw, conversation.header(b"content-type") or "")
        model, faults = self._model_and_faults(conversation, body)
        if faults and await self._refused_by(conversation, faults, route.tongue):
            return
        if model.kind not in route.kinds:
            raise invalid(f"The model `{model.id}` does not support this endpoint.", "model", "model_not_supported")
        if model.kind == "fixed":
            await fixed.answer(conversation, body, faults, self._bill)
            return
        fingerprint = hashlib.sha256(key.encode()).hexdigest()[:12] if key else "none"
        caller = Caller(fingerprint, conversation.header(b"x-request-id"))
        nonce = conversation.header(b"x-sim-nonce") or ""
        request = Request(body, len(raw), model, faults, caller, nonce)
        begun = await route.begin(self._engine, request)
        if isinstance(begun, bytes):
            await conversation.answer(200, begun, JSON)
        else:
            await _deliver(conversation, *begun, route.tongue)

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
        return model, Faults((*self._schedule.strike(base, time.monotonic()), *asked, *suffixed))

    async def _refused_by(self, conversation: Conversation, faults: Faults, tongue: Tongue) -> bool:
        """Whether a fault ended the request before anything was generated."""
        if faults.find("reset"):
            conversation.watch()
            self._bill.refuse(0)
            await conversation.reset()
            return True
        if faults.find("html"):
            self._bill.refuse(200)
            await conversation.answer(200, _HTML, [(b"content-type", b"text/html")])
            return True
        if faults.status is not None:
            raise status_error(tongue, faults.status)
        return False


async def _deliver(conversation: Conversation, generation: Generation, wire: Wire, tongue: Tongue) -> None:
    headers = [(tongue.id_header, b"req_%024x" % generation.ordinal)]
    try:
        if generation.options.stream and isinstance(wire, TypedWire):
            await TypedDelivery(conversation, generation, wire, headers).run()
        elif generation.options.stream and isinstance(wire, StreamWire):
            await StreamDelivery(conversation, generation, wire, headers).run()
        elif isinstance(wire, BytesWire):
            await BytesDelivery(conversation, generation, headers).run_of(wire)
        else:
            await PlainDelivery(conversation, generation, wire, headers).run()
    except asyncio.CancelledError:
        generation.outcome = "cancelled"
        raise
    finally:
        generation.settle()
