"""A provider's outage, and what its clients notice: real sockets, simulated providers, a constant load.

    python -m benchmarks.outage --json
    python -m benchmarks.outage --seconds 30   # the same in a third of the time, as a table

Three parts, each with a gateway of its own and one fallback at another provider, clients at `--rate` requests a second,
half of them streamed, each request once:

1. *Outage.* The primary is down for the second third of `--seconds` (90): it refuses connections, then answers 500,
   then stalls, a third of the time each. `error_ratio`: the share of all requests whose client got an error or no
   complete answer; `error_ratio_after_open`: of those that began a second or more after the breaker opened.
   `upstream_calls_per_request` counts every attempt, refused connections too; `during_outage` has the same of the
   outage alone. `added_p99_ms`: the p99 of the latency (to a stream's first byte, to a whole answer's end, from the
   moment it was due) of all that began later than a second into the outage, less the p99 of all before it.
   `recovery_s`: from the primary's recovery to the first second of which it serves nine tenths again;
   `probe_interval_s`: how long the breaker was waiting then.
2. *Cut streams.* For a third of the part's time (a sixth of `--seconds`) the primary cuts every answer after three
   tokens; `cut_streams.told_ratio` is the share of broken answers that said so.
3. *Slow tail.* 2% of both providers' answers begin ten times later. Every other request asks for a model that hedges:
   `hedge.p99_ratio` is its p99 of a stream's first byte over that of the other model, `hedge.extra_cost_ratio` what the
   providers bill more for its requests.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console
from rich.progress import Progress

from benchmarks.outage_client import Load, Shot, fire
from benchmarks.outage_report import Json, Outage, cut_figures, hedge_figures, outage_figures, table
from benchmarks.outage_servers import (
    FALLBACK,
    FIRST_BYTE_MS,
    HEDGED,
    MODEL,
    PRIMARY,
    SLOW_SHARE,
    SLOW_TIMES,
    TOKEN_MS,
    Gateway,
    Simulator,
    simulators,
)
from benchmarks.servers import StartError

PARTS = ("outage", "cut_streams", "hedge")
_STALLS_S = 3600
_WARM_S = 2.0
_SETTLES_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    seconds: float
    requests_per_s: float


class Bench:
    """Runs the parts, one after the other."""

    def __init__(self, folder: Path, options: Options, upstreams: dict[str, Simulator], progress: Progress) -> None:
        self._folder = folder
        self._options = options
        self._upstreams = upstreams
        self._progress = progress

    def outage(self) -> Json:
        """The primary down for a third of the time."""
        third_s = self._options.seconds / 3
        with Gateway(self._folder, "outage", self._upstreams) as gateway:
            self._warm(gateway)
            began_s = time.time()
            for number, fault in enumerate(("refuse", "500", f"stall;s={_STALLS_S}")):
                self._upstreams[PRIMARY].plan(fault, third_s + number * third_s / 3, third_s / 3)
            shots = self._fire("outage", gateway, (MODEL,), self._options.seconds)
        down = Outage(began_s + third_s, began_s + 2 * third_s)
        return outage_figures(shots, down, gateway.calls(), gateway.turns())

    def cut_streams(self) -> Json:
        """The primary cuts all streams for a third of the time."""
        seconds = self._options.seconds / 6
        with Gateway(self._folder, "cut", self._upstreams) as gateway:
            self._warm(gateway)
            began_s = time.time()
            self._upstreams[PRIMARY].plan("cut;after=3", seconds / 3, seconds / 3)
            shots = self._fire("cut streams", gateway, (MODEL,), seconds)
        return {"cut_streams": cut_figures(shots, Outage(began_s + seconds / 3, began_s + 2 * seconds / 3))}

    def hedge(self) -> Json:
        """Both providers with a slow tail; every other pair of requests may be hedged."""
        seconds = self._options.seconds / 3
        with Gateway(self._folder, "hedge", self._upstreams) as gateway:
            self._warm(gateway, (MODEL, HEDGED))
            for simulator in self._upstreams.values():
                simulator.clear()
                slow = f"slow;first_ms={FIRST_BYTE_MS * SLOW_TIMES};token_ms={TOKEN_MS}"
                simulator.plan(slow, 0, seconds * 10, SLOW_SHARE)
            shots = self._fire("slow tail", gateway, (MODEL, HEDGED), seconds)
            time.sleep(_SETTLES_S)
            costs: dict[str, int] = {}
            for simulator in self._upstreams.values():
                for request, cost in simulator.bill().items():
                    costs[request] = costs.get(request, 0) + cost
        return {"hedge": hedge_figures(shots, costs)}

    def _warm(self, gateway: Gateway, models: Sequence[str] = (MODEL,)) -> None:
        """What is slower the first time does not count, and hedges need to know what is late."""
        for simulator in self._upstreams.values():
            simulator.clear()
        load = Load(self._options.requests_per_s, _WARM_S, models)
        uvloop.run(fire(gateway.port, load, lambda _: None))

    def _fire(self, name: str, gateway: Gateway, models: Sequence[str], seconds: float) -> list[Shot]:
        task = self._progress.add_task(name, total=seconds)
        load = Load(self._options.requests_per_s, seconds, models)
        shots = uvloop.run(fire(gateway.port, load, lambda at_s: self._progress.update(task, completed=at_s)))
        lines = [msgspec.json.encode(shot) + b"\n" for shot in shots]
        (self._folder / f"{name.replace(' ', '-')}.jsonl").write_bytes(b"".join(lines))
        return shots


def measure(folder: Path, options: Options, parts: Sequence[str], progress: Progress) -> Json:
    """Run the parts that are asked for. Raises StartError."""
    report: Json = {}
    with simulators(folder) as upstreams:
        bench = Bench(folder, options, upstreams, progress)
        for part in parts:
            report |= getattr(bench, part)()
    report["scenario"] = {
        "seconds": options.seconds,
        "requests_per_s": options.requests_per_s,
        "first_byte_ms": FIRST_BYTE_MS,
        "slow_share": SLOW_SHARE,
        "slow_times": SLOW_TIMES,
        "fallback": FALLBACK,
    }
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of standard output")
    parser.add_argument("--seconds", type=float, default=90.0, help="of the first part, a third of it the outage")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--parts", default=",".join(PARTS), help="which parts, comma-separated")
    parser.add_argument("--keep", type=Path, help="a new folder for journals, logs and what clients saw")
    arguments = parser.parse_args()
    arguments.parts = arguments.parts.split(",")
    if not set(arguments.parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    return arguments


def main() -> None:
    """Read the command line, run, report."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the servers are stopped
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="farebox-outage-") as temporary, Progress(console=console) as progress:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            report = measure(folder, Options(asked.seconds, asked.rate), asked.parts, progress)
        except StartError as error:
            sys.exit(f"benchmark failed: {error}")
    if asked.json:
        print(json.dumps(report))
    else:
        console.print(table(report))


if __name__ == "__main__":
    main()
