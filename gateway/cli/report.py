"""`farebox report`: what was spent, by whom and on what. Reads the journal; needs no running gateway."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import Column, dollars, fail, print_table

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.reports.periods import Period
    from gateway.reports.spending import Line, Report


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    FOCUS = "focus"


def report(
    by: Annotated[
        str,
        typer.Option(
            help="What to add up by, in this order: org, team, agent, model, provider, deployment, purpose, "
            "price_point, day, week, month; run, user, tag:NAME while the charges are kept."
        ),
    ] = "team,agent,model",
    since: Annotated[str, typer.Option(help="How far back (30d: thirty UTC days with today), or a date.")] = "30d",
    until: Annotated[str | None, typer.Option(help="The first day that is left out: a date.")] = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="`focus` is a FOCUS 1.2 export; --out x.parquet makes it Parquet.")
    ] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file; standard output without it.")] = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file: it tells where the journal is.")
    ] = Path("config.yaml"),
) -> None:
    """Show what was spent: cost, what it was in the period before, what bought nothing, and what routing saved.

    Amounts are USD, days are UTC. Exits with 2 when the journal cannot be read or the report not be made.

    Example: farebox report --by team,agent,model --since 30d
    """
    from gateway.journal.database import JournalError
    from gateway.reports.parquet import NoParquet
    from gateway.reports.periods import period
    from gateway.reports.spending import ReportError, dimensions

    snapshot = load_offline(config)
    if form is Format.PARQUET and out is None:
        fail("a Parquet file needs a name: --out report.parquet", USAGE)
    try:
        asked, days = dimensions(by), period(since, until, time.time())
        if form is Format.FOCUS:
            _focus(snapshot, asked, days, out)
        else:
            _show(asyncio.run(_spending(snapshot, asked, days)), form, out)
    except (JournalError, ReportError, NoParquet, ValueError) as error:
        fail(str(error), USAGE)
    except BrokenPipeError:  # `farebox report | head` has seen enough
        raise
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror or error}", USAGE)


async def _spending(snapshot: Snapshot, by: tuple[str, ...], days: Period) -> Report:
    from gateway.journal.looking import looking
    from gateway.reports.spending import spending

    async with looking(snapshot.storage) as engine:
        return await spending(engine, by, days)


def _show(found: Report, form: Format, out: Path | None) -> None:
    from gateway.reports.writing import report_csv, report_json, report_parquet

    if form is Format.TABLE:
        _print(found)
    elif form is Format.PARQUET and out is not None:
        typer.echo(f"{report_parquet(found, out)} lines written to {out}.", err=True)
    else:
        _write(report_csv(found) if form is Format.CSV else [report_json(found)], out)


def _focus(snapshot: Snapshot, by: tuple[str, ...], days: Period, out: Path | None) -> None:
    from gateway.journal.looking import looking
    from gateway.journal.prices import noted
    from gateway.reports.charged import charged
    from gateway.reports.focus import focus_rows
    from gateway.reports.rates import price_points, with_former
    from gateway.reports.writing import focus_csv, focus_parquet

    async def read() -> Any:
        async with looking(snapshot.storage) as engine:
            return await charged(engine, days, by), await noted(engine)

    sums, former = asyncio.run(read())
    exported = focus_rows(sums, with_former(price_points(snapshot.catalog.models.values()), former))
    if out is not None and out.suffix == ".parquet":
        typer.echo(f"{focus_parquet(exported, out)} rows written to {out}.", err=True)
    else:
        _write(focus_csv(exported), out)


def _write(pieces: Iterable[str], out: Path | None) -> None:
    if out is None:
        for piece in pieces:
            sys.stdout.write(piece)
        return
    with out.open("w", encoding="utf-8", newline="") as file:
        file.writelines(pieces)
    typer.echo(f"Written to {out}.", err=True)


def _print(found: Report) -> None:
    from gateway.reports.columns import usd
    from gateway.reports.periods import date_of

    headings = [Column(name.replace("_", " "), folds=True) for name in found.by]
    print_table(
        [
            *headings,
            Column("requests", right=True, from_width=130),
            Column("attempts", right=True, from_width=100),
            Column("tokens", right=True, from_width=90),
            Column("cost", right=True),
            Column("trend", right=True),
            Column("waste", right=True),
            Column("saved", right=True, from_width=110),
        ],
        [_cells(line, len(found.by)) for line in found.lines],
    )
    total, days = found.total, found.period
    typer.echo(
        f"{date_of(days.first)} to {date_of(days.end - 1)} (UTC): {dollars(usd(total.amounts.cost))} USD, "
        f"{dollars(usd(total.before))} in the {days.days} days before; {dollars(usd(total.waste))} bought nothing."
    )


def _cells(line: Line, groups: int) -> list[str]:
    from gateway.reports.columns import usd

    amounts, savings = line.amounts, line.savings
    saved = "" if savings is None or not savings.routed else dollars(usd(savings.strongest - savings.routed))
    return [
        *(part or "(none)" for part in line.group[:groups]),
        "" if line.calls is None else str(line.calls.requests),
        str(amounts.attempts),
        str(amounts.input_tokens + amounts.output_tokens),
        dollars(usd(amounts.cost)),
        "new" if line.trend is None and amounts.cost else "" if line.trend is None else f"{line.trend:+.0%}",
        dollars(usd(line.waste)) if line.waste else "",
        saved,
    ]
