"""`farebox backtest`: what a policy would have done, before it rules."""

from __future__ import annotations

import asyncio
import io
import re
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from gateway.cli.configuration import PROBLEMS, USAGE
from gateway.cli.durations import seconds
from gateway.cli.offline import load_offline
from gateway.cli.remote import fail, print_json

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from routing.backtest import Report
    from routing.recorded import Recorded

backtest = typer.Typer(rich_markup_mode=None)

_SHARE = re.compile(r"-?[0-9]{1,4}(\.[0-9]{1,6})?%")


@backtest.command("backtest")
def _backtest(
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A policy file. Left out: the configuration's policies as they are.")
    ] = None,
    since: Annotated[str, typer.Option(help="How far back the journal is read: 12h, 7d, 4w.")] = "7d",
    profiles: Annotated[
        Path | None, typer.Option("--profiles", help="A file of `farebox profiles export` instead of the journal.")
    ] = None,
    asked_as: Annotated[
        str, typer.Option("--as", help="Take every request as if it had asked for this name: auto.")
    ] = "",
    max_cost_increase: Annotated[
        str | None, typer.Option(help="Exit with 1 if it costs that much more than was paid: 5%; -10% demands savings.")
    ] = None,
    max_refused: Annotated[
        int | None, typer.Option(help="Exit with 1 if it refuses more requests that were answered than this.", min=0)
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Take recorded requests through a policy: what it would have cost, changed and refused. Nothing is called.

    Beside it: what was really paid, the cheapest model alone, the strongest alone, and a random mix. Exits with 1 when
    a gate fails, with 2 when a file or the journal cannot be read. Keys of providers are not needed.

    Example: farebox backtest --policy new.yaml --since 7d --max-cost-increase 5%
    """
    from gateway.cli.backtest_output import print_report, report_object

    gates = Gates(None if max_cost_increase is None else _share(max_cost_increase), max_refused)
    length_s = seconds(since)
    snapshot = load_offline(config, policy)
    name = None if policy is None else _named(snapshot, policy)
    rows = _of_file(profiles) if profiles is not None else _of_journal(snapshot, time.time() - length_s)
    if not rows:
        fail("no requests are recorded there", USAGE)
    report = _run(snapshot, name, rows, asked_as)
    failures = gates.failures(report)
    if as_json:
        print_json(report_object(report, name or "", failures))
    else:
        print_report(report, name or "the configuration's policies")
    for failure in failures:
        typer.echo(f"farebox backtest: {failure}", err=True)
    if failures:
        raise typer.Exit(PROBLEMS)


class Gates(NamedTuple):
    """What a policy has to keep to."""

    max_increase: Decimal | None
    """Of the cost, as a share."""
    max_refused: int | None

    def failures(self, report: Report) -> list[str]:
        """One line for each gate that fails."""
        from routing.backtest import CANDIDATE, TODAY

        found = []
        today, candidate = report.world(TODAY).cost, report.world(CANDIDATE).cost
        if self.max_increase is not None and candidate > today * (1 + self.max_increase):
            most = f"{self.max_increase * 100:+f}".rstrip("0").rstrip(".")
            found.append(f"its cost changes by {report.increase:+.2%}, and may change by {most}% at most")
        refused = sum(agent.denied for agent in report.agents)
        if self.max_refused is not None and refused > self.max_refused:
            found.append(f"it refuses {refused} requests that were answered, and may refuse {self.max_refused}")
        return found


def _share(text: str) -> Decimal:
    if not _SHARE.fullmatch(text):
        raise typer.BadParameter("should be a percentage: 5%", param_hint="--max-cost-increase")
    return Decimal(text[:-1]) / 100


def _named(snapshot: Snapshot, policy: Path) -> str:
    name = snapshot.policies[0].name
    return name if name in snapshot.compiled_policies else _stop(f"the policy in {policy} chooses no models")


def _stop(message: str) -> NoReturn:
    fail(message, USAGE)


def _of_file(path: Path) -> list[Recorded]:
    from gateway.reports.recordings import RecordingError, read

    try:
        return sorted(read(path), key=lambda row: (row.at_s, row.request_id))
    except RecordingError as error:
        fail(str(error), USAGE)


def _of_journal(snapshot: Snapshot, since_s: float) -> list[Recorded]:
    from gateway.journal.database import JournalError

    try:
        return asyncio.run(_recorded(snapshot, since_s))
    except JournalError as error:
        fail(str(error), USAGE)


def _bar(*rows: list[Recorded], **settings: Any) -> Any:
    """A progress bar on a terminal; nothing elsewhere."""
    shown = sys.stderr.isatty()
    return typer.progressbar(*rows, **settings, file=sys.stderr if shown else io.StringIO())


async def _recorded(snapshot: Snapshot, since_s: float) -> list[Recorded]:
    from gateway.journal.looking import looking
    from gateway.journal.profiles import count, recorded

    until_s, rows = time.time(), []
    async with looking(snapshot.storage) as engine:
        expected = await count(engine, since_s, until_s)
        with _bar(length=expected, label="Reading") as bar:
            async for row in recorded(engine, since_s, until_s):
                rows.append(row)
                bar.update(1)
    return rows


def _run(snapshot: Snapshot, name: str | None, rows: list[Recorded], asked_as: str) -> Report:
    from gateway.reports.backtest import setting
    from routing.backtest import Backtest

    policy = None if name is None else snapshot.compiled_policies[name]
    test = Backtest(setting(snapshot, policy, rows, asked_as))
    with _bar(rows, label="Routing") as shown:
        for row in shown:
            test.add(row)
    return test.report()
