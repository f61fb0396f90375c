"""What requests and attempts look like in a trace."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.events import ChargePosted, RequestFinished
from gateway.telemetry.spans import MAX_CONTENT_BYTES, attempt_span, caller, request_span, sampled, trace_id_of
from routing.money import NanoUsd, Usage

REQUEST = "req_0193a1b2c3d4" + "0123456789abcd"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def finished(**fields: Any) -> RequestFinished:
    usual: dict[str, Any] = {
        "request_id": REQUEST,
        "at_s": 1_700_000_000.0,
        "org": "acme",
        "team": "quality",
        "agent": "tester",
        "key_id": "key",
        "run": "tester/r1",
        "parent_run": None,
        "session": "s1",
        "user": "ann",
        "tags": (("env", "prod"),),
        "value_nano_usd": None,
        "sdk": "openai-python/2.0",
        "endpoint": "chat",
        "model": "small",
        "profile": None,
        "deployment": "small/openai",
        "provider": "openai",
        "rule": "direct; asked for",
        "outcome": "ok",
        "status": 200,
        "error_code": "",
        "latency_ms": 1500.0,
        "first_token_ms": 250.0,
        "overhead_ms": 0.5,
        "streamed": True,
        "cost_nano_usd": NanoUsd(1_234_567_891),
    }
    return RequestFinished(**{**usual, **fields})


def charged(**fields: Any) -> ChargePosted:
    usual: dict[str, Any] = {
        "charge_id": f"{REQUEST}.1",
        "request_id": REQUEST,
        "attempt": 1,
        "at_s": 1_700_000_001.25,
        "org": "acme",
        "team": "quality",
        "agent": "tester",
        "model": "small",
        "deployment": "small/openai",
        "provider": "openai",
        "upstream_model": "gpt-small",
        "usage": Usage(100, 20, 40, 10, 5, reasoning_tokens=8),
        "price_point": "p1",
        "service_tier": "default",
        "cost_nano_usd": NanoUsd(7),
        "estimated": False,
        "unpriced": False,
        "outcome": "ok",
        "purpose": "useful",
        "upstream_status": 200,
        "latency_ms": 1000.0,
        "first_token_ms": 200.0,
    }
    return ChargePosted(**{**usual, **fields})


def test_a_request_is_a_root_span_that_its_id_finds() -> None:
    span = request_span(finished())
    assert f"{span.trace_id:032x}" == "000000" + REQUEST.removeprefix("req_")
    assert (span.parent_id, span.remote_parent, span.client, span.error) == (0, False, False, "")
    assert (span.name, span.start_s, span.end_s) == ("chat small", 1_700_000_000.0, 1_700_000_001.5)
    assert (
        span.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.agent.name": "tester",
            "gen_ai.conversation.id": "s1",
            "gen_ai.request.model": "small",
            "gen_ai.response.time_to_first_chunk": 0.25,
            "user.id": "ann",
            "farebox.run": "tester/r1",
            "farebox.route": "direct; asked for",
            "farebox.tag.env": "prod",
            "farebox.cost_nano_usd": 1_234_567_891,
        }.items()
    )
    assert "farebox.parent_run" not in span.attributes
    assert "error.type" not in span.attributes


def test_a_clients_trace_is_continued() -> None:
    span = request_span(finished(traceparent=f"00-{TRACE}-{PARENT}-01"))
    assert (f"{span.trace_id:032x}", f"{span.parent_id:016x}", span.remote_parent) == (TRACE, PARENT, True)


def test_an_attempt_is_a_child_that_took_as_long_as_it_did() -> None:
    request = request_span(finished(traceparent=f"00-{TRACE}-{PARENT}-01"))
    first, second = (
        attempt_span(charged(outcome="timeout"), request),
        attempt_span(charged(charge_id=f"{REQUEST}.2", attempt=2, purpose="fallback"), request),
    )
    assert {first.trace_id, second.trace_id} == {request.trace_id}
    assert {first.parent_id, second.parent_id} == {request.span_id}
    assert len({first.span_id, second.span_id, request.span_id}) == 3
    assert (first.error, first.attributes["error.type"]) == ("timeout", "timeout")
    assert (second.error, second.client, second.start_s, second.end_s) == ("", True, 1_700_000_000.25, 1_700_000_001.25)
    assert (
        second.attributes.items()
        >= {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-small",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.cache_write.input_tokens": 15,
            "gen_ai.usage.reasoning.output_tokens": 8,
            "gen_ai.usage.cost": 7e-9,
            "farebox.purpose": "fallback",
            "farebox.attempt": 2,
        }.items()
    )


def test_what_went_wrong_is_the_errors_code() -> None:
    span = request_span(
        finished(outcome="refused", status=402, error_code="budget_exceeded", provider="", deployment="")
    )
    assert (span.error, span.attributes["error.type"]) == ("budget_exceeded", "budget_exceeded")
    assert not {"gen_ai.provider.name", "farebox.deployment"} & span.attributes.keys()


def test_content_is_what_was_said() -> None:
    secret = "sk-proj-" + "a1B2" * 10
    span = request_span(finished(content=(f'{{"messages": "{secret}"}}'.encode(), b"data: x\n\n")))
    assert secret in str(span.attributes["input.value"])  # masked when it is sent: see the tracer's tests
    assert span.attributes["output.value"] == "data: x\n\n"


def test_content_is_cut() -> None:
    span = request_span(finished(content=(b"x" * 100_000, b"")))
    assert len(str(span.attributes["input.value"])) == MAX_CONTENT_BYTES


@given(st.integers(0, 2**56 - 1), st.floats(0, 1))
def test_a_share_of_the_traces_is_sent(random_digits: int, ratio: float) -> None:
    event = finished(request_id=f"req_0193a1b2c3d4{random_digits:014x}")
    assert sampled(event, ratio) == (Fraction(random_digits, 2**56) < Fraction(ratio))
    assert sampled(event, 1.0)
    assert not sampled(event, 0.0)


def test_whether_it_is_sent_is_its_clients_decision() -> None:
    assert sampled(finished(traceparent=f"00-{TRACE}-{PARENT}-01"), 0.0)
    assert not sampled(finished(traceparent=f"00-{TRACE}-{PARENT}-00"), 1.0)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_a_traceparent_is_read(trace_id: int, span_id: int, flags: int) -> None:
    said = caller(f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    assert said == (trace_id, span_id, bool(flags & 1))
    assert caller("") is None
    assert trace_id_of("req_00ff") == 255
