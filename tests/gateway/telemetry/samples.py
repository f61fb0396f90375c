"""Events for tests, with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from gateway.telemetry.events import ChargePosted, RequestFinished, RequestStarted
from routing.money import NanoUsd, Usage

WHO = {"org": "acme", "team": "search", "agent": "researcher"}


def started(**changes: Any) -> RequestStarted:
    return RequestStarted(request_id="req_1", **WHO)._replace(**changes)


def charged(**changes: Any) -> ChargePosted:
    return ChargePosted(
        charge_id="chg-1",
        request_id="req_1",
        attempt=1,
        at_s=1_800_000_000.0,
        **WHO,
        model="gpt",
        deployment="openai/gpt",
        provider="openai",
        upstream_model="gpt",
        usage=Usage(input_tokens=100, output_tokens=20),
        price_point="config:gpt",
        service_tier="default",
        cost_nano_usd=NanoUsd(1_500),
        estimated=False,
        unpriced=False,
        outcome="ok",
        purpose="useful",
        upstream_status=200,
        latency_ms=80.0,
        first_token_ms=30.0,
        window_at_s=1_800_000_000.0,
    )._replace(**changes)


def finished(**changes: Any) -> RequestFinished:
    return RequestFinished(
        request_id="req_1",
        at_s=1_800_000_000.0,
        **WHO,
        key_id="config:main",
        run=None,
        parent_run=None,
        session=None,
        user=None,
        tags=(),
        value_nano_usd=None,
        sdk="openai-python/3.52.0",
        endpoint="chat",
        model="gpt",
        profile=None,
        deployment="openai/gpt",
        provider="openai",
        rule="model",
        outcome="ok",
        status=200,
        error_code="",
        latency_ms=81.0,
        first_token_ms=30.5,
        overhead_ms=0.4,
        streamed=False,
        cost_nano_usd=NanoUsd(1_500),
    )._replace(**changes)
