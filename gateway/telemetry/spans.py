"""What a request and its attempts look like in a trace: OpenTelemetry's GenAI conventions, as plain values.

A request is one span, each upstream attempt a child of it. Ids are made from the request's own, so that whoever has a
request's id finds its trace without asking; a client's `traceparent` is continued instead. Nothing here is
OpenTelemetry's: `gateway.telemetry.tracer` hands spans to it.

Names: open-telemetry/semantic-conventions-genai (in development, as of 2026); what they have no word for is under
`farebox.`. docs/tracing.md has the table.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from gateway.telemetry.events import WELL, ChargePosted, RequestFinished

Value = str | int | float | bool
Attributes = dict[str, Value]

_OPERATIONS: Final = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
MAX_CONTENT_BYTES: Final = 32_768
"""Of a body in a span: collectors refuse large ones, and many wait in memory. The journal has all of it."""
CONTENT: Final = ("input.value", "output.value")
"""Attributes that are what was said, keys and all."""
_SERVED: Final = frozenset(("ok", "shortened"))


class Span(NamedTuple):
    """Something that took time."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int
    """0: it is the trace's root."""
    remote_parent: bool
    """Whether the parent is the client's."""
    client: bool
    """A call to a provider; else the gateway's own work for a request."""
    start_s: float
    """Unix time."""
    end_s: float
    error: str
    """What went wrong; empty when nothing did."""
    attributes: Attributes


class Caller(NamedTuple):
    """What a client's `traceparent` says."""

    trace_id: int
    span_id: int
    sampled: bool


def caller(traceparent: str) -> Caller | None:
    """Read a `traceparent` of the form `00-<32 hex>-<16 hex>-<2 hex>` (W3C Trace Context); None for none."""
    if not traceparent:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")[:4]
    return Caller(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))


def trace_id_of(request_id: str) -> int:
    """The trace of a request whose client sent none: the hex digits of its id, whose last 14 are random."""
    return int(request_id.removeprefix("req_"), 16)


def ids_of(event: RequestFinished) -> tuple[str, str]:
    """The trace's and the request's span id, in hex as logs and headers have them."""
    said = caller(event.traceparent)
    trace_id = said.trace_id if said is not None else trace_id_of(event.request_id)
    return f"{trace_id:032x}", f"{_span_id(event.request_id):016x}"


def sampled(event: RequestFinished, ratio: float) -> bool:
    """Whether its spans are sent: as its client decided, else that share of the traces, by their random digits."""
    said = caller(event.traceparent)
    if said is not None:
        return said.sampled
    return (trace_id_of(event.request_id) & (2**56 - 1)) < ratio * 2**56


def request_span(event: RequestFinished) -> Span:
    """The span of a request; its content is in it where the event has it."""
    said = caller(event.traceparent)
    attributes: Attributes = {
        "gen_ai.operation.name": _operation(event.endpoint),
        "gen_ai.agent.id": event.agent,
        "gen_ai.agent.name": event.agent,
        "http.response.status_code": event.status,
        "farebox.request_id": event.request_id,
        "farebox.org": event.org,
        "farebox.team": event.team,
        "farebox.outcome": event.outcome,
        "farebox.route": event.rule,
        "farebox.overhead_ms": event.overhead_ms,
        **_cost(event.cost_nano_usd),
    }
    optional: dict[str, Value | None] = {
        "gen_ai.request.model": event.model,
        "gen_ai.provider.name": event.provider,
        "gen_ai.conversation.id": event.session,
        "session.id": event.session,
        "gen_ai.request.stream": event.streamed or None,
        "gen_ai.response.time_to_first_chunk": None if event.first_token_ms is None else event.first_token_ms / 1000,
        "user.id": event.user,
        "farebox.run": event.run,
        "farebox.parent_run": event.parent_run,
        "farebox.deployment": event.deployment,
        "farebox.sdk": event.sdk,
        "error.type": event.error_code,
        **_decided(event),
        **_content(event),
    }
    _put(attributes, optional)
    attributes |= {f"farebox.tag.{name}": value for name, value in event.tags}
    return Span(
        f"{_operation(event.endpoint)} {event.model}".strip(),
        said.trace_id if said is not None else trace_id_of(event.request_id),
        _span_id(event.request_id),
        said.span_id if said is not None else 0,
        said is not None,
        client=False,
        start_s=event.at_s,
        end_s=event.at_s + event.latency_ms / 1000,
        error="" if event.outcome in _SERVED else event.error_code or event.outcome,
        attributes=attributes,
    )


