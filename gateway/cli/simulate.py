"""`farebox simulate`: the simulated provider in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any free one.", min=0, max=65_535)] = 4010,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 1,
    speed: Annotated[
        float, typer.Option(help="1 is a real provider's pace, 10 ten times as fast, 0 without waiting.", min=0)
    ] = 1.0,
    bill: Annotated[
        Path | None, typer.Option(help="Append every billed generation to this file, as a JSON line.")
    ] = None,
) -> None:
    """Run the simulated provider: OpenAI's API without a provider, with faults on demand and a bill of its own.

    Example: farebox simulate --port 4010 --speed 10
    """
    from gateway.config.snapshot import SimulatorSettings
    from gateway.simulator.server import run
    from gateway.simulator.tokenizer import TokenizerMissing

    try:
        run(SimulatorSettings(enabled=True, host=host, port=port, seed=seed, speed=speed), bill)
    except (OSError, TokenizerMissing) as error:
        typer.echo(f"farebox simulate: {error}", err=True)
        raise typer.Exit(1) from None
