"""What metrics cost: counting an event, and a scrape of 200 agents that use 10 models each.

    python -m benchmarks.scrape [--agents 200] [--models 10] [--rounds 20]

Prints CPU time of this process: per request (started, charged, finished: recorded, batched and counted), and per
scrape (the copy on the event loop, and the text, which a worker thread writes), with the lines and bytes of the text.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from gateway.ledger.budgets import Budget
from gateway.ledger.report import BudgetLine
from gateway.ledger.scopes import EACH, Scope
from gateway.ledger.windows import Window
from gateway.telemetry.events import ChargePosted, Event, RequestFinished, RequestStarted
from gateway.telemetry.labels import Owner
from gateway.telemetry.metrics import Gauges, Known, Metrics
from gateway.telemetry.recorder import Recorder
from routing.catalog import Deployment
from routing.money import NanoUsd, Usage

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
BATCH = 50
"""Requests between two flushes of the recorder: as at 1,000 a second."""
PURPOSES = (("ok", "useful"), ("ok", "retry"), ("cancelled", "cancelled"))


class Fleet(NamedTuple):
    """Who calls what."""

    agents: int
    models: int

    def known(self) -> Known:
        """What a configuration of this size declares."""
        models = tuple(f"model-{number}" for number in range(self.models))
        return Known(
            owners=tuple(Owner("acme", f"team-{n % 20}", f"agent-{n:03d}") for n in range(self.agents)),
            models=models,
            providers=("openai",),
            deployments=tuple(Deployment(f"openai/{name}", "openai", name, None, model=name) for name in models),
            budgets=("month",),
        )

    def request(self, number: int) -> tuple[RequestStarted, ChargePosted, RequestFinished]:
        """One request's events; all agents and models come round, and each purpose of each."""
        agent, model = number % self.agents, f"model-{number // self.agents % self.models}"
        outcome, purpose = PURPOSES[number // (self.agents * self.models) % len(PURPOSES)]
        who = ("acme", f"team-{agent % 20}", f"agent-{agent:03d}")
        request_id, deployment = f"req_{number:026x}", f"openai/{model}"
        usage = Usage(1_200, 300, cache_read_tokens=1_024, reasoning_tokens=64)
        charge = ChargePosted(
            f"{request_id}.1", request_id, 1, 1.8e9, *who, model, deployment, "openai", model, usage, "genai",
            "default", NanoUsd(1_234_567), False, False, outcome, purpose, 200, 100.0 + number % 9_000, 80.0,
        )  # fmt: skip
        finished = RequestFinished(
            request_id, 1.8e9, *who, "key", None, None, None, None, (), None, "openai", "chat", model, None, deployment,
            "openai", "model; only", "ok", 200, "", 101.0 + number % 9_000, 81.0, 0.3, False, charge.cost_nano_usd,
        )  # fmt: skip
        return RequestStarted(request_id, *who), charge, finished

    def lines(self) -> list[BudgetLine]:
        """A monthly budget of each agent."""
        budget = Budget("month", Scope("agent", EACH), NanoUsd(10**12), Window("month"))
        span = budget.window.at(1.8e9)
        return [BudgetLine(budget, f"agent-{n:03d}", span, 10**12, 10**9 * n, 10**6, 1.8e9) for n in range(self.agents)]


def spent_s() -> float:
    """CPU time of this process."""
    return time.process_time()


def counting(fleet: Fleet, requests: Sequence[Sequence[Event]], metrics: Metrics) -> float:
    """CPU seconds per request, for recording and counting its three events."""
    loop = asyncio.get_running_loop()
    recorder = Recorder([metrics], interval_s=3600, loop=loop)
    began_s = spent_s()
    for at in range(0, len(requests), BATCH):
        for events in requests[at : at + BATCH]:
            for event in events:
                recorder.record(event)
        recorder.flush()
    return (spent_s() - began_s) / len(requests)


async def scraping(metrics: Metrics, accept: str, rounds: int) -> tuple[float, float, bytes]:
    """The least CPU and wall seconds of a scrape, and its text."""
    body, cpu_s, wall_s = b"", math.inf, math.inf
    for _ in range(rounds):
        began_cpu_s, began_s = spent_s(), time.perf_counter()
        body, _ = await metrics.render(accept)
        cpu_s, wall_s = min(cpu_s, spent_s() - began_cpu_s), min(wall_s, time.perf_counter() - began_s)
    return cpu_s, wall_s, body


async def measure(fleet: Fleet, rounds: int) -> list[str]:
    """The report's lines."""

    async def lines() -> list[BudgetLine]:
        return fleet.lines()

    metrics = Metrics(version="0", gauges=Gauges(budgets=lines))
    metrics.set_known(fleet.known())
    total = fleet.agents * fleet.models * len(PURPOSES)
    requests = [fleet.request(number) for number in range(total)]
    counting(fleet, requests, metrics)  # makes the series
    gc.collect()
    gc.freeze()  # as a gateway does
    per_request_s = min(counting(fleet, requests, metrics) for _ in range(5))
    report = [f"{per_request_s * 1e6:.1f} µs CPU a request, {per_request_s / 3 * 1e6:.1f} µs an event"]
    copy_s, standing = math.inf, fleet.lines()
    for _ in range(rounds):
        began_s = spent_s()
        metrics.copy(standing)
        copy_s = min(copy_s, spent_s() - began_s)
    report.append(f"{copy_s * 1e3:.1f} ms CPU a scrape's copy, on the event loop")
    for name, accept in (("text", ""), ("OpenMetrics", OPENMETRICS)):
        cpu_s, wall_s, body = await scraping(metrics, accept, rounds)
        size = f"{len(body.splitlines()):,} lines, {len(body) / 1e6:.1f} MB"
        report.append(f"{cpu_s * 1e3:.1f} ms CPU, {wall_s * 1e3:.1f} ms in all a scrape as {name}: {size}")
    return report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    for line in asyncio.run(measure(Fleet(asked.agents, asked.models), asked.rounds)):
        print(line)


if __name__ == "__main__":
    main()