def attempt_span(charge: ChargePosted, request: Span) -> Span:
    """The span of an attempt, a child of its request's."""
    operation = str(request.attributes["gen_ai.operation.name"])
    usage = charge.usage
    attributes: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": charge.provider,
        "gen_ai.request.model": charge.upstream_model,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "farebox.request_id": charge.request_id,
        "farebox.charge_id": charge.charge_id,
        "farebox.attempt": charge.attempt,
        "farebox.model": charge.model,
        "farebox.deployment": charge.deployment,
        "farebox.purpose": charge.purpose,
        "farebox.outcome": charge.outcome,
        "farebox.price_point": charge.price_point,
        "farebox.usage_estimated": charge.estimated,
        **_cost(charge.cost_nano_usd),
    }
    optional: dict[str, Value | None] = {
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens or None,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        "gen_ai.agent.id": request.attributes["gen_ai.agent.id"],
        "gen_ai.conversation.id": request.attributes.get("gen_ai.conversation.id"),
        "user.id": charge.user,
        "http.response.status_code": charge.upstream_status,
        "gen_ai.response.time_to_first_chunk": None if charge.first_token_ms is None else charge.first_token_ms / 1000,
        "error.type": None if charge.outcome in WELL else charge.outcome,
    }
    _put(attributes, optional)
    return Span(
        f"{operation} {charge.upstream_model}",
        request.trace_id,
        _span_id(charge.charge_id),
        request.span_id,
        remote_parent=False,
        client=True,
        start_s=charge.at_s - charge.latency_ms / 1000,
        end_s=charge.at_s,
        error="" if charge.outcome in WELL else charge.outcome,
        attributes=attributes,
    )


def _operation(endpoint: str) -> str:
    return _OPERATIONS.get(endpoint, endpoint)


def _cost(nano_usd: int) -> Attributes:
    """Exact, and as Langfuse (`gen_ai.usage.cost`) and Logfire (`operation.cost`) read it."""
    return {
        "farebox.cost_nano_usd": nano_usd,
        "gen_ai.usage.cost": nano_usd / 1e9,
        "operation.cost": nano_usd / 1e9,
    }


def _decided(event: RequestFinished) -> dict[str, Value | None]:
    choice = event.choice
    if choice is None:
        return {}
    return {
        "farebox.policy": choice.policy,
        "farebox.tier": choice.tier,
        "farebox.arm": choice.arm,
        "farebox.value_usd": choice.value_usd,
        "farebox.complexity": choice.complexity,
        "farebox.downgraded": choice.downgraded,
    }


def _content(event: RequestFinished) -> dict[str, Value | None]:
    """Bodies as they came, by OpenInference's names, which Langfuse and Phoenix show. The tracer masks them."""
    if event.content is None:
        return {}
    asked, answered = (body[:MAX_CONTENT_BYTES].decode("utf-8", "replace") for body in event.content)
    mime = "text/plain" if event.streamed else "application/json"
    return {
        CONTENT[0]: asked,
        "input.mime_type": "application/json",
        CONTENT[1]: answered,
        "output.mime_type": mime,
    }


def _put(attributes: Attributes, optional: dict[str, Value | None]) -> None:
    attributes |= {name: value for name, value in optional.items() if value is not None and value != ""}


def _span_id(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1
