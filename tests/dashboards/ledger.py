"""A day of runs in a journal on PostgreSQL, and the boards' SQL as Grafana would send it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from gateway.config.snapshot import StorageSettings
from gateway.journal.writer import Journal
from gateway.telemetry.events import Event
from routing.money import NanoUsd, Usage
from tests.dashboards.boards import AGENT, Asked
from tests.dashboards.fleet import END_S, FLEET, HOUR_S, Mind, Worker
from tests.gateway.telemetry.samples import charged, finished

RUN = f"{AGENT}/fix-1207"
"""The run that went round in circles. It has a sub-run, `coder/fix-1207-tests`."""
READER = Path(__file__).resolve().parents[2] / "deploy" / "postgres" / "grafana.sql"
USERS = ("ada", "grace", "linus", "edsger", "barbara")


async def fill(postgres_url: str, folder: Path) -> None:
    """Make the journal's tables in an empty database, and write a day of runs into them."""
    journal = await Journal.open(StorageSettings(dir=folder, journal_url=postgres_url))
    events = list(day())
    for first in range(0, len(events), 1000):
        journal.write(events[first : first + 1000])
        await journal.flush()
    await journal.close()


def day() -> Iterator[Event]:
    """Runs of every agent, of a few steps each; one of the coder's has hundreds."""
    draw = random.Random(11)
    for worker in FLEET:
        for number in range(24):
            run = f"{worker.agent}-{number:02}"
            begun_s = END_S - (24 - number) * HOUR_S + draw.uniform(0, 1500)
            yield from _run(draw, worker, (run,), begun_s, draw.randint(2, 9))
    parent = RUN.partition("/")[2]
    yield from _run(draw, FLEET[1], (parent,), END_S - 3 * HOUR_S, 120)
    yield from _run(draw, FLEET[1], (parent, f"{parent}-tests"), END_S - 2.8 * HOUR_S, 40)


async def answer(connection: asyncpg.Connection[Any], asked: Asked) -> list[dict[str, Any]]:
    """A panel's rows. The connection may read no more than the boards' own role."""
    await connection.execute("SET ROLE grafana")
    try:
        return [dict(row) for row in await connection.fetch(filled(asked))]
    finally:
        await connection.execute("RESET ROLE")


def filled(asked: Asked) -> str:
    """The SQL with Grafana's macros and the board's variables as they are when it is opened."""
    sql = asked.text.replace("$__unixEpochFrom()", str(END_S - asked.range_s)).replace("$__unixEpochTo()", str(END_S))
    values = {"agent": AGENT, "run": RUN, "org:regex": ".*", "team:regex": ".*", "agent:regex": ".*"}
    return re.sub(r"\$\{([\w:]+)\}|\$(\w+)\b", lambda found: values[found[1] or found[2]], sql)


def _run(draw: random.Random, worker: Worker, runs: tuple[str, ...], begun_s: float, steps: int) -> Iterator[Event]:
    user, tag = draw.choice(USERS), draw.choice(("search", "import", "chat"))
    path = ">".join(f"{worker.agent}/{run}" for run in runs)
    for step in range(steps):
        mind = draw.choice(worker.minds)
        at_s = begun_s + step * draw.uniform(5, 40)
        name = f"{worker.agent}-{runs[-1]}-{step}"
        purpose = "loop" if steps == 120 and step > 20 else "cancelled" if draw.random() < 0.04 else "useful"
        cost = NanoUsd(round(mind.usd * draw.uniform(0.4, 2.2) * 1e9))
        where: dict[str, Any] = {**worker.labels, "request_id": name, "at_s": at_s, "model": mind.model}
        where |= {"provider": mind.provider, "deployment": mind.deployment["deployment"]}
        about: dict[str, Any] = {"user": user, "tags": (("feature", tag),)}
        latency_ms = draw.lognormvariate(7.6, 0.5)
        charge = {"charge_id": f"{name}-1", "upstream_model": mind.model, "cost_nano_usd": cost, "run_path": path}
        charge |= {"purpose": purpose, "usage": _usage(draw, mind), "window_at_s": at_s, "latency_ms": latency_ms}
        yield charged(**where, **about, **charge)
        refused = purpose == "loop" and step % 3 == 0
        ended = {"outcome": "refused", "status": 422, "error_code": "loop_detected"} if refused else {}
        told: dict[str, Any] = {
            "run": runs[-1],
            "session": f"session-{user}",
            "cost_nano_usd": cost,
            "latency_ms": latency_ms,
        }
        yield finished(**where, **about, **told, **ended)


def _usage(draw: random.Random, mind: Mind) -> Usage:
    read, cached, written = (round(tokens * draw.uniform(0.6, 1.5)) for tokens in mind.tokens)
    return Usage(input_tokens=read, output_tokens=written, cache_read_tokens=min(read, cached))
