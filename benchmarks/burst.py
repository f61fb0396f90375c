"""Two hundred agents at once against budgets that cannot pay for half of what they want, judged by the provider's bill.

    python -m benchmarks.burst --store memory --gateways 1 --json

Three bursts: calibrated, after the agents' habits were learned (`--warm` calls of each agent, on other budgets); the
same without that (`cold.*`); and strict (`strict.*`). In each a gateway is killed (kill -9) and started again.
docs/performance.md says what the figures mean.

Time is stretched (`--time-scale 8`: 50 tokens/s, and all other times eight times as long): two cores cannot carry 200
streams of 400 tokens a second in both the provider and the gateway. What is stretched: the provider's pace, how long it
goes on after a cancel, what is declared of both, and the queue's patience. What is not: the gateway's own work, and the
waits of its breakers and retries.

Breakers and retries are at their defaults, and the one deployment has a breaker like any other: 5% of the calls, drawn
by chance, must not open it. A third of these are 429s with `Retry-After: 0`; with `--pause-s` they ask the gateway to
leave the provider alone for a while, which it does: requests wait for the end of a short pause, and are refused with
503 `parked` in a long one. `--breakers off` is the same without breakers, parks and retries. A burst in which more than
3% of the calls fail for other reasons than money says nothing of budgets: it is `invalid`, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.progress import Progress, TaskID

from benchmarks import burst_plan
from benchmarks.burst_client import Fleet, Seen
from benchmarks.burst_judge import Evidence, Judge, read_bill, read_charges
from benchmarks.burst_plan import FULL, GLOBAL, LINGER_S, NANO_PER_USD, QUICK, Scenario, Size, scenario
from benchmarks.burst_report import burst_report, busy, invalid, table
from benchmarks.burst_servers import (
    LEARNED,
    Journal,
    Process,
    Setting,
    gateway,
    key_of,
    sharing_gateway,
    simulator,
    verify,
)
from benchmarks.servers import StartError
from benchmarks.stores import Shared, shared_stores

_CHARGES = "SELECT request_id, agent, window_at_us, cost_nano_usd, resolution, estimated FROM charges ORDER BY at_us"
_ARRIVALS = "SELECT request_id, at_us FROM requests"
_RAMP_S = 1.0
"""Over which clients begin, and begin again after a kill; unscaled."""
_STRICT_FASTER = 4
"""So much less time is stretched in the strict burst: it never has more than some thirty streams."""
_KILLED_AFTER = 0.35
"""The share of the global budget that has been billed when a gateway is killed."""
_SETTLE_S = 1.0
_ORPHANED_AFTER_S = 13.0
"""A gateway that shares a store is given up after ten seconds without a heartbeat."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    size: Size
    store: str
    gateways: int
    time_scale: float
    queue_s: float
    min_output_tokens: int
    seed: int
    goes_on: bool
    kills: bool
    breakers: bool = True
    pause_s: float = 0.0


