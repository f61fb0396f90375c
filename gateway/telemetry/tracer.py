"""Sends traces: a sink that turns finished requests into OpenTelemetry spans. Only with the extra `farebox[otel]`.

Spans are made from the events that the journal and the metrics read, after the request: its path knows nothing of
tracing. OpenTelemetry's own processor keeps them in a bounded queue and sends them from a thread of its own; when the
collector is away they are dropped, and nobody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.config.snapshot import TracingSettings
from gateway.telemetry.events import ChargePosted, Event, RequestFinished
from gateway.telemetry.redact import redact_long
from gateway.telemetry.spans import CONTENT, Span, attempt_span, request_span, sampled

MAX_WAITING: Final = 10_000
"""Requests whose charges are kept until they finish; beyond it the oldest lose their attempts' spans."""
EXPORT_TIMEOUT_S: Final = 10.0
CLOSE_S: Final = 5.0
"""How long the end of the process waits for a collector."""
_SCOPE: Final = InstrumentationScope("farebox", __version__)


class Masked(SpanExporter):
    """Masks keys in what was said, in the thread that sends: it takes milliseconds, which the event loop has not."""

    def __init__(self, exporter: SpanExporter) -> None:
        """`exporter` is who sends."""
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; what they must not show is masked."""
        return self._exporter.export([_masked(span) for span in spans])

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether everything is sent."""
        return self._exporter.force_flush(timeout_millis)


def _let_others_go_on() -> None:
    time.sleep(0)  # the interpreter is anybody's for a moment


def _masked(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    said = {name: redact_long(str(attributes[name]), _let_others_go_on) for name in CONTENT if name in attributes}
    if not said:
        return span
    return ReadableSpan(
        span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**attributes, **said},
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class Tracer:
    """A `gateway.telemetry.recorder.Sink`."""

    def __init__(
        self, settings: TracingSettings, exporter: SpanExporter, processor: SpanProcessor, resource: Resource
    ) -> None:
        """`processor` sends to `exporter`."""
        self._settings = settings
        self._exporter = exporter
        self._processor = processor
        self._resource = resource
        self._charges: dict[str, list[ChargePosted]] = {}

    def receive(self, events: Sequence[Event]) -> None:
        """Hand over the spans of what has finished; keep charges for the requests that have not."""
        for event in events:
            if type(event) is ChargePosted:
                self._keep(event)
            elif type(event) is RequestFinished:
                self._finish(event)

    def close(self) -> None:
        """Send what is queued and stop; after `CLOSE_S` what a slow collector has not taken is lost. Blocks."""
        closing = threading.Thread(target=self._processor.shutdown, name="tracer", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            self._exporter.shutdown()  # ends its waits before it tries again
            closing.join(CLOSE_S)

    def _keep(self, charge: ChargePosted) -> None:
        if charge.resolution == "correction":
            return
        charges = self._charges
        charges.setdefault(charge.request_id, []).append(charge)
        if len(charges) > MAX_WAITING:
            del charges[next(iter(charges))]

    def _finish(self, event: RequestFinished) -> None:
        charges = self._charges.pop(event.request_id, [])
        if not sampled(event, self._settings.sample_ratio):
            return
        request = request_span(event if self._settings.content else event._replace(content=None))
        for charge in charges:
            self._processor.on_end(self._readable(attempt_span(charge, request)))
        self._processor.on_end(self._readable(request))

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context=_context(span.trace_id, span.span_id, remote=False),
            parent=_context(span.trace_id, span.parent_id, remote=span.remote_parent) if span.parent_id else None,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.CLIENT if span.client else SpanKind.SERVER,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
            start_time=int(span.start_s * 1e9),
            end_time=int(span.end_s * 1e9),
            instrumentation_scope=_SCOPE,
        )


def open_tracer(settings: TracingSettings) -> Tracer:
    """A tracer that sends to the configured collector by OTLP over HTTP.

    What the configuration leaves out is read from OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_HEADERS`,
    `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_MAX_QUEUE_SIZE` and so on).
    """
    exporter = Masked(
        OTLPSpanExporter(endpoint=settings.endpoint, headers=dict(settings.headers) or None, timeout=EXPORT_TIMEOUT_S)
    )
    resource = Resource.create({"service.name": settings.service_name, "service.version": __version__})
    return Tracer(settings, exporter, BatchSpanProcessor(exporter), resource)


def _context(trace_id: int, span_id: int, *, remote: bool) -> SpanContext:
    return SpanContext(trace_id, span_id, remote, TraceFlags(TraceFlags.SAMPLED))
