"""`farebox verify`: does every counter agree with the journal? Speaks to a running gateway, which has the counters."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from gateway.cli.asking import Asking, asks
from gateway.cli.configuration import NO_ANSWER, PROBLEMS
from gateway.cli.remote import Column, fail, print_table

_COLUMNS = (
    Column("counter", folds=True),
    Column("scope", folds=True),
    Column("posted", right=True),
    Column("journal", right=True),
    Column("difference", right=True),
)


@asks
def verify(
    asking: Asking,
    rollups: Annotated[
        bool, typer.Option("--rollups", help="Compare the daily roll-ups with the charges, too.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only the roll-ups, from the journal itself: no gateway need run.")
    ] = False,
) -> None:
    """Recompute every counter from the journal. No difference is the only pass: any exits with 1.

    Exits with 3 when it is not known, because no gateway answers, or none that can or may say.

    Example: farebox verify --url http://127.0.0.1:4000
    """
    if offline:
        _verify_offline(asking)
        return
    query = {"rollups": "true"} if rollups else {}
    found = asking.get("verify", refused=NO_ANSWER, **query)
    asking.show(found, _print)
    if not found["ok"]:
        raise typer.Exit(PROBLEMS)


def _verify_offline(asking: Asking) -> None:
    """Counters are the gateway's; roll-ups and charges are both in the journal."""
    from gateway.cli.offline import load_offline
    from gateway.journal.database import JournalError
    from gateway.journal.looking import looking
    from gateway.reports.rollups import Compared, compare, compared_object

    snapshot = load_offline(asking.config)

    async def look() -> Compared:
        async with looking(snapshot.storage) as engine:
            return await compare(engine)

    try:
        found = asyncio.run(look())
    except JournalError as error:
        fail(str(error), NO_ANSWER)
    roll_ups = compared_object(found)
    asking.show({"object": "verification", "ok": not found.differences, "roll_ups": roll_ups}, _print_roll_ups)
    if found.differences:
        raise typer.Exit(PROBLEMS)


def _print(found: dict[str, Any]) -> None:
    differences = found["differences"]
    if differences:
        names = ("key", "scope", "posted", "journal", "difference")
        print_table(_COLUMNS, ([str(each[name]) for name in names] for each in differences))
    skipped = found["skipped"]
    for each in skipped:
        typer.echo(f"not compared: {each['key']}: {each['reason']}", err=True)
    moving = f", {found['moving']} of them while they moved" if found["moving"] else ""
    words = "all agree with the journal" if not differences else f"{len(differences)} differ from the journal"
    typer.echo(f"{found['compared']} counters compared{moving}: {words}.", err=bool(differences))
    if found.get("roll_ups") is not None:
        _print_roll_ups(found)


def _print_roll_ups(found: dict[str, Any]) -> None:
    roll_ups = found["roll_ups"]
    for each in roll_ups["differences"]:
        told = f"{each['what']} is {each['rolled_up']}, the charges say {each['charged']}"
        typer.echo(f"the roll-up of {each['date']} differs: {told}", err=True)
    words = "differ" if roll_ups["differences"] else "all agree with the charges"
    typer.echo(f"{roll_ups['days']} days of roll-ups compared: {words}.", err=bool(roll_ups["differences"]))
