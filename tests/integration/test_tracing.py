"""Traces at a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai as sdk
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MESSAGES: Any = [{"role": "user", "content": "Hello."}]


class Collector:
    """Takes spans, and answers as it is told."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
                outer.headers.append({**dict(self.headers.items()), "path": self.path})
                for of_resource in asked.resource_spans:
                    for of_scope in of_resource.scope_spans:
                        outer.spans += of_scope.spans
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    yield collector
    await asyncio.to_thread(collector.close)


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in span.attributes}


async def ask(gateway: GatewayUnderTest, **headers: str) -> None:
    async with gateway.sdk() as client:
        await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=headers)


async def test_a_callers_trace_goes_on_with_the_request_and_its_attempt(
    collector: Collector, simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(
        f"{simulator.url}/v1", tracing={"endpoint": collector.url, "headers": {"x-key": "collector-key"}}
    )
    await ask(gateway, traceparent=f"00-{TRACE}-{PARENT}-01")
    (row,) = await gateway.rows("requests")
    (charge,) = await gateway.rows("charges")
    await gateway.stop()
    attempt, request = collector.spans
    assert [span.trace_id.hex() for span in collector.spans] == [TRACE, TRACE]
    assert request.parent_span_id.hex() == PARENT
    assert attempt.parent_span_id == request.span_id
    assert (request.name, attempt.name) == ("chat sim-small", "chat sim-small")
    assert attributes(request)["farebox.request_id"] == row["request_id"]
    assert (
        attributes(attempt).items()
        >= {
            "gen_ai.provider.name": "sim",
            "gen_ai.usage.input_tokens": charge["input_tokens"],
            "farebox.cost_nano_usd": charge["cost_nano_usd"],
            "farebox.purpose": "useful",
        }.items()
    )
    assert request.start_time_unix_nano <= attempt.start_time_unix_nano <= attempt.end_time_unix_nano
    assert "input.value" not in attributes(request)
    assert {(each["path"], each["x-key"]) for each in collector.headers} == {("/v1/traces", "collector-key")}


async def test_what_was_refused_is_an_error_without_attempts(
    collector: Collector, simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", tracing={"endpoint": collector.url})
    async with gateway.sdk() as client:
        with pytest.raises(sdk.NotFoundError):
            await client.chat.completions.create(model="unheard-of", messages=MESSAGES)
    (row,) = await gateway.rows("requests")
    await gateway.stop()
    (request,) = collector.spans
    assert request.trace_id.hex() == row["request_id"].removeprefix("req_").zfill(32)
    assert attributes(request)["error.type"] == "model_not_found"


async def test_a_collector_that_is_away_is_no_matter(
    simulator: SimulatorServer, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.telemetry.tracer.CLOSE_S", 1.0)
    gateway = await start_gateway(f"{simulator.url}/v1", tracing={"endpoint": "http://127.0.0.1:1"})
    await ask(gateway)
    assert len(await gateway.rows("charges")) == 1
    await gateway.stop()
    assert not [each for each in threading.enumerate() if "Otel" in each.name], "nothing goes on trying"
