"""`farebox demo`: a fleet of scripted agents on a gateway and a simulated provider of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    *,
    seconds: Annotated[float, typer.Option(help="How long the agents work.", min=1, max=3600)] = 30.0,
    speed: Annotated[
        float, typer.Option(help="1 is a real provider's pace, 10 ten times as fast.", min=0.1, max=100)
    ] = 4.0,
    seed: Annotated[int, typer.Option(help="The same seed asks the same questions and gets the same answers.")] = 1,
    port: Annotated[int, typer.Option(help="The gateway's port; 0 takes any free one.", min=0, max=65_535)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end, nothing else.")] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the configuration and the journal in this folder instead of nothing.")
    ] = None,
) -> None:
    """Watch a small fleet of agents spend simulated money through the gateway.

    Needs no configuration and no provider's key, and leaves nothing behind. Exits with 0 when the journal agrees with
    the provider's bill, with 1 when it does not or something did not start.

    Example: farebox demo --seconds 20
    """
    import asyncio

    from gateway.demo.run import DemoFailed, Options, run

    try:
        matches = asyncio.run(run(Options(seconds, speed, seed, port, as_json, keep)))
    except asyncio.CancelledError:
        raise typer.Exit(130) from None  # a second Ctrl-C: no summary
    except DemoFailed as error:
        typer.echo(f"farebox demo: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if matches else 1)
