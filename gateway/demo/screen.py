"""What a person sees while the agents work: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.demo.tally import Tally
from routing.money import NANO_PER_USD, NanoUsd

FRAME_S = 0.25
LINE_EVERY_S = 5.0
WIDTH = 80


class Stage(NamedTuple):
    """What is on: where the servers are, who plays, and for how long."""

    gateway_url: str
    tallies: Sequence[Tally]
    seconds: float


def usd(amount: NanoUsd, decimals: int = 6) -> str:
    """An amount for a column: a fixed number of decimals (at most 9), cut rather than rounded."""
    sign = "-" if amount < 0 else ""
    dollars, nano = divmod(abs(amount), NANO_PER_USD)
    return f"{sign}{dollars}.{f'{nano:09d}'[:decimals]}"


def frame(stage: Stage, elapsed_s: float) -> RenderableType:
    """One picture, at most 80 columns wide."""
    done = min(elapsed_s, stage.seconds)
    heading = Text.assemble(("farebox demo", "bold"), "  agents on ", stage.gateway_url, " with the real OpenAI SDK")
    bar = Table.grid(padding=(0, 1))
    state = f"{done:.0f} of {stage.seconds:.0f} s" if elapsed_s < stage.seconds else "finishing"
    bar.add_row(ProgressBar(total=stage.seconds, completed=done, width=56), Text(state))
    budgets = [_budget(tally, tally.budget) for tally in stage.tallies if tally.budget is not None]
    return Group(heading, bar, agents_table(stage.tallies), *budgets, Text("Ctrl-C ends it early.", "dim"))


def agents_table(tallies: Sequence[Tally]) -> Table:
    """A row for each agent, and a last one for all."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("agent", min_width=10, no_wrap=True)
    for name, width in (("calls", 6), ("tokens in", 10), ("tokens out", 10), ("cost USD", 10), ("errors", 6)):
        table.add_column(name, justify="right", min_width=width, no_wrap=True)
    table.add_column("last", min_width=8)  # gives way to large figures
    for tally in tallies:
        errors = Text(f"{tally.errors:,}", "red" if tally.errors else "")
        table.add_row(tally.agent, *_figures(tally), errors, Text(tally.last, no_wrap=True, overflow="ellipsis"))
    total = sum_of(tallies)
    table.add_row("all", *_figures(total), f"{total.errors:,}", "", style="bold")
    return table


def _budget(tally: Tally, limit: NanoUsd) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    filling = ProgressBar(total=limit, completed=min(tally.cost, limit), width=20)
    row.add_row("budget of", Text(tally.agent, "bold"), filling, Text(_filling(tally)))
    return row


def _filling(tally: Tally) -> str:
    """How far a budget has been spent, as its agent sees it."""
    if tally.budget is None:
        return ""
    denied = f", {tally.denied:,} refused (402)" if tally.denied else ""
    return f"{usd(tally.cost)} of {usd(tally.budget)} USD{denied}"


def _figures(tally: Tally) -> tuple[str, str, str, str]:
    return f"{tally.calls:,}", f"{tally.input_tokens:,}", f"{tally.output_tokens:,}", usd(tally.cost)


def sum_of(tallies: Sequence[Tally]) -> Tally:
    """The sum of all agents."""
    return Tally(
        "all",
        None,
        sum(tally.calls for tally in tallies),
        sum(tally.input_tokens for tally in tallies),
        sum(tally.output_tokens for tally in tallies),
        NanoUsd(sum(tally.cost for tally in tallies)),
        sum(tally.errors for tally in tallies),
        sum(tally.refused_keys for tally in tallies),
    )


def line(stage: Stage, elapsed_s: float) -> str:
    """The same in one line, for a log."""
    total = sum_of(stage.tallies)
    tokens = f"{total.input_tokens:,} tokens in, {total.output_tokens:,} out"
    budgets = "".join(f"; {tally.agent} {_filling(tally)}" for tally in stage.tallies if tally.budget is not None)
    spent = f"{total.calls:,} calls, {tokens}, {usd(total.cost)} USD, {total.errors:,} errors"
    return f"{elapsed_s:4.0f} s: {spent}{budgets}"


async def show(console: Console, stage: Stage) -> None:
    """Show the stage until cancelled."""
    clock = asyncio.get_running_loop().time
    started_s = clock()
    if not console.is_terminal:
        names = ", ".join(tally.agent for tally in stage.tallies)
        console.out(f"At work on {stage.gateway_url} for {stage.seconds:g} s: {names}", highlight=False)
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            console.out(line(stage, clock() - started_s), highlight=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(frame(stage, clock() - started_s), refresh=True)
            await asyncio.sleep(FRAME_S)
