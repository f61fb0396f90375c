"""`farebox runs`: look at runs, pause, resume and close them. Speaks to a running gateway."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from gateway.cli.asking import Asking, Json, Listing, asks, lists_by_default
from gateway.cli.configuration import USAGE
from gateway.cli.remote import Column, clock, dollars, fail

runs = typer.Typer(help="See runs; pause, resume and close them.", rich_markup_mode=None)

Run = Annotated[str, typer.Argument(help="The run, as agent/run.")]
Why = Annotated[str, typer.Option("--reason", help="Why; the run keeps it.")]

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}/[A-Za-z0-9._:-]{1,128}")
_COLUMNS = (
    Column("run"),
    Column("state"),
    Column("spent", right=True),
    Column("limit", right=True, from_width=90),
    Column("set aside", right=True, from_width=100),
    Column("requests", right=True),
    Column("tokens", right=True, from_width=90),
    Column("opened", from_width=110),
    Column("ends"),
    Column("reason", folds=True, from_width=100),
)


@runs.command("list")
@asks
def list_runs(
    asking: Asking,
    state: Annotated[str | None, typer.Option(help="Only those that are open, paused or closed.")] = None,
    limit: Annotated[int, typer.Option(help="So many at most, the latest first.", min=1, max=1_000)] = 100,
) -> None:
    """List the latest runs with what they and their sub-runs have used: USD, times in UTC.

    Example: farebox runs list --state paused
    """
    if state not in (None, "open", "paused", "closed"):
        fail(f"`{state}` is no state: open, paused or closed", USAGE)
    _list(asking, state, limit)


@runs.command()
@asks
def show(asking: Asking, run: Run) -> None:
    """Show one run: state, limits and what was used.

    Example: farebox runs show researcher/run_42
    """
    asking.show(asking.get(f"runs/{_checked(run)}"), _print)


@runs.command()
@asks
def pause(asking: Asking, run: Run, reason: Why) -> None:
    """Refuse a run's next requests until it is resumed. Those under way end as they would.

    Example: farebox runs pause researcher/run_42 --reason "looks like a loop"
    """
    _change(asking, run, "pause", reason)


@runs.command()
@asks
def resume(
    asking: Asking,
    run: Run,
    reason: Annotated[str | None, typer.Option("--reason", help="Why.")] = None,
) -> None:
    """Let a paused run go on.

    Example: farebox runs resume researcher/run_42
    """
    _change(asking, run, "resume", reason)


@runs.command()
@asks
def close(asking: Asking, run: Run, reason: Why) -> None:
    """Close a run and its sub-runs for good. What it set aside and did not spend goes back.

    Example: farebox runs close researcher/run_42 --reason "no longer needed"
    """
    _change(asking, run, "close", reason)


def _change(asking: Asking, run: str, change: str, reason: str | None) -> None:
    body = {"reason": reason or f"farebox runs {change}"}
    asking.show(asking.post(f"runs/{_checked(run)}/{change}", body), _print_change)


def _print_change(changed: Json) -> None:
    back = changed.get("given_back_usd", "0.00")
    typer.echo(f"{changed['id']} is {_state(changed)}." + (f" {back} USD went back." if back != "0.00" else ""))


def _list(asking: Asking, state: str | None = None, limit: int = 100) -> None:
    _LISTING.show(asking, asking.get("runs", state=state, limit=limit)["data"])


def _print(found: Json) -> None:
    used, limits = found["used"], found["limits"]
    typer.echo(f"{found['id']}: {_state(found)}")
    if found["parent"]:
        typer.echo(f"  parent    {found['parent']} (depth {found['depth']})")
    typer.echo(f"  opened    {clock(found['opened_at'])}, ends {clock(found['expires_at'])} UTC")
    typer.echo(f"  cost      {used['cost_usd']} USD{_of(limits['cost_usd'], ' USD')}")
    typer.echo(f"  requests  {used['requests']}{_of(limits['requests'])}")
    typer.echo(f"  tokens    {used['tokens']}{_of(limits['tokens'])}")
    if found["carve_usd"]:
        left = found["carve_left_usd"]
        typer.echo(f"  set aside {found['carve_usd']} USD" + ("" if left is None else f", {left} USD of it left"))


def _row(run: Json) -> list[str]:
    used = run["used"]
    return [
        run["id"],
        run["state"],
        dollars(used["cost_usd"]),
        dollars(run["limits"]["cost_usd"]),
        _carve(run),
        str(used["requests"]),
        str(used["tokens"]),
        clock(run["opened_at"]),
        clock(run["expires_at"]),
        run["reason"] or "",
    ]


def _carve(run: Json) -> str:
    """What is left of what it set aside, of how much; nothing is once the rest has gone back."""
    left = run["carve_left_usd"]
    return "" if left is None else f"{dollars(left)} of {dollars(run['carve_usd'])}"


def _state(run: Json) -> str:
    return f"{run['state']} ({run['reason']})" if run["reason"] else str(run["state"])


def _of(limit: Any, unit: str = "") -> str:
    return "" if limit is None else f" of {limit}{unit}"


def _checked(run: str) -> str:
    if not _ID.fullmatch(run):
        fail(f"`{run}` is no run: write agent/run, as `farebox runs list` does", USAGE)
    return run


_LISTING = Listing("No runs. Names that only label calls are in `farebox report --by run`.", _COLUMNS, _row)
lists_by_default(runs, "runs", _list)