class Burst:
    """One burst: its processes, its clients, its evidence."""

    def __init__(self, folder: Path, options: Options, plan: Scenario, shared: Shared | None) -> None:
        self._folder = folder
        self._options = options
        self._plan = plan
        self._shared = shared
        self._gateways: list[tuple[Process, int]] = []
        self._names: list[str] = []
        self.restart_s = 0.0
        """From the kill to the first 200 of /readyz."""
        self.elapsed_s = 0.0

    def run(self, setting: Setting, learned: list[tuple[Any, ...]], progress: Progress, task: TaskID) -> dict[str, Any]:
        """Run it and judge it. Raises StartError."""
        scale = self._options.time_scale
        with simulator(self._folder, "burst") as (port, bill):
            try:
                self._start(port, setting, learned)
                seen = uvloop.run(self._drive(bill, progress, task))
                time.sleep(_SETTLE_S + LINGER_S * scale + (_ORPHANED_AFTER_S if self._shared else 0))
                verified = verify(self._folder, self._names[0], self._gateways[0][1])
            finally:
                for process, _ in self._gateways:
                    process.stop()
        records = [json.loads(line) for line in bill.read_text().splitlines()]
        journal = self._journal()
        charges = read_charges(journal.rows(_CHARGES))
        for name, found in (("seen", seen), ("charges", charges)):
            (self._folder / f"{name}.jsonl").write_bytes(b"".join(map(_line, found)))
        arrivals = {request_id: at_us / 1e6 for request_id, at_us in journal.rows(_ARRIVALS)}
        judge = Judge(self._plan, Evidence(seen, read_bill(records, LINGER_S * scale), charges))
        return burst_report(judge, seen, arrivals, verified, self)

    @property
    def time_scale(self) -> float:
        """How much longer everything takes."""
        return self._options.time_scale

    def learn(self, setting: Setting) -> list[tuple[Any, ...]]:
        """What is known of the agents after some calls of each, plain and without waiting, on other budgets."""
        with simulator(self._folder, "warm") as (port, _):
            limits = {GLOBAL: 1_000 * NANO_PER_USD}
            process, gateway_port = gateway(self._folder, "warm", port, self._plan, replace(setting, limits=limits))
            process.start()
            try:
                uvloop.run(self._warm_up(gateway_port))
            finally:
                process.stop()
        return Journal(self._folder / "warm", None).rows(LEARNED)

    async def _warm_up(self, port: int) -> None:
        size = self._options.size
        calls = size.warm_calls
        each = replace(size, clients=len(size.agents), calls=calls, agents=_evenly(size))
        drawn = scenario(each, self._options.seed + 1, lambda _: 1)
        plain = [[replace(call, stream=False, leaves_at=None, status=None) for call in of] for of in drawn.calls]
        fleet = Fleet([port], key_of, 0.0, goes_on=True, on_end=lambda _: None)
        await fleet.run(plain, 0.0)

    def _start(self, upstream_port: int, setting: Setting, learned: list[tuple[Any, ...]]) -> None:
        for number in range(self._options.gateways):
            name = f"gateway{number}"
            self._names.append(name)
            if self._shared is None:
                self._gateways.append(gateway(self._folder, name, upstream_port, self._plan, setting))
            else:
                made = sharing_gateway(self._folder, name, upstream_port, self._plan, setting, self._shared)
                self._gateways.append(made)
        if learned:  # a first start makes the journal's tables
            first = self._gateways[0][0]
            first.start()
            first.stop()
            self._journal().insert_learned(learned)
        for process, _ in self._gateways:
            process.start()

    def _journal(self) -> Journal:
        return Journal(self._folder / self._names[0], self._shared)

    async def _drive(self, bill: Path, progress: Progress, task: TaskID) -> list[Seen]:
        began_s = time.monotonic()
        options = self._options

        def ended(seen: Seen) -> None:
            stopped = seen.outcome == "refused" and not options.goes_on
            progress.advance(task, options.size.calls - seen.call.number if stopped else 1)

        ports = [port for _, port in self._gateways]
        fleet = Fleet(ports, key_of, options.time_scale, options.goes_on, ended, options.pause_s)
        killing = asyncio.create_task(self._kill(bill)) if options.kills else None
        try:
            await fleet.run(self._plan.calls, _RAMP_S * options.time_scale)
        finally:
            if killing is not None:
                killing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await killing
        self.elapsed_s = time.monotonic() - began_s
        return fleet.seen

    async def _kill(self, bill: Path) -> None:
        """kill -9 of the last gateway once so much of the global budget is billed; start it again at once."""
        wanted, billed = _KILLED_AFTER * self._plan.limits[GLOBAL], 0
        with bill.open() as lines:
            while billed < wanted:
                await asyncio.sleep(0.05)
                for line in lines:
                    billed += int(json.loads(line)["cost_nano_usd"])
        began_s = time.monotonic()
        process = self._gateways[-1][0]
        process.kill()
        await asyncio.to_thread(process.start)
        self.restart_s = time.monotonic() - began_s


def _line(seen: object) -> bytes:
    return msgspec.json.encode(seen) + b"\n"


def _evenly(size: Size) -> dict[str, tuple[str, float, float]]:
    share = 1 / len(size.agents)
    return {name: (team, share, worth) for name, (team, _, worth) in size.agents.items()}


def measure(options: Options, runs: Sequence[str], keep: Path | None, progress: Progress) -> dict[str, Any]:
    """Run the bursts that `runs` names: `calibrated`, `cold`, `strict`. Raises StartError."""
    plan = scenario(options.size, options.seed, _token_counter())
    calls = options.size.clients * options.size.calls
    report: dict[str, Any] = {}
    for name in runs:
        task = progress.add_task(name, total=calls)
        with contextlib.ExitStack() as stack:
            folder = _folder(stack, keep, name)
            shared = stack.enter_context(shared_stores("burst"))[0] if options.store == "valkey" else None
            reserve = "strict" if name == "strict" else "calibrated"
            scale = options.time_scale if name != "strict" else max(1.0, options.time_scale / _STRICT_FASTER)
            setting = Setting(reserve, plan.limits, scale, options.queue_s, options.min_output_tokens, options.breakers)
            burst = Burst(folder, replace(options, time_scale=setting.time_scale), plan, shared)
            learned = burst.learn(setting) if name == "calibrated" else []
            report[name] = burst.run(setting, learned, progress, task)
        progress.update(task, completed=calls)
    return {"plan": plan, **report}


