"""Makes the journal forget who a person was: their id, sessions and runs become pseudonyms, every amount stays.

A pseudonym is random and kept nowhere else: there is no way back. The same session or run gets the same one in every
row, so that what it cost still adds up. What a budget or an open run still counts by the id waits, unless all is asked
for: their counters know the person by the id, too.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Table, and_, case, func, or_, select

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import RUN_SEPARATOR, to_us
from gateway.journal.sessions import writing
from gateway.journal.tables import (
    adjustments,
    alerts,
    charges,
    contents,
    conversation_items,
    conversations,
    feedback,
    requests,
    responses,
    runs,
)

PREFIX: Final = "forgotten-"
_OPEN: Final = ("open", "paused")
_AT_A_TIME: Final = 500
"""Runs whose names one statement looks for: each reads all requests, and the writer waits meanwhile."""


class Forgotten(NamedTuple):
    """What was changed, or would be."""

    pseudonym: str
    requests: int
    charges: int
    sessions: int
    runs: int
    contents: int
    """Recorded bodies that were deleted."""
    comments: int
    """Comments on answers that were deleted."""
    responses: int
    """Responses, and conversations, that were deleted."""
    left: int
    """Rows that still name the person, because a budget's open window or an open run counts them."""
    entries: int
    """Entries made by hand in a budget of this user's: the ledger keeps them as they are."""


class _Undo(Exception):
    """Ends the transaction without a trace."""


class Asked(NamedTuple):
    """Whom to forget, and what waits."""

    users: tuple[str, ...]
    """The id as clients send it, and as it is kept."""
    kept_from_s: float
    """Rows from this Unix time on wait: a budget's open window counts them."""
    now_s: float
    dry_run: bool = False


async def forget(engine: AsyncEngine, asked: Asked) -> Forgotten:
    """Forget a user, in one transaction. Raises JournalError; nothing is changed then."""
    found: Forgotten | None = None
    try:
        async with writing(engine) as connection:
            found = await _forget(connection, asked)
            if asked.dry_run:
                raise _Undo  # noqa: TRY301 -- the transaction's own way to end without a trace
    except _Undo:
        pass
    if found is None:
        raise JournalError("the journal could not be changed")
    return found


async def _forget(connection: AsyncConnection, asked: Asked) -> Forgotten:
    pseudonym = f"{PREFIX}{secrets.token_hex(8)}"
    kept_us = to_us(asked.kept_from_s)
    mine = requests.c.end_user.in_(asked.users)
    theirs = and_(mine, requests.c.at_us < kept_us)
    names = select(requests.c.request_id).where(theirs)
    kept_runs = await _runs_in_use(connection, asked)
    sessions = await _rename_sessions(connection, theirs, pseudonym)
    renamed = await _rename_runs(connection, theirs, kept_runs, pseudonym)
    deleted = (await connection.execute(contents.delete().where(contents.c.request_id.in_(names)))).rowcount
    said = and_(feedback.c.request_id.in_(names), feedback.c.comment.is_not(None))
    comments = (await connection.execute(feedback.update().where(said).values(comment=None))).rowcount
    kept = await _delete_responses(connection, asked.users)
    of_requests = await _rename_user(connection, requests, asked.users, kept_us, pseudonym)
    of_charges = await _rename_user(connection, charges, asked.users, kept_us, pseudonym)
    await connection.execute(alerts.update().where(alerts.c.value.in_(asked.users)).values(value=pseudonym))
    left = 0
    for table in (requests, charges):
        counted = select(func.count()).select_from(table).where(table.c.end_user.in_(asked.users))
        left += int((await connection.execute(counted)).scalar_one())
    entries = select(func.count()).select_from(adjustments).where(adjustments.c.value.in_(asked.users))
    by_hand = int((await connection.execute(entries)).scalar_one())
    return Forgotten(
        pseudonym,
        of_requests,
        of_charges,
        sessions,
        renamed,
        int(deleted),
        int(comments),
        kept,
        left + len(kept_runs),
        by_hand,
    )


async def _delete_responses(connection: AsyncConnection, users: Sequence[str]) -> int:
    """Theirs, whenever they were made: no budget counts them. A conversation in which they spoke goes whole."""
    mine = responses.c.end_user.in_(users)
    spoke_in = select(responses.c.conversation).where(mine, responses.c.conversation.is_not(None))
    theirs = or_(conversations.c.end_user.in_(users), conversations.c.id.in_(spoke_in))
    ids = list((await connection.execute(select(conversations.c.id).where(theirs))).scalars())
    for at in range(0, len(ids), _AT_A_TIME):
        some = ids[at : at + _AT_A_TIME]
        await connection.execute(conversation_items.delete().where(conversation_items.c.conversation.in_(some)))
        await connection.execute(conversations.delete().where(conversations.c.id.in_(some)))
    return len(ids) + int((await connection.execute(responses.delete().where(mine))).rowcount)


