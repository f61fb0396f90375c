"""What the gateway costs per request: CPU, latency, memory, start-up; with nginx as the anchor in the same run.

    python -m benchmarks.overhead --json

Needs Linux. docs/performance.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.console import Console, RenderableType
from rich.progress import Progress

from benchmarks import governed, servers
from benchmarks.cpu import rss_bytes
from benchmarks.load import LoadError, generator_name
from benchmarks.measure import FULL, QUICK, SHARED, Plan, Sample, plain_rounds, stream_rounds, tongue_rounds
from benchmarks.report import Findings, Json, as_json, governed_json, governed_table, streams_json, streams_table, table
from benchmarks.servers import StartError
from benchmarks.tongues import STREAMS

_MB = 1_000_000


def measure(plan: Plan, generator: str, progress: Progress) -> Findings:
    """Run the whole plan. Raises StartError and LoadError."""
    with_nginx = servers.has_nginx()
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        paced = stack.enter_context(servers.paced_upstream(folder, events=plan.events, interval_ms=plan.interval_ms))
        fixed = stack.enter_context(servers.fixed_upstream(folder, with_nginx=with_nginx))
        ports = (fixed.plain_port, paced.stream_port)
        start_s, start_warm_s = _starts(folder, ports, plan, progress)
        ours = stack.enter_context(servers.gateway(folder, folder / "state", ports))
        rss_start = rss_bytes(ours.pid)
        targets = {"direct": fixed}
        if with_nginx:
            targets["nginx"] = stack.enter_context(servers.nginx_proxy(folder, *ports))
        targets["gateway"] = ours
        plain = {}
        for connections in plan.plain_requests:
            with _task(progress, f"plain, {connections} connections", plan.rounds * len(targets)) as tick:
                plain[connections] = plain_rounds(targets, connections, plan, generator, tick)
        del targets["direct"]
        with _task(progress, f"{plan.stream_connections} streams", plan.rounds * len(targets)) as tick:
            stream = stream_rounds(targets, plan, generator, tick)
        rss = rss_bytes(ours.pid)
    tools = {"load": generator, "nginx": shutil.which("nginx") and "nginx"}
    return Findings(plan, plain, stream, start_s, start_warm_s, rss_start / _MB, rss / _MB, tools)


def measure_streams(plan: Plan, generator: str, progress: Progress) -> Mapping[str, Sample]:
    """Streams in each API, through one gateway. Raises StartError and LoadError."""
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        paced = stack.enter_context(servers.paced_upstream(folder, events=plan.events, interval_ms=plan.interval_ms))
        ours = stack.enter_context(servers.gateway(folder, folder / "state", (paced.plain_port, paced.stream_port)))
        with _task(progress, "streams in each API", plan.rounds * len(STREAMS)) as tick:
            return tongue_rounds(ours, plan, generator, tick)


def _starts(folder: Path, ports: tuple[int, int], plan: Plan, progress: Progress) -> tuple[float, float]:
    """Medians of seconds to ready: with a new storage folder, and again with the one it made."""
    fresh, warm = [], []
    with _task(progress, "starts", plan.starts) as tick:
        for number in range(plan.starts):
            storage = folder / f"state-{number}"
            with servers.gateway(folder, storage, ports) as server:
                fresh.append(server.start_s)
            with servers.gateway(folder, storage, ports) as server:
                warm.append(server.start_s)
            tick()
    return median(fresh), median(warm)


@contextlib.contextmanager
def _task(progress: Progress, name: str, steps: int) -> Iterator[Callable[[], None]]:
    task = progress.add_task(name, total=steps)
    yield lambda: progress.advance(task)


def main() -> None:
    """Read the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of standard output")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: seconds instead of minutes, figures worthless"
    )
    parser.add_argument("--rounds", type=int, help="rounds per target; medians are taken over them")
    parser.add_argument("--generator", choices=("auto", "wrk", "own"), default="auto", help="what makes the load")
    parser.add_argument(
        "--governed", choices=("memory", "valkey"), help="only what budgets and rates add, with this store"
    )
    parser.add_argument(
        "--streams", choices=("all",), help="only what a relayed event costs, in each API, passed on and translated"
    )
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else SHARED if arguments.governed == "valkey" else FULL
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the servers are stopped
    console = Console(stderr=True)
    show: Callable[[Json], RenderableType] = table
    try:
        with Progress(console=console) as progress:
            generator = generator_name(arguments.generator)
            if arguments.governed:
                with _task(progress, f"governed, {arguments.governed}", plan.rounds * 2) as tick:
                    costs = governed.measure(arguments.governed, plan, generator, tick)
                report = governed_json(arguments.governed, costs, plan, generator)
                show = governed_table
            elif arguments.streams:
                report = streams_json(measure_streams(plan, generator, progress), plan, generator)
                show = streams_table
            else:
                report = as_json(measure(plan, generator, progress))
    except (StartError, LoadError) as error:
        sys.exit(f"benchmark failed: {error}")
    if arguments.json:
        print(json.dumps(report))
    else:
        console.print(show(report))


if __name__ == "__main__":
    main()