def _folder(stack: contextlib.ExitStack, keep: Path | None, name: str) -> Path:
    """Where a burst's processes keep everything; it stays if that was asked for."""
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-burst-")))
    folder = keep / name
    folder.mkdir(parents=True)
    return folder


def _token_counter() -> Any:
    """What the simulator bills for a prompt."""
    from gateway.simulator import fields, prompt, tokenizer

    words = tokenizer.load()

    def count(text: str) -> int:
        body = {"model": "sim-small", "messages": [{"role": "user", "content": text}]}
        return len(prompt.render(fields.chat(body), words))

    return count


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("memory", "valkey"), default="memory")
    parser.add_argument("--gateways", type=int, choices=(1, 2), default=1, help="two share one Valkey")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of standard output")
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds, figures worthless")
    parser.add_argument("--time-scale", type=float, default=8.0, help="how many times slower than 400 tokens/s")
    parser.add_argument("--queue-s", type=float, default=5.0, help="queue.wait_s, before it is stretched")
    parser.add_argument("--min-output-tokens", type=int, default=64, help="clamp.min_output_tokens of the agents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--goes-on", action="store_true", help="a refused client makes its next call instead of stopping"
    )
    parser.add_argument(
        "--breakers", choices=("default", "off"), default="default",
        help="off: no breakers, parks and retries, so that the budgets are alone",
    )  # fmt: skip
    parser.add_argument("--pause-s", type=float, default=0.0, help="the Retry-After of the provider's 429s")
    parser.add_argument("--no-kill", action="store_true", help="leave the gateway alive: to compare")
    parser.add_argument("--keep", type=Path, help="a new folder for journals, bills, logs and what clients saw")
    parser.add_argument("--runs", default="calibrated,strict", help="which bursts, comma-separated: also cold")
    arguments = parser.parse_args()
    if arguments.gateways > 1 and arguments.store == "memory":
        parser.error("two gateways need --store valkey: the memory store belongs to one process")
    return arguments


def main() -> None:
    """Read the command line, run, report."""
    asked = _arguments()
    size, scale = (QUICK, min(asked.time_scale, 1.0)) if asked.quick else (FULL, asked.time_scale)
    options = Options(
        size, asked.store, asked.gateways, scale, asked.queue_s, asked.min_output_tokens,
        asked.seed, asked.goes_on, not asked.no_kill, asked.breakers == "default", asked.pause_s,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the servers are stopped
    console = Console(stderr=True)
    try:
        with Progress(console=console) as progress:
            found = measure(options, asked.runs.split(","), asked.keep, progress)
    except StartError as error:
        sys.exit(f"benchmark failed: {error}")
    report = summary(found, options)
    if asked.json:
        print(json.dumps(report))
    else:
        console.print(table(report))
    for name, why in report["busy"].items():
        print(f"{name} says nothing: {why}", file=sys.stderr)
    if report["invalid"]:
        sys.exit(f"benchmark invalid: {report['invalid']}")


def summary(found: dict[str, Any], options: Options) -> dict[str, Any]:
    """The first burst's figures at the top, the others' by name."""
    plan: Scenario = found["plan"]
    bursts = {name: figures for name, figures in found.items() if name != "plan"}
    first, *others = bursts
    demand = plan.demand()
    return {
        **bursts[first],
        **{name: bursts[name] for name in others},
        "invalid": {name: why for name, figures in bursts.items() if (why := invalid(figures)) is not None},
        "busy": {name: why for name, figures in bursts.items() if (why := busy(figures)) is not None},
        "scenario": {
            "store": options.store,
            "gateways": options.gateways,
            "clients": options.size.clients,
            "calls": options.size.clients * options.size.calls,
            "mean_cost_usd": round(plan.mean_cost / NANO_PER_USD, 9),
            "limit_in_mean_calls": {scope: round(limit / plan.mean_cost) for scope, limit in plan.limits.items()},
            "demand": {"least": round(min(demand.values()), 2), GLOBAL: round(demand[GLOBAL], 2)},
            "tokens_per_s": burst_plan.TOKENS_PER_S,
            "time_scale": options.time_scale,
            "queue_s": options.queue_s,
            "min_output_tokens": options.min_output_tokens,
            "warm_calls_per_agent": options.size.warm_calls,
            "after_a_refusal": "the client goes on" if options.goes_on else "the client stops",
            "killed": options.kills,
            "breakers": "default" if options.breakers else "off",
            "pause_s": options.pause_s,
        },
    }


if __name__ == "__main__":
    main()
