"""Rounds: the same load on each target in turn, and the medians of what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from benchmarks.answers import PLAIN_MODEL, STREAM_MODEL, request_body
from benchmarks.cpu import cpu_s
from benchmarks.load import Load, run
from benchmarks.servers import KEY, Server
from benchmarks.tongues import STREAMS


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int
    plain_requests: Mapping[int, int]
    """Requests of a round, by connections."""
    streams: int
    """Streams of a round."""
    events: int
    """SSE events of a stream."""
    interval_ms: float
    """Between two events of a stream."""
    starts: int
    """How often the gateway is started for the start-up time."""
    settle_s: float
    """How long before and after a round is waited: after its last answer a target still commits journal rows."""
    stream_connections: int = 32


FULL = Plan(
    rounds=3,
    plain_requests={1: 10_000, 16: 20_000, 64: 20_000},
    streams=160,
    events=100,
    interval_ms=10,
    starts=3,
    settle_s=0.3,
)
SHARED = replace(FULL, plain_requests={16: 6_000}, settle_s=1.0)
"""With Valkey and PostgreSQL on the same cores: a request takes several times as long, and its rows come later."""
QUICK = Plan(
    rounds=1, plain_requests={1: 200, 16: 400, 64: 400}, streams=32, events=20, interval_ms=5, starts=1, settle_s=0.05
)


class Sample(NamedTuple):
    """A round, or the median of several."""

    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float
    """CPU of the target per request."""


def plain_rounds(
    targets: Mapping[str, Server], connections: int, plan: Plan, generator: str, tick: Callable[[], None]
) -> dict[str, Sample]:
    """Medians per target of plain requests over so many connections."""
    body = request_body(PLAIN_MODEL, stream=False)
    requests = plan.plain_requests[connections]
    loads = {name: Load(server.plain_port, body, KEY, connections, requests) for name, server in targets.items()}
    return _rounds(targets, loads, plan, generator, tick)


def stream_rounds(
    targets: Mapping[str, Server], plan: Plan, generator: str, tick: Callable[[], None]
) -> dict[str, Sample]:
    """Medians per target of whole streams: divide the CPU by `plan.events`."""
    body = request_body(STREAM_MODEL, stream=True)
    loads = {
        name: Load(server.stream_port, body, KEY, plan.stream_connections, plan.streams)
        for name, server in targets.items()
    }
    return _rounds(targets, loads, plan, generator, tick)


def tongue_rounds(server: Server, plan: Plan, generator: str, tick: Callable[[], None]) -> dict[str, Sample]:
    """Medians of whole streams through the gateway in each API, passed on and translated: divide as above."""
    targets = dict.fromkeys(STREAMS, server)
    loads = {
        name: Load(server.stream_port, asked.body, KEY, plan.stream_connections, plan.streams, asked.path)
        for name, asked in STREAMS.items()
    }
    return _rounds(targets, loads, plan, generator, tick)


def _rounds(
    targets: Mapping[str, Server], loads: Mapping[str, Load], plan: Plan, generator: str, tick: Callable[[], None]
) -> dict[str, Sample]:
    samples: dict[str, list[Sample]] = {name: [] for name in targets}
    for load in loads.values():  # connections, caches and code paths warm up outside the figures
        run(replace(load, requests=max(load.connections, load.requests // 10)), generator)
    for _ in range(plan.rounds):
        for name, server in targets.items():
            samples[name].append(_round(server, loads[name], plan.settle_s, generator))
            tick()
    return {name: Sample(*(median(column) for column in zip(*rows, strict=True))) for name, rows in samples.items()}


def _round(server: Server, load: Load, settle_s: float, generator: str) -> Sample:
    time.sleep(settle_s)
    before_s = cpu_s(server.pid)
    result = run(load, generator)
    time.sleep(settle_s)
    used_s = cpu_s(server.pid) - before_s
    return Sample(load.requests / result.seconds, result.p50_us, result.p99_us, used_s / load.requests * 1e6)