async def _runs_in_use(connection: AsyncConnection, asked: Asked) -> set[str]:
    """Runs of theirs that gateways still keep track of."""
    mine = select(requests.c.agent, requests.c.run).where(
        requests.c.end_user.in_(asked.users), requests.c.run.is_not(None)
    )
    ids = {f"{agent}/{run}" for agent, run in await connection.execute(mine.distinct())}
    in_use = select(runs.c.id).where(runs.c.state.in_(_OPEN), runs.c.closes_at_us > to_us(asked.now_s))
    return ids & set((await connection.execute(in_use)).scalars())


async def _rename_sessions(connection: AsyncConnection, theirs: object, pseudonym: str) -> int:
    of = requests.c
    found = select(of.agent, of.session).where(theirs, of.session.is_not(None)).distinct()  # type: ignore[arg-type]
    sessions = [(agent, name) for agent, name in await connection.execute(found) if not name.startswith(PREFIX)]
    for number, (agent, name) in enumerate(sorted(sessions), 1):
        there = and_(of.agent == agent, of.session == name)
        await connection.execute(requests.update().where(there).values(session=f"{pseudonym}-s{number}"))
    return len(sessions)


async def _rename_runs(connection: AsyncConnection, theirs: object, kept: Iterable[str], pseudonym: str) -> int:
    of = requests.c
    found = select(of.agent, of.run).where(theirs, of.run.is_not(None)).distinct()  # type: ignore[arg-type]
    ids = {(agent, run) for agent, run in await connection.execute(found) if f"{agent}/{run}" not in set(kept)}
    ids = {each for each in ids if not each[1].startswith(PREFIX)}
    names: dict[str, str] = {}
    for number, (agent, run) in enumerate(sorted(ids), 1):
        name = f"{pseudonym}-r{number}"
        names[f"{agent}/{run}"] = f"{agent}/{name}"
        await _rename_run(connection, agent, run, name)
    await _rename_parents(connection, names)
    await _rename_paths(connection, names)
    return len(ids)


async def _rename_run(connection: AsyncConnection, agent: str, run: str, name: str) -> None:
    of, old, new = requests.c, f"{agent}/{run}", f"{agent}/{name}"
    await connection.execute(requests.update().where(of.agent == agent, of.run == run).values(run=name))
    told = alerts.c.value  # of a budget on runs; of another alert it is words between `|`
    await connection.execute(alerts.update().where(told == old).values(value=new))
    named = told.contains(f"|{old}|", autoescape=True)
    await connection.execute(alerts.update().where(named).values(value=func.replace(told, f"|{old}|", f"|{new}|")))
    await connection.execute(runs.update().where(runs.c.parent == old).values(parent=new))
    await connection.execute(runs.update().where(runs.c.id == old).values(id=new))


async def _rename_parents(connection: AsyncConnection, names: Mapping[str, str]) -> None:
    """What requests call the run above theirs: its name where it is the same agent's, else `agent/run`."""
    of, olds = requests.c, list(names)
    for at in range(0, len(olds), _AT_A_TIME):
        some = {old: names[old] for old in olds[at : at + _AT_A_TIME]}
        called = of.agent + "/" + of.parent_run
        short = case({old: new.partition("/")[2] for old, new in some.items()}, value=called)
        await connection.execute(requests.update().where(called.in_(some)).values(parent_run=short))
        whole = case(some, value=of.parent_run)
        await connection.execute(requests.update().where(of.parent_run.in_(some)).values(parent_run=whole))


async def _rename_paths(connection: AsyncConnection, names: Mapping[str, str]) -> None:
    """In paths of runs, wherever in them. All charges are read once, however many runs there are: the writer waits."""
    if not names:
        return
    of = charges.c
    found = await connection.execute(select(of.root_run, of.run_path).where(of.root_run.is_not(None)).distinct())
    for root, path in found.all():
        if (renamed := _renamed(path, names)) != path:
            there = and_(of.root_run == root, of.run_path == path)
            values = {"root_run": renamed.partition(RUN_SEPARATOR)[0], "run_path": renamed}
            await connection.execute(charges.update().where(there).values(values))
    for run, path in (await connection.execute(select(runs.c.id, runs.c.path))).all():
        if (renamed := _renamed(path, names)) != path:
            await connection.execute(runs.update().where(runs.c.id == run).values(path=renamed))


def _renamed(path: str, names: Mapping[str, str]) -> str:
    return RUN_SEPARATOR.join([names.get(part, part) for part in path.split(RUN_SEPARATOR)])


async def _rename_user(
    connection: AsyncConnection, table: Table, users: Sequence[str], kept_us: int, pseudonym: str
) -> int:
    """The id where it is the user, and where it is a tag's value."""
    tags = table.c.tags
    for user in users:
        tags_changed = func.replace(tags, json.dumps(user, ensure_ascii=False), json.dumps(pseudonym))
        tagged = and_(table.c.end_user.in_(users), or_(tags.contains(user, autoescape=True)), table.c.at_us < kept_us)
        await connection.execute(table.update().where(tagged).values(tags=tags_changed))
    there = and_(table.c.end_user.in_(users), table.c.at_us < kept_us)
    return int((await connection.execute(table.update().where(there).values(end_user=pseudonym))).rowcount)
