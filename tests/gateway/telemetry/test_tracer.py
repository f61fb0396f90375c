"""Spans as OpenTelemetry has them, by its in-memory exporter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.config.snapshot import TracingSettings
from gateway.telemetry import tracer as tracer_module
from gateway.telemetry.redact import redact_long
from gateway.telemetry.tracer import Masked, Tracer
from tests.gateway.telemetry.test_spans import PARENT, REQUEST, TRACE, charged, finished


class Traced:
    """A tracer and what it sent."""

    def __init__(self, **settings: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = Tracer(
            TracingSettings("http://collector/v1/traces", **settings),
            self._exporter,
            SimpleSpanProcessor(self._exporter),
            Resource({"service.name": "farebox"}),
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


def test_a_request_and_its_attempts_in_one_trace() -> None:
    traced = Traced()
    traced.tracer.receive([charged(outcome="timeout"), charged(charge_id=f"{REQUEST}.2", attempt=2)])
    assert traced.spans == []
    traced.tracer.receive([finished(traceparent=f"00-{TRACE}-{PARENT}-01")])
    failed, answered, request = traced.spans
    assert request.context is not None
    assert request.parent is not None
    assert (f"{request.parent.span_id:016x}", request.parent.is_remote) == (PARENT, True)
    assert {f"{span.context.trace_id:032x}" for span in traced.spans if span.context} == {TRACE}
    assert [each.parent.span_id for each in (failed, answered) if each.parent] == [request.context.span_id] * 2
    assert (request.kind, failed.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert [each.status.status_code for each in traced.spans] == [StatusCode.ERROR, StatusCode.OK, StatusCode.OK]
    assert failed.status.description == "timeout"
    assert (request.start_time, request.end_time) == (1_700_000_000 * 10**9, 1_700_000_001_500_000_000)
    assert request.resource.attributes["service.name"] == "farebox"


def test_without_a_clients_trace_the_request_is_the_root() -> None:
    traced = Traced()
    traced.tracer.receive([finished()])
    (request,) = traced.spans
    assert request.parent is None


def test_what_is_not_sampled_is_not_sent_nor_kept() -> None:
    traced = Traced(sample_ratio=0.0)
    traced.tracer.receive([charged(), finished()])
    assert traced.spans == []
    traced.tracer.receive([finished(traceparent=f"00-{TRACE}-{PARENT}-01")])
    assert len(traced.spans) == 1


class Threads(InMemorySpanExporter):
    """Remembers who sent."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.names.add(threading.current_thread().name)
        return super().export(spans)


def test_content_is_masked_by_the_thread_that_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    masking = set()

    def redact(text: str, pause: Callable[[], object]) -> str:
        masking.add(threading.current_thread().name)
        return redact_long(text, pause)

    monkeypatch.setattr(tracer_module, "redact_long", redact)
    exporter = Threads()
    masked = Masked(exporter)
    settings = TracingSettings("http://collector/v1/traces", content=True)
    tracer = Tracer(settings, masked, BatchSpanProcessor(masked), Resource({}))
    secret = "sk-proj-" + "a1B2" * 10
    tracer.receive([charged(), finished(content=(f'{{"messages": "{secret}"}}'.encode(), b"data: x\n\n"))])
    tracer.close()
    attempt, request = exporter.get_finished_spans()
    assert (request.attributes or {})["input.value"] == '{"messages": "sk-***"}'
    assert (request.attributes or {})["output.value"] == "data: x\n\n"
    assert (request.context, request.parent, request.start_time) == (request.context, None, 1_700_000_000 * 10**9)
    assert attempt.attributes
    assert threading.current_thread().name not in masking | exporter.names


def test_the_opened_tracer_masks() -> None:
    tracer = tracer_module.open_tracer(TracingSettings("http://127.0.0.1:9/v1/traces"))
    assert isinstance(tracer._exporter, Masked)
    tracer.close()


def test_content_only_where_it_is_asked_for() -> None:
    for content in (False, True):
        traced = Traced(content=content)
        traced.tracer.receive([finished(content=(b"{}", b"{}"))])
        (request,) = traced.spans
        assert ("input.value" in (request.attributes or {})) is content


def test_a_correction_is_no_attempt() -> None:
    traced = Traced()
    traced.tracer.receive([charged(resolution="correction"), finished()])
    assert len(traced.spans) == 1


def test_charges_of_requests_that_never_finish_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer_module, "MAX_WAITING", 2)
    traced = Traced()
    traced.tracer.receive([charged(request_id=f"req_{number:026x}") for number in (1, 2, 3)])
    traced.tracer.receive([finished(request_id=f"req_{number:026x}") for number in (1, 2, 3)])
    assert len(traced.spans) == 3 + 2
