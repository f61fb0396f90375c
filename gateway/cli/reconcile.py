"""`farebox reconcile`: does the journal add up to the provider's bill? Reads the journal; needs no running gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from gateway.cli.configuration import PROBLEMS, USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import Column, dollars, fail, print_json, print_table

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.reports.reconciling import Reconciliation
    from gateway.telemetry.events import ChargePosted


class Of(StrEnum):
    """Whose export it is."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


reconcile = typer.Typer(rich_markup_mode=None)


@reconcile.command("reconcile")
def compare(
    of: Annotated[Of, typer.Argument(metavar="openai|anthropic", help="Whose export it is.")],
    files: Annotated[
        list[Path], typer.Option("--file", "-f", help="Usage or cost export, JSON or CSV; may be repeated.")
    ],
    provider: Annotated[
        list[str] | None,
        typer.Option(help="The provider in the configuration; those at this provider's address if left out."),
    ] = None,
    post: Annotated[
        bool, typer.Option("--post", help="Enter corrections that make the journal the bill's, after showing them.")
    ] = False,
    tolerance: Annotated[float, typer.Option(help="A drift beyond this ratio exits with 1.")] = 0.05,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file: it tells where the journal is.")
    ] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a provider's bill with the journal, by UTC day and model, and say what the drift may come from.

    The result is kept for the metric farebox_reconciliation_drift_ratio. Exits with 1 when a model drifts beyond the
    tolerance and nothing was entered, with 2 when a file or the journal cannot be read.

    Example: farebox reconcile openai --file costs.csv
    """
    from gateway.journal.database import JournalError
    from gateway.reports.bills.bill import BillError, add_up
    from gateway.reports.bills.reading import HOSTS, read

    snapshot = load_offline(config)
    providers = provider or _at(snapshot, HOSTS[of])
    if not providers:
        fail(f"no provider of the configuration is at {HOSTS[of]}: name it with --provider", USAGE)
    if unknown := [name for name in providers if name not in snapshot.endpoints]:
        fail(f"the configuration has no provider `{unknown[0]}`", USAGE)
    try:
        bill = add_up(line for file in files for line in read(of, file))
        found, entered = asyncio.run(_reconcile(snapshot, providers, bill, post=post))
    except (BillError, JournalError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror or error}", USAGE)
    if as_json:
        print_json(_object(found, entered))
    else:
        _print(found, entered)
    drifts = [each.drift_ratio for each in found.drifts(0.0)]
    if entered is None and any(abs(ratio) > tolerance for ratio in drifts):
        raise typer.Exit(PROBLEMS)


def _at(snapshot: Snapshot, host: str) -> list[str]:
    return [name for name, endpoint in snapshot.endpoints.items() if urlsplit(endpoint.base_url).hostname == host]


async def _reconcile(
    snapshot: Snapshot, providers: Sequence[str], bill: Any, *, post: bool
) -> tuple[Reconciliation, list[ChargePosted] | None]:
    from gateway.journal.database import Database
    from gateway.journal.looking import looking
    from gateway.reports.reconciling import post as enter
    from gateway.reports.reconciling import reconcile as against
    from gateway.reports.reconciling import remember

    async with looking(snapshot.storage) as engine:  # only a journal that is there, and of this version
        found = await against(engine, providers, bill)
    database = await Database.open(snapshot.storage)
    try:
        if post:
            return found, await enter(database, providers, bill, time.time())
        await remember(database, found, time.time())
    finally:
        await database.close()
    return found, None


def _print(found: Reconciliation, entered: list[ChargePosted] | None) -> None:
    from gateway.reports.columns import usd
    from gateway.reports.periods import date_of

    columns = (
        Column("day"),
        Column("model", folds=True),
        Column("billed", right=True),
        Column("charged", right=True),
        Column("difference", right=True),
        Column("tokens billed", right=True, from_width=110),
        Column("tokens", right=True, from_width=110),
    )
    rows = []
    for line in found.lines:
        billed, ledger = line.billed, line.ledger
        told = (
            None if billed is None or billed.input_tokens is None else billed.input_tokens + (billed.output_tokens or 0)
        )
        rows.append([
            date_of(line.day),
            line.model or "(all)",
            "" if line.billed_cost is None else dollars(usd(line.billed_cost)),
            dollars(usd(line.charged_cost)),
            dollars(usd(line.difference)) if found.has_costs else "",
            "" if told is None else str(told),
            "0" if ledger is None else str(ledger.input_tokens + ledger.output_tokens),
        ])  # fmt: skip
    print_table(columns, rows)
    for line in found.lines:
        for reason in line.reasons:
            typer.echo(f"{date_of(line.day)} {line.model or '(all)'}: {reason}")
    for drift in found.drifts(0.0):
        typer.echo(f"{drift.model or '(all)'}: the bill is {drift.drift_ratio:+.2%} of what was charged.")
    if not found.has_costs:
        typer.echo("The export has no costs: only tokens were compared.", err=True)
    if entered is not None:
        for entry in entered:
            typer.echo(f"entered {entry.charge_id}: {dollars(usd(entry.cost_nano_usd))} USD")
        typer.echo(f"{len(entered)} corrections entered.")


def _object(found: Reconciliation, entered: list[ChargePosted] | None) -> dict[str, Any]:
    from gateway.reports.columns import usd
    from gateway.reports.periods import date_of

    return {
        "object": "reconciliation",
        "provider": found.provider,
        "from": date_of(found.period.first),
        "to": date_of(found.period.end),
        "days": [
            {
                "date": date_of(line.day),
                "model": line.model,
                "billed_usd": None if line.billed_cost is None else usd(line.billed_cost),
                "charged_usd": usd(line.charged_cost),
                "difference_usd": usd(line.difference) if found.has_costs else None,
                "reasons": list(line.reasons),
            }
            for line in found.lines
        ],
        "models": [
            {
                "model": each.model,
                "billed_usd": usd(each.billed),
                "charged_usd": usd(each.charged),
                "drift_ratio": round(each.drift_ratio, 6),
            }
            for each in found.drifts(0.0)
        ],
        "entered": None
        if entered is None
        else [{"id": each.charge_id, "amount_usd": usd(each.cost_nano_usd)} for each in entered],
    }
