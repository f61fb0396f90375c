"""`farebox forget`: makes the journal forget who a person was. Changes the journal; needs no running gateway."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import PROBLEMS, USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import fail, print_json

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from gateway.journal.forgetting import Asked, Forgotten


def forget(
    user: Annotated[str, typer.Option(help="The person's id, as clients send it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be changed, and change nothing.")] = False,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file: it tells where the journal is.")
    ] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put a pseudonym in the place of a person's id, sessions and runs in the journal. Amounts stay; there is no undo.

    Recorded prompts and answers of this person, comments, responses and conversations are deleted, and SQLite's file
    is written anew. Open runs wait: exits with 1 when there are any, with 2 when the journal cannot be changed.

    Example: farebox forget --user alice@example.com --dry-run
    """
    from gateway.identity.attribution import adapt_id
    from gateway.journal.compacting import compact
    from gateway.journal.database import FILE_NAME, JournalError
    from gateway.journal.forgetting import Asked

    snapshot = load_offline(config)
    asked = Asked(tuple(dict.fromkeys((user, adapt_id(user)))), time.time(), snapshot.budgets, dry_run)
    try:
        found = asyncio.run(_forget(snapshot, asked))
    except JournalError as error:
        fail(str(error), USAGE)
    storage = snapshot.storage
    remains = "" if dry_run or storage.journal_url is not None else compact(storage.dir / FILE_NAME)
    if as_json:
        print_json({"object": "forgotten", "dry_run": dry_run, **found._asdict(), "not_compacted": remains or None})
    else:
        _print(found, dry_run=dry_run)
    if remains:
        typer.echo(
            f"The journal's file could not be written anew ({remains}): free space in it may still have the id until "
            f"you do: sqlite3 {storage.dir / FILE_NAME} VACUUM",
            err=True,
        )
    if found.left and not dry_run:
        raise typer.Exit(PROBLEMS)


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
        f"{found.comments} comments, {found.responses} responses and conversations {would} deleted. "
        f"{found.entries} entries by hand {would} changed in their names. No amount changes."
    )
    if found.left:
        typer.echo(
            f"{found.left} runs are open and keep their names: close them (farebox runs close) or wait, and run this "
            "again.",
            err=True,
        )
