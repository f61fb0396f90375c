"""`farebox reconcile`: does the journal add up to the provider's bill? Reads the journal; needs no running gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import typer

from gateway.cli.configuration import PROBLEMS, USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import Column, dollars, fail, print_json, print_table

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.journal.database import Database
    from gateway.reports.bills.bill import Billed
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
        bool, typer.Option("--post", help="Enter corrections of what the bill names, after showing them and asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --post: enter them without asking.")] = False,
    most_usd: Annotated[
        str, typer.Option(help="With --post: enter nothing when the corrections come to more than this, signs aside.")
    ] = "100",
    tolerance: Annotated[float, typer.Option(help="A drift beyond this ratio exits with 1.")] = 0.05,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file: it tells where the journal is.")
    ] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a provider's bill with the journal, by UTC day and model, and say what the drift may come from.

    The result is kept for the metric farebox_reconciliation_drift_ratio. Corrections are entered only with --post, and
    only of days and models that the bill names. Exits with 1 when a model drifts beyond the tolerance and nothing was
    entered, or when corrections were not agreed to; with 2 when a file or the journal cannot be read.

    Example: farebox reconcile openai --file costs.csv
    """
    from gateway.journal.database import JournalError
    from gateway.reports.bills.bill import BillError, add_up
    from gateway.reports.bills.reading import HOSTS, read
    from gateway.reports.reconciling import CorrectionsChanged

    snapshot, most = load_offline(config), _most(most_usd)
    providers = provider or _at(snapshot, HOSTS[of])
    if not providers:
        fail(f"no provider of the configuration is at {HOSTS[of]}: name it with --provider", USAGE)
    if unknown := [name for name in providers if name not in snapshot.endpoints]:
        fail(f"the configuration has no provider `{unknown[0]}`", USAGE)
    entered = None
    try:
        bill = add_up(line for file in files for line in read(of, file))
        comparison = _Comparison(snapshot, providers, bill, time.time())
        found = asyncio.run(_compare(comparison, remembered=not post))
        if not as_json:
            _print(found)
        if post:
            entered = _post(comparison, found, most, yes=yes)
    except (BillError, JournalError) as error:
        fail(str(error), USAGE)
    except CorrectionsChanged as error:
        fail(str(error), PROBLEMS)
    except BrokenPipeError:  # whoever reads it has seen enough
        raise
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror or error}", USAGE)
    if as_json:
        print_json(_object(found, entered))
    elif entered is not None:
        _print_entered(entered)
    if entered is None and any(abs(each.drift_ratio) > tolerance for each in found.drifts(0.0)):
        raise typer.Exit(PROBLEMS)


class _Comparison(NamedTuple):
    """What is compared with what, and when."""

    snapshot: Snapshot
    providers: Sequence[str]
    bill: Mapping[tuple[int, str], Billed]
    now_s: float


def _most(text: str) -> int:
    from routing.money import parse_usd

    try:
        return int(parse_usd(text))
    except ValueError as error:
        fail(f"--most-usd: {error}", USAGE)


def _at(snapshot: Snapshot, host: str) -> list[str]:
    return [name for name, endpoint in snapshot.endpoints.items() if urlsplit(endpoint.base_url).hostname == host]


async def _compare(of: _Comparison, *, remembered: bool) -> Reconciliation:
    from gateway.journal.looking import looking
    from gateway.reports.reconciling import reconcile as against
    from gateway.reports.reconciling import remember

    async with looking(of.snapshot.storage) as engine:  # only a journal that is there, and of this version
        found = await against(engine, of.providers, of.bill)
    if remembered:
        async with _database(of.snapshot) as database:
            await remember(database, found, of.now_s)
    return found


def _post(of: _Comparison, found: Reconciliation, most: int, *, yes: bool) -> list[ChargePosted]:
    """Enter the corrections, if somebody agrees and they are not too large."""
    from gateway.reports.columns import usd
    from gateway.reports.reconciling import corrections
    from gateway.reports.reconciling import post as enter

    agreed = corrections(found, of.now_s)
    amounts = [entry.cost_nano_usd for entry in agreed]
    size = sum(map(abs, amounts))
    if size > most:
        fail(
            f"the corrections come to {dollars(usd(size))} USD, signs aside: more than --most-usd "
            f"{dollars(usd(most))}. Nothing was entered",
            PROBLEMS,
        )
    question = f"Enter {len(agreed)} corrections, together {dollars(usd(sum(amounts)))} USD?"
    if agreed and not yes and not typer.confirm(question, err=True):
        fail("nothing was entered", PROBLEMS)

    async def entering() -> list[ChargePosted]:
        async with _database(of.snapshot) as database:
            return await enter(database, of.providers, of.bill, of.now_s, agreed)

    return asyncio.run(entering())


@asynccontextmanager
async def _database(snapshot: Snapshot) -> AsyncIterator[Database]:
    from gateway.journal.database import Database

    database = await Database.open(snapshot.storage)
    try:
        yield database
    finally:
        await database.close()


def _print(found: Reconciliation) -> None:
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


def _print_entered(entered: list[ChargePosted]) -> None:
    from gateway.reports.columns import usd

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
