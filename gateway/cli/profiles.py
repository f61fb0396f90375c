"""`farebox profiles`: recorded requests for tests of policies elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import USAGE
from gateway.cli.durations import seconds
from gateway.cli.offline import load_offline
from gateway.cli.remote import fail

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from routing.recorded import Recorded

profiles = typer.Typer(help="Recorded requests, for tests of policies elsewhere.", rich_markup_mode=None)


@profiles.callback()
def _root() -> None:
    pass


@profiles.command()
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="The file: JSON lines, gzipped if it ends in .gz.")],
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d, 4w.")] = "30d",
    agent: Annotated[str | None, typer.Option(help="Only this agent's requests.")] = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file: it tells where the journal is.")
    ] = Path("config.yaml"),
) -> None:
    """Write recorded requests to a file: shapes, sizes, labels, usage and cost. Never a word of what was said.

    `farebox backtest --profiles FILE` reads it. Exits with 2 when the journal cannot be read or the file not written.

    Example: farebox profiles export --since 30d --out profiles.jsonl.gz
    """
    length_s = seconds(since)
    snapshot = load_offline(config)
    count = asyncio.run(_export(snapshot, out, time.time() - length_s, agent))
    typer.echo(f"{count} requests written to {out}.", err=True)


async def _export(snapshot: Snapshot, out: Path, since_s: float, agent: str | None) -> int:
    from gateway.journal.database import JournalError
    from gateway.journal.looking import looking
    from gateway.journal.profiles import recorded
    from gateway.reports.recordings import RecordingError, write

    async def chosen(rows: AsyncIterator[Recorded]) -> AsyncIterator[Recorded]:
        async for row in rows:
            if agent is None or row.agent == agent:
                yield row

    try:
        async with looking(snapshot.storage) as engine:
            return await write(out, chosen(recorded(engine, since_s, time.time())))
    except (JournalError, RecordingError) as error:
        fail(str(error), USAGE)
