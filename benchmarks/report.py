"""What the benchmark says: one JSON object, or a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from benchmarks.measure import Plan, Sample

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that was measured. Targets are `gateway`, `direct` (to the upstream) and, when installed, `nginx`."""

    plan: Plan
    plain: Mapping[int, Mapping[str, Sample]]
    """By connections, then by target."""
    stream: Mapping[str, Sample]
    """By target; a request is a whole stream."""
    start_s: float
    start_warm_s: float
    rss_start_mb: float
    rss_mb: float
    tools: Mapping[str, str | None]


def as_json(found: Findings) -> Json:
    """The findings as the last line of output has them: null where nginx is missing."""
    return {
        "plain": {f"c{connections}": _plain(samples) for connections, samples in found.plain.items()},
        "stream": {f"c{found.plan.stream_connections}": _stream(found.stream, found.plan)},
        "start_s": round(found.start_s, 3),
        "start_warm_s": round(found.start_warm_s, 3),
        "rss_mb": round(found.rss_mb, 1),
        "rss_start_mb": round(found.rss_start_mb, 1),
        "rounds": found.plan.rounds,
        "tools": dict(found.tools),
        "machine": _machine(),
    }


def governed_json(store: str, costs: Json, plan: Plan, generator: str) -> Json:
    """What budgets and rates add, by store."""
    return {"governed": {store: costs}, "rounds": plan.rounds, "tools": {"load": generator}, "machine": _machine()}


def governed_table(report: Json) -> Table:
    """The same for people."""
    found = Table(title="six enforced scopes and two rates, strict; 16 connections, medians")
    columns = ("store", "CPU µs added", "with", "without", "+p50 µs", "+p99 µs")
    for column in columns:
        found.add_column(column, justify="right")
    keys = ("cpu_us", "governed_cpu_us", "ungoverned_cpu_us", "added_p50_us", "added_p99_us")
    for store, row in report["governed"].items():
        found.add_row(store, *(_text(row[key]) for key in keys))
    return found


def streams_json(samples: Mapping[str, Sample], plan: Plan, generator: str) -> Json:
    """What a relayed event costs, by API and whether it is translated."""
    costs = {name: {"cpu_us_per_event": round(found.cpu_us / plan.events, 1)} for name, found in samples.items()}
    details = {"events_per_stream": plan.events, "interval_ms": plan.interval_ms}
    stream = {f"c{plan.stream_connections}": costs}
    return {"stream": stream, **details, "rounds": plan.rounds, "tools": {"load": generator}, "machine": _machine()}


def streams_table(report: Json) -> Table:
    """The same for people."""
    found = Table(title="relayed events, medians")
    for column in ("streams", "API", "CPU µs per event"):
        found.add_column(column, justify="right")
    for connections, costs in report["stream"].items():
        for name, row in costs.items():
            found.add_row(connections[1:], name, _text(row["cpu_us_per_event"]))
    return found


def _machine() -> Json:
    load = [round(each, 1) for each in os.getloadavg()]
    return {"cpu": _cpu_model(), "cores": os.cpu_count(), "python": platform.python_version(), "load": load}


def _plain(samples: Mapping[str, Sample]) -> Json:
    ours, direct, nginx = samples["gateway"], samples["direct"], samples.get("nginx")
    return {
        "cpu_us": round(ours.cpu_us, 1),
        "nginx_cpu_us": nginx and round(nginx.cpu_us, 1),
        "nginx_ratio": nginx and round(ours.cpu_us / nginx.cpu_us, 2),
        "requests_per_s": round(ours.requests_per_s),
        "nginx_requests_per_s": nginx and round(nginx.requests_per_s),
        "added_p50_us": round(ours.p50_us - direct.p50_us),
        "added_p99_us": round(ours.p99_us - direct.p99_us),
        "nginx_added_p50_us": nginx and round(nginx.p50_us - direct.p50_us),
        "nginx_added_p99_us": nginx and round(nginx.p99_us - direct.p99_us),
    }


def _stream(samples: Mapping[str, Sample], plan: Plan) -> Json:
    ours, nginx = samples["gateway"], samples.get("nginx")
    return {
        "cpu_us_per_event": round(ours.cpu_us / plan.events, 1),
        "nginx_cpu_us_per_event": nginx and round(nginx.cpu_us / plan.events, 1),
        "nginx_ratio": nginx and round(ours.cpu_us / nginx.cpu_us, 2),
        "events_per_stream": plan.events,
        "interval_ms": plan.interval_ms,
    }


def table(report: Json) -> Group:
    """The same for people."""
    plain = Table(title="plain requests, medians")
    columns = ("", "CPU µs", "nginx", "ratio", "req/s", "nginx", "+p50 µs", "nginx", "+p99 µs", "nginx")
    for column in columns:
        plain.add_column(column, justify="right")
    keys = (
        *("cpu_us", "nginx_cpu_us", "nginx_ratio", "requests_per_s", "nginx_requests_per_s"),
        *("added_p50_us", "nginx_added_p50_us", "added_p99_us", "nginx_added_p99_us"),
    )
    for connections, row in report["plain"].items():
        plain.add_row(connections, *(_text(row[key]) for key in keys))
    rest = Table(show_header=False)
    for name, row in report["stream"].items():
        rest.add_row(f"CPU per relayed event, {name[1:]} streams", f"{_text(row['cpu_us_per_event'])} µs")
        rest.add_row("the same of nginx", f"{_text(row['nginx_cpu_us_per_event'])} µs")
    rest.add_row("start to ready, first / again", f"{report['start_s']} / {report['start_warm_s']} s")
    rest.add_row("resident memory, at start / at the end", f"{report['rss_start_mb']} / {report['rss_mb']} MB")
    return Group(plain, rest)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
