"""The processes of the burst: the simulated provider, gateways that can be killed, the store that they share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.burst_client import MODEL
from benchmarks.burst_plan import LINGER_S, MAX_TOKENS, NANO_PER_USD, TOKENS_PER_S, Scenario
from benchmarks.servers import StartError, accepts, free_port, is_ready
from benchmarks.stores import Shared
from gateway.journal.database import FILE_NAME

ADMIN_KEY = "burst-admin-key-that-opens-nothing"
_ADMIN_VARIABLE = "FAREBOX_BURST_ADMIN_KEY"
_ROOT = Path(__file__).resolve().parents[1]
_START_S = 60.0
_STOP_S = 60.0
BUDGETS_ONLY: dict[str, Any] = {
    "retries": {"max": 0},
    "breaker": {"consecutive_failures": 1_000_000_000, "min_requests": 1_000_000_000, "park_max_s": 0},
}
"""One attempt for each request, and no provider is ever left alone: what `--breakers off` tells the gateway."""
LATE_S = 0.2
"""For a connection's end, and a token's bytes, to arrive at a busy process. Real time: it does not stretch."""


class Process:
    """A server that is started, killed and started again."""

    def __init__(self, command: Sequence[str], log: Path, is_up: Callable[[], bool]) -> None:
        self._command = list(command)
        self._log = log
        self._is_up = is_up
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it serves. Raises StartError."""
        self.spawn()
        began_s = time.monotonic()
        while not self._is_up():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() - began_s > _START_S:
                raise StartError(f"{' '.join(self._command)}\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def spawn(self) -> None:
        """Start it."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=_ROOT, env=environment()
            )

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in an orderly way."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def environment() -> dict[str, str]:
    """The processes' environment."""
    return os.environ | {_ADMIN_VARIABLE: ADMIN_KEY}


def key_of(agent: str) -> str:
    """An agent's key."""
    return f"fb-burst-{agent}-that-opens-nothing"


@contextlib.contextmanager
def simulator(folder: Path, name: str) -> Iterator[tuple[int, Path]]:
    """The simulated provider: its port, and the file of its bill. Each request says its pace."""
    port, bill = free_port(), folder / f"{name}-bill.jsonl"
    command = [sys.executable, "-m", "gateway.simulator", "--port", str(port), "--speed", "0"]
    process = Process([*command, "--bill", str(bill)], folder / f"{name}-simulator.log", lambda: accepts(port))
    process.start()
    try:
        yield port, bill
    finally:
        process.stop()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a gateway is told."""

    reserve: str
    limits: Mapping[str, int]
    """Nano-USD by scope."""
    time_scale: float
    queue_s: float
    """Unscaled."""
    min_output_tokens: int
    breakers: bool = True
    """Whether breakers, parks and retries are at their defaults, or off."""


def gateway(folder: Path, name: str, upstream_port: int, scenario: Scenario, setting: Setting) -> tuple[Process, int]:
    """A gateway with a folder of its own, not yet started, and its port."""
    return _gateway(folder, name, configuration(folder / name, upstream_port, scenario, setting, None))


def sharing_gateway(
    folder: Path, name: str, upstream_port: int, scenario: Scenario, setting: Setting, shared: Shared
) -> tuple[Process, int]:  # fmt: skip
    """A gateway on a store that it shares, not yet started, and its port."""
    return _gateway(folder, name, configuration(folder / name, upstream_port, scenario, setting, shared))


def _gateway(folder: Path, name: str, config: dict[str, Any]) -> tuple[Process, int]:
    port = free_port()
    config["server"] = {"port": port, "drain_s": 5}
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(config, indent=1))  # JSON is YAML
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(file)]
    return Process(command, folder / f"{name}.log", lambda: is_ready(port)), port


def configuration(
    state: Path, upstream_port: int, scenario: Scenario, setting: Setting, shared: Shared | None
) -> dict[str, Any]:
    """What the gateway is told: the provider as it is, agents, keys and budgets."""
    calibrated = setting.reserve == "calibrated"
    storage: dict[str, Any] = {"dir": str(state)}
    if shared is not None:
        storage |= {"store": "valkey", "valkey_url": f"${{BURST_VALKEY:-{shared.valkey_url}}}"}
        storage["journal_url"] = f"${{BURST_JOURNAL:-{shared.journal_url}}}"
    agents = {
        name: {
            "team": team,
            "reserve": setting.reserve,
            "assemble_whole_answers": calibrated,
            "clamp": {"min_output_tokens": setting.min_output_tokens},
        }
        for name, (team, _, _) in scenario.size.agents.items()
    }
    return {
        **({} if setting.breakers else BUDGETS_ONLY),
        "storage": storage,
        "admin": {"key": f"${{{_ADMIN_VARIABLE}}}"},
        "providers": {"sim": {"base_url": f"http://127.0.0.1:{upstream_port}/v1", "proxy": "none"}},
        "models": {MODEL: {"provider": "sim", **_declared(setting.time_scale)}},
        "orgs": {"burst": {}},
        "teams": {name: {"org": "burst"} for name in scenario.size.teams},
        "agents": agents,
        "keys": {name: {"agent": name, "key": f"${{BURST_KEY_{name}:-{key_of(name)}}}"} for name in agents},
        "budgets": {
            scope.replace(":", "-"): {"scope": scope, "limit_usd": usd(limit), "window": "total"}
            for scope, limit in setting.limits.items()
        },
        "queue": {"wait_s": setting.queue_s * setting.time_scale},
    }


def _declared(time_scale: float) -> dict[str, Any]:
    """The deployment as its operator would declare it: each figure an upper bound of what the simulator does."""
    return {
        "price": {"input": "0.15", "cache_read": "0.075", "output": "0.60"},
        "context_tokens": 128_000,
        "max_output_tokens": MAX_TOKENS,
        "countable_stream": True,
        "stops_on_disconnect": True,
        "metering": {
            "tokens_per_event": 1,
            "tokens_per_s": TOKENS_PER_S / time_scale,
            "cancel_s": LINGER_S * time_scale + LATE_S,
        },
    }


def usd(nano_usd: int) -> str:
    """Nano-USD as a decimal."""
    return f"{nano_usd // NANO_PER_USD}.{nano_usd % NANO_PER_USD:09d}"


def verify(folder: Path, name: str, port: int) -> dict[str, Any]:
    """What `farebox verify --json` says of a running gateway."""
    command = [sys.executable, "-m", "gateway.cli", "verify", "--json", "--url", f"http://127.0.0.1:{port}"]
    command += ["--admin-key", ADMIN_KEY, "--config", str(folder / f"{name}.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=_ROOT, check=False)
    if not done.stdout.strip():
        raise StartError(f"farebox verify: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Journal:
    """The gateways' books, read and written beside them while none runs."""

    def __init__(self, folder: Path, shared: Shared | None) -> None:
        """`folder`: a gateway's own, with its SQLite journal, unless they share one."""
        self._folder = folder
        self._shared = shared

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        if self._shared is not None:
            return _postgres(self._shared.journal_url, sql, ())
        with contextlib.closing(sqlite3.connect(self._folder / FILE_NAME)) as database:
            return list(database.execute(sql))

    def insert_learned(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Give a new journal what another one has learned."""
        if self._shared is not None:
            _postgres(self._shared.journal_url, "INSERT INTO learned VALUES ($1, $2, $3, $4, $5)", rows)
            return
        with contextlib.closing(sqlite3.connect(self._folder / FILE_NAME)) as database, database:
            database.executemany("INSERT INTO learned VALUES (?, ?, ?, ?, ?)", rows)


LEARNED = "SELECT kind, agent, model, state, updated_at_us FROM learned"


def _postgres(url: str, sql: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    import asyncio

    import asyncpg

    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            if rows:
                await connection.executemany(sql, rows)
                return []
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(ask())
