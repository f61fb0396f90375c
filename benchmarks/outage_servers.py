"""The processes of the outage benchmark: two simulated providers, and a gateway that falls back from one to the other.

All that the gateway is told of resilience stands in `configuration`. What is not written there has its default.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.burst_servers import Process
from benchmarks.servers import KEY, KEY_VARIABLE, accepts, free_port, is_ready
from gateway.journal.database import FILE_NAME

MODEL, HEDGED = "bench", "bench-hedged"
PRIMARY, FALLBACK = "primary", "fallback"
FIRST_BYTE_MS = 100
TOKEN_MS = 5
TOKENS = 20
SLOW_TIMES = 10
SLOW_SHARE = 0.02

_UPSTREAM = (
    f"sim-small+fault-length;tokens={TOKENS}+fault-single+fault-slow;first_ms={FIRST_BYTE_MS};token_ms={TOKEN_MS}"
)
_PRICE = {"input": "0.15", "cache_read": "0.075", "output": "0.60"}
_BREAKER = re.compile(r"breaker (?P<name>\S+): (?P<before>\w+) -> (?P<after>\w+)")


def configuration(port: int, state: Path, upstreams: dict[str, int]) -> dict[str, Any]:
    """What the gateway is told. Time-outs are those of a provider whose answers begin within a tenth of a second."""
    timeouts = {"connect_s": 1, "first_byte_s": 2, "idle_s": 1, "total_s": 10}
    deployments = [{"provider": name, "model": _UPSTREAM, "price": _PRICE, "timeouts": timeouts} for name in upstreams]
    return {
        "server": {"port": port, "drain_s": 5},
        "storage": {"dir": str(state)},
        "providers": {
            name: {"base_url": f"http://127.0.0.1:{at}/v1", "proxy": "none"} for name, at in upstreams.items()
        },
        "models": {
            MODEL: {"deployments": deployments},
            HEDGED: {"deployments": deployments, "hedge": {}},
        },
        "breaker": {},
        "retries": {},
        "agents": {"bench": {}},
        "keys": {"bench": {"agent": "bench", "key": f"${{{KEY_VARIABLE}:-{KEY}}}"}},
    }


class Simulator:
    """One provider's control endpoint."""

    def __init__(self, port: int) -> None:
        self.port = port

    def plan(self, fault: str, in_s: float, for_s: float, probability: float = 1.0) -> None:
        """Let something go wrong, in so many seconds."""
        body = {"fault": fault, "in_s": in_s, "for_s": for_s, "probability": probability}
        self._ask("POST", "/sim/faults", json.dumps(body).encode())

    def clear(self) -> None:
        """A new bill, and nothing planned."""
        self._ask("DELETE", "/sim/faults")
        self._ask("DELETE", "/sim/bill")

    def bill(self) -> dict[str, int]:
        """What each request cost here, in nano-USD, by the gateway's id of it; once nothing is under way."""
        costs: dict[str, int] = {}
        for record in self._ask("GET", "/sim/bill")["records"]:
            costs[record["caller_id"]] = costs.get(record["caller_id"], 0) + record["cost_nano_usd"]
        return costs

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"the simulator says {answer.status}: {answer.read()!r}")
            return json.loads(answer.read())
        finally:
            connection.close()


@contextlib.contextmanager
def simulators(folder: Path) -> Iterator[dict[str, Simulator]]:
    """Both providers, by name, the primary first."""
    with contextlib.ExitStack() as stack:
        found = {}
        for seed, name in enumerate((PRIMARY, FALLBACK), 1):
            port = free_port()
            command = [sys.executable, "-m", "gateway.simulator", "--port", str(port), "--seed", str(seed)]
            process = Process(command, folder / f"{name}.log", lambda port=port: accepts(port))  # type: ignore[misc]  # bound
            process.start()
            stack.callback(process.stop)
            found[name] = Simulator(port)
        yield found


@dataclass(frozen=True, slots=True)
class Turn:
    """A breaker changed."""

    at_s: float
    """Unix time."""
    name: str
    before: str
    after: str


class Gateway:
    """A gateway with a folder of its own."""

    def __init__(self, folder: Path, name: str, upstreams: dict[str, Simulator]) -> None:
        self.port = free_port()
        self._state = folder / name
        self._log = folder / f"{name}.log"
        file = folder / f"{name}.yaml"
        ports = {provider: simulator.port for provider, simulator in upstreams.items()}
        file.write_text(json.dumps(configuration(self.port, self._state, ports), indent=1))  # JSON is YAML
        command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(file)]
        self._process = Process(command, self._log, lambda: is_ready(self.port))

    def __enter__(self) -> Gateway:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def calls(self) -> list[tuple[float, int]]:
        """When each request arrived (Unix seconds), and how many upstream calls it took. Once the gateway has ended.

        Every call has a row, those that found no connection too.
        """
        sql = (
            "SELECT at_us, (SELECT count(*) FROM charges WHERE charges.request_id = requests.request_id "
            "AND charges.resolution <> 'correction') FROM requests"
        )
        with contextlib.closing(sqlite3.connect(self._state / FILE_NAME)) as database:
            return [(at_us / 1e6, calls) for at_us, calls in database.execute(sql)]

    def turns(self) -> list[Turn]:
        """What its breakers did, from its log."""
        found = []
        for line in self._log.read_text(errors="replace").splitlines():
            match = _BREAKER.search(line)
            if match is not None and line.startswith("{"):
                at = datetime.fromisoformat(json.loads(line)["time"])
                found.append(Turn(at.timestamp(), match["name"], match["before"], match["after"]))
        return found
