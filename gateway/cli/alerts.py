"""`farebox alerts`: do alerts arrive?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import PROBLEMS, USAGE, load_or_exit
from gateway.cli.remote import fail

if TYPE_CHECKING:
    from gateway.alerting.alert import Alert
    from gateway.config.snapshot import AlertSink

alerts = typer.Typer(no_args_is_help=True, help="Alerts: who is told when something is wrong.")


@alerts.callback()
def _group() -> None:
    pass


@alerts.command("test")
def send_test(
    sink: Annotated[list[str] | None, typer.Option("--sink", "-s", help="Only to this one; can be repeated.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
) -> None:
    """Send a test alert to every sink of the configuration, once each, and tell what became of it.

    No gateway need run. Exits with 1 when one of them was not taken, with 2 when there is no such sink.

    Example: farebox alerts test --sink ops
    """
    settings = load_or_exit(config).alerts
    names = [each.name for each in settings.sinks]
    if unknown := [name for name in sink or () if name not in names]:
        known = ", ".join(f"`{name}`" for name in names) or "none"
        fail(f"there is no sink `{unknown[0]}`; the configuration has: {known}", USAGE)
    chosen = [each for each in settings.sinks if not sink or each.name in sink]
    if not chosen:
        fail("the configuration has no `alerts.sinks`: docs/how-to/alerts.md shows some", USAGE)
    results = asyncio.run(_send(chosen, _example()))
    for each, result in zip(chosen, results, strict=True):
        typer.echo(f"{each.name} ({each.type}): {result or 'sent'}", err=bool(result))
    if any(results):
        raise typer.Exit(PROBLEMS)


async def _send(sinks: Sequence[AlertSink], alert: Alert) -> list[str]:
    """What went wrong at each; empty where nothing did."""
    from gateway.alerting.sinks import hand_over
    from gateway.upstream.pool import Pool

    pool = Pool()
    try:
        outcomes = await asyncio.gather(*(hand_over(pool, sink, alert) for sink in sinks))
    finally:
        await pool.close()
    return ["" if outcome.result == "sent" else f"not sent: {outcome.why}" for outcome in outcomes]


def _example() -> Alert:
    from gateway.alerting.alert import Alert, Subject

    return Alert(
        "test",
        "test",
        "Test alert of Farebox",
        "Nothing is wrong: somebody ran `farebox alerts test`.",
        Subject(),
        time.time(),
        "info",
    )
