"""`farebox forget`: makes the journal forget who a person was. Changes the journal; needs no running gateway."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import fail, print_json

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.journal.forgetting import Asked, Forgotten


def forget(
    user: Annotated[str, typer.Option(help="The person's id, as clients send it.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Also what budgets' open windows count by this id: counters then differ.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be changed, and change nothing.")] = False,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file: it tells where the journal is.")
    ] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put a pseudonym in the place of a person's id, sessions and runs in the journal. Amounts stay; there is no undo.

    Recorded prompts and answers of this person, comments, responses and conversations are deleted. Exits with 2 when
    the journal cannot be changed.

    Example: farebox forget --user alice@example.com --dry-run
    """
    from gateway.identity.attribution import adapt_id
    from gateway.journal.database import JournalError
    from gateway.journal.forgetting import Asked

    snapshot = load_offline(config)
    now_s = time.time()
    users = tuple(dict.fromkeys((user, adapt_id(user))))
    kept_from_s = float("inf") if everything else _kept_from_s(snapshot, users, now_s)
    asked = Asked(users, min(kept_from_s, now_s + 86_400), now_s, dry_run)
    try:
        found = asyncio.run(_forget(snapshot, asked))
    except JournalError as error:
        fail(str(error), USAGE)
    if as_json:
        print_json({"object": "forgotten", "dry_run": dry_run, **found._asdict()})
    else:
        _print(found, dry_run=dry_run)


def _kept_from_s(snapshot: Snapshot, users: tuple[str, ...], now_s: float) -> float:
    """The first moment of the open windows that budgets count this user in."""
    starts = [
        now_s - budget.window.length_s - budget.window.bucket_s
        if budget.window.period == "rolling"
        else budget.window.at(now_s).start_s
        for budget in snapshot.budgets
        if budget.scope.kind == "user" and budget.scope.value in {"*", *users}
    ]
    return min(starts, default=float("inf"))


async def _forget(snapshot: Snapshot, asked: Asked) -> Forgotten:
    from gateway.journal.database import Database
    from gateway.journal.forgetting import forget
    from gateway.journal.looking import looking

    async with looking(snapshot.storage):  # only a journal that is there, and of this version
        pass
    database = await Database.open(snapshot.storage)
    try:
        return await forget(database.engine, asked)
    finally:
        await database.close()


def _print(found: Forgotten, *, dry_run: bool) -> None:
    would = "would be" if dry_run else "were"
    typer.echo(
        f"{found.requests} requests and {found.charges} charges {would} given the pseudonym {found.pseudonym}, "
        f"{found.sessions} sessions and {found.runs} runs pseudonyms of their own; {found.contents} recorded bodies, "
        f"{found.comments} comments, {found.responses} responses and conversations {would} deleted. No amount changes."
    )
    if found.left:
        typer.echo(
            f"{found.left} rows or runs still have the id: budgets' open windows or open runs count them. Run this "
            "again when they are over, or with --all.",
            err=True,
        )
    if found.entries:
        typer.echo(f"{found.entries} entries made by hand in budgets name the id; the ledger keeps them.", err=True)
