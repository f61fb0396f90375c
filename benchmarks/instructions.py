"""What a request costs in instructions, counted by valgrind: the same on a busy machine as on a quiet one.

    python -m benchmarks.instructions --json

The gateway runs as people run it, under `callgrind`, which counts what its threads do outside the kernel once it has
been warmed up. One round of plain requests, another governed by six budgets and two rates. Differences of a hundredth
mean something, so that this is for comparing revisions; time in the kernel and cache misses are not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import servers
from benchmarks.answers import PLAIN_MODEL, request_body
from benchmarks.load import Load, LoadError, generator_name, run
from benchmarks.servers import GOVERNED, KEY

WARM_UP = 300
CONNECTIONS = 16
_SETTLE_S = 2.0
"""Rows are handed over after 0.05 s and committed after 0.1: several times as much under valgrind."""
_PATIENT = ", max_lag_s: 600"
"""Fifty times as slow as usual, on a busy machine: no reason to refuse requests."""
_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_KINDS = {"plain": "", "governed": GOVERNED}


def instructions_per_request(rules: str, requests: int, generator: str) -> dict[str, float]:
    """Thousands of instructions a request: of the event loop's thread, and of all others (the journal's)."""
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        fixed = stack.enter_context(servers.fixed_upstream(folder, with_nginx=servers.has_nginx()))
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes"]
        valgrind += [f"--callgrind-out-file={folder}/counted", "--fair-sched=yes"]
        ports = (fixed.plain_port, fixed.plain_port)
        gateway = servers.gateway(folder, folder / "state", ports, store=_PATIENT, rules=rules, under=valgrind)
        ours = stack.enter_context(gateway)
        load = Load(ours.plain_port, request_body(PLAIN_MODEL, stream=False), KEY, CONNECTIONS, WARM_UP)
        run(load, generator)
        time.sleep(_SETTLE_S)
        _control(ours.pid, "--instr=on")
        run(Load(load.port, load.body, load.key, load.connections, requests), generator)
        time.sleep(_SETTLE_S)
        _control(ours.pid, "--instr=off")
        _control(ours.pid, "--dump")
        counted = {path.name.rpartition("-")[2]: _count(path) for path in folder.glob("counted.1-*")}
    loop = counted.pop("01", 0)
    return {
        "loop_kilo": round(loop / requests / 1000, 1),
        "others_kilo": round(sum(counted.values()) / requests / 1000, 1),
    }


def _control(pid: int, what: str) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def _count(path: Path) -> int:
    return sum(map(int, _TOTALS.findall(path.read_text())[-1:]))


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000, help="how many are counted")
    parser.add_argument("--only", choices=tuple(_KINDS), help="one of both kinds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    kinds = [arguments.only] if arguments.only else list(_KINDS)
    try:
        generator = generator_name()
        found = {kind: instructions_per_request(_KINDS[kind], arguments.requests, generator) for kind in kinds}
    except (servers.StartError, LoadError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"benchmark failed: {error}")
    if arguments.json:
        print(json.dumps({"instructions": found}))
        return
    for kind, counts in found.items():
        print(f"{kind:>9}: {counts['loop_kilo']:8.1f} k on the loop, {counts['others_kilo']:7.1f} k on other threads")


if __name__ == "__main__":
    main()
