"""Load of a fixed number of requests, all of them answered before it ends: by wrk, or by our own generator."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.answers import PATH
from benchmarks.percentiles import percentile, uncorrected

_LUA = Path(__file__).with_name("fixed_count.lua")
_DEADLINE_S = 300


@dataclass(frozen=True, slots=True)
class Load:
    """`requests` POSTs of one body over `connections` kept-alive connections.

    Each connection sends its next request when it has its answer.
    """

    port: int
    body: bytes
    key: str
    connections: int
    requests: int
    path: str = PATH


class Result(NamedTuple):
    """What the clients saw."""

    seconds: float
    p50_us: float
    p99_us: float


class LoadError(Exception):
    """The load did not run to its end, or not every answer was a 200."""


def generator_name(wanted: str = "auto") -> str:
    """`wrk` when it is installed, else `own`."""
    if wanted == "auto":
        return "wrk" if shutil.which("wrk") else "own"
    return wanted


def run(load: Load, generator: str) -> Result:
    """Put a load on a server. Raises LoadError."""
    with tempfile.NamedTemporaryFile(suffix=".json") as body:
        body.write(load.body)
        body.flush()
        report = _wrk(load, body.name) if generator == "wrk" else _own(load, body.name)
    if report["errors"] or report["requests"] != load.requests:
        raise LoadError(f"of {load.requests} requests, {report['requests']} were answered; errors: {report['errors']}")
    return Result(report["seconds"], report["p50_us"], report["p99_us"])


def _wrk(load: Load, body: str) -> dict[str, Any]:
    """Run wrk, which counts seconds, not requests.

    The script makes it stop sending after so many and tells when all are answered; on SIGINT it prints its figures.
    """
    url = f"http://127.0.0.1:{load.port}{load.path}"
    command = [
        "wrk",
        "-t1",
        f"-c{load.connections}",
        f"-d{_DEADLINE_S}s",
        "--timeout",
        "60s",
        "-s",
        str(_LUA),
        url,
        "--",
    ]
    command += [str(load.requests), body, load.key]
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        guard = threading.Timer(_DEADLINE_S, process.kill)
        guard.start()
        try:
            sign = process.stderr.readline()
            _interrupt(process)
            rest = process.stderr.read()
        finally:
            guard.cancel()
            process.kill()
        output.seek(0)
        text = output.read()
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadError(f"wrk: {(sign + rest).strip() or text.strip() or 'ended without a result'}")
    drained, _, seconds = sign.partition(" ")
    if drained != "drained":
        raise LoadError(f"wrk: {sign.strip()}")
    return _as_measured(json.loads(lines[-1]), load) | {"seconds": float(seconds)}


def _interrupt(process: subprocess.Popen[str]) -> None:
    """End wrk's sleep. It may not have begun it: a signal before the handler is there kills, one just after is lost."""
    status = Path("/proc", str(process.pid), "status")
    while process.poll() is None:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & 1 << (signal.SIGINT - 1):
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)


def _as_measured(report: dict[str, Any], load: Load) -> dict[str, Any]:
    """wrk's report with the percentiles of what it measured. Raises LoadError when they don't add up."""
    histogram = {int(latency): count for latency, count in report["histogram"].items()}
    if per_connection := report["requests"] // load.connections:
        histogram = uncorrected(histogram, report["microseconds"] // per_connection)
    if report["requests"] == load.requests and sum(histogram.values()) != load.requests:
        raise LoadError("this wrk corrects its latencies in a way we don't know; use --generator own")
    return {
        "requests": report["requests"],
        "errors": report["errors"],
        "p50_us": percentile(histogram, 0.5) if histogram else 0,
        "p99_us": percentile(histogram, 0.99) if histogram else 0,
    }


def _own(load: Load, body: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.generator",
        "--port",
        str(load.port),
        "--body",
        body,
        "--key",
        load.key,
        "--path",
        load.path,
    ]
    command += ["--connections", str(load.connections), "--requests", str(load.requests)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        raise LoadError(f"the generator was not done after {_DEADLINE_S} s") from None
    if done.returncode:
        raise LoadError(done.stderr.strip() or "the generator failed")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
