"""What the journal costs: CPU per request for both its rows, written as the gateway writes them.

    python -m benchmarks.journal --json

The recorder hands events over every 50 ms and the journal commits every 100 ms: `--rate` requests a second come in
twenty hand-overs, and two of these make a commit. Events are made before the clock starts, since making them is the
request path's cost. CPU is the whole process', the driver's thread included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from gateway.config.snapshot import StorageSettings
from gateway.context import new_request_id
from gateway.journal.writer import Journal
from gateway.telemetry.events import ChargePosted, Event, RequestFinished, RequestStarted
from routing.money import NanoUsd, Usage
from routing.profile import RequestProfile

HAND_OVER_S = 0.05
HAND_OVERS_PER_COMMIT = 2


def request_events(number: int) -> tuple[Event, Event, Event]:
    """The three events of a plain chat call that says its run and carries two tags."""
    at_s = 1_800_000_000.0 + number / 1000
    request_id = new_request_id(at_s)
    who = ("acme", "search", f"agent-{number % 20}")
    cost = NanoUsd(1_234_567 + number)
    charge = ChargePosted(
        f"{request_id}-1", request_id, 1, at_s + 0.8, *who,
        "gpt-5-mini", "openai/gpt-5-mini", "openai", "gpt-5-mini",
        Usage(input_tokens=1200 + number % 100, output_tokens=300, cache_read_tokens=1024, reasoning_tokens=64),
        "genai-prices:openai/gpt-5-mini", "default", cost, False, False, "ok", "useful", 200, 812.4, 95.2,
    )  # fmt: skip
    finished = RequestFinished(
        request_id, at_s, *who, "fb-k3m8q2xw", f"run-{number // 10}", None, f"session-{number // 30}", None,
        (("env", "prod"), ("feature", "search")), None, "openai-python/3.52.0", "chat", "gpt-5-mini",
        RequestProfile("chat", "gpt-5-mini", 5120, 1210, 1024, 1, 8, 3, 0, False, False, "default"),
        "openai/gpt-5-mini", "openai", "ordered; first-deployment", "ok", 200, "", 813.1, 96.0, 0.4, False, cost,
    )  # fmt: skip
    return RequestStarted(request_id, *who), charge, finished


async def cpu_us_per_request(directory: Path, requests: int, per_hand_over: int) -> float:
    """Write that many requests' events; CPU microseconds of each."""
    journal = await Journal.open(StorageSettings(dir=directory, flush_interval_s=60))
    hand_overs = [
        [event for number in range(start, min(start + per_hand_over, requests)) for event in request_events(number)]
        for start in range(0, requests, per_hand_over)
    ]
    begun_s = time.process_time()
    for count, events in enumerate(hand_overs, start=1):
        journal.write(events)
        if count % HAND_OVERS_PER_COMMIT == 0:
            await journal.flush()
    await journal.flush()
    spent_s = time.process_time() - begun_s
    await journal.close()
    return spent_s / requests * 1e6


def measure(requests: int, rates: list[int], rounds: int) -> dict[str, float]:
    """The median of several rounds for each rate, each in a journal of its own."""
    found = {}
    for rate in rates:
        samples = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                per_hand_over = max(1, round(rate * HAND_OVER_S))
                samples.append(asyncio.run(cpu_us_per_request(Path(folder), requests, per_hand_over)))
        found[f"rate_{rate}"] = round(median(samples), 2)
    return found


def main() -> None:
    """Measure and print; with --json the last line is one JSON object of CPU microseconds a request by rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="how many are written in a round")
    parser.add_argument("--rate", type=int, action="append", help="requests a second (default: 100, 1000 and 5000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = measure(options.requests, options.rate or [100, 1000, 5000], options.rounds)
    if options.json:
        print(json.dumps({"journal": {"cpu_us_per_request": found}}))
        return
    for name, cpu_us in found.items():
        print(f"{name.removeprefix('rate_'):>6} requests/s: {cpu_us:6.1f} us CPU a request (2 rows)")


if __name__ == "__main__":
    main()
