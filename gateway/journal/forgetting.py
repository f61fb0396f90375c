"""Makes the journal forget who a person was: their id, sessions and runs become pseudonyms, every amount stays.

A pseudonym is random and kept nowhere else: there is no way back. The same session or run gets the same one in every
row, so that what it cost still adds up. Counters of budgets know the person by the id until their windows end; what
leads from there to the pseudonym is a digest (`aliases`), so that they agree with the journal all the time. Only open
runs wait: gateways write their rows anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Table, and_, bindparam, case, func, or_, select, text

from gateway.journal.aliases import Alias, Place, enter, expire
from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.pseudonyms import Pseudonyms
from gateway.journal.rows import RUN_SEPARATOR, tags_of, to_us
from gateway.journal.sessions import writing
from gateway.journal.tables import (
    adjustments,
    alerts,
    charges,
    contents,
    conversation_items,
    conversations,
    feedback,
    keys,
    requests,
    reservations,
    responses,
    runs,
)
from gateway.ledger.budgets import Budget
from gateway.ledger.scopes import EACH

PREFIX: Final = "forgotten-"
_OPEN: Final = ("open", "paused")
_AT_A_TIME: Final = 500
"""Runs whose names one statement looks for: each reads all requests, and the writer waits meanwhile."""
_DAY_US: Final = 86_400_000_000
_KEPT_US: Final = 2 * _DAY_US
"""Counters are kept for a day after their window."""
_RUN_KEPT_US: Final = 8 * _DAY_US
"""So long after a run has ended its counters may still be there."""
_FOREVER_US: Final = 2**63 - 1


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
    """Open runs of the person: they keep their names until they are closed and this is asked for again."""
    entries: int
    """Entries made by hand in a budget that named the person, one of their runs, or in words the person."""


class _Undo(Exception):
    """Ends the transaction without a trace."""


class Asked(NamedTuple):
    """Whom to forget."""

    users: tuple[str, ...]
    """The id as clients send it, and as it is kept."""
    now_s: float
    budgets: tuple[Budget, ...] = ()
    """Those in force: whose counters go by names of users, runs or tags."""
    dry_run: bool = False


async def forget(engine: AsyncEngine, asked: Asked) -> Forgotten:
    """Forget a user, in one transaction. Raises JournalError; nothing is changed then."""
    found: Forgotten | None = None
    try:
        async with writing(engine) as connection:
            if engine.dialect.name == "sqlite":  # what is overwritten must not stay in the file
                (await connection.execute(text("PRAGMA secure_delete=ON"))).close()
            found = await _Forgetting(connection, asked).run()
            if asked.dry_run:
                raise _Undo  # noqa: TRY301 -- the transaction's own way to end without a trace
    except _Undo:
        pass
    if found is None:
        raise JournalError("the journal could not be changed")
    return found


class _Forgetting:
    """One transaction's work."""

    def __init__(self, connection: AsyncConnection, asked: Asked) -> None:
        self._connection = connection
        self._asked = asked
        self._names = Pseudonyms(asked.users, f"{PREFIX}{secrets.token_hex(8)}")
        self._kept: set[str] = set()
        """Open runs of theirs."""
        self._tags: set[tuple[str, str, str]] = set()
        """Tags that were renamed in charges: name, value, value now."""

    async def run(self) -> Forgotten:
        connection, users = self._connection, self._asked.users
        mine = requests.c.end_user.in_(users)
        ids = select(requests.c.request_id).where(mine)
        await self._find_runs()
        sessions = await self._rename_sessions(mine)
        entries = await self._rename_runs()
        deleted = (await connection.execute(contents.delete().where(contents.c.request_id.in_(ids)))).rowcount
        said = and_(feedback.c.request_id.in_(ids), feedback.c.comment.is_not(None))
        comments = (await connection.execute(feedback.update().where(said).values(comment=None))).rowcount
        kept = await _delete_responses(connection, users)
        for table in (requests, charges):
            await self._rename_tags(table)
        entries += await self._sweep()
        of_requests, of_charges = [await self._rename_user(table) for table in (requests, charges)]
        await self._keep_aliases()
        return Forgotten(
            self._names.pseudonym,
            of_requests,
            of_charges,
            sessions,
            len(self._names.runs),
            int(deleted),
            int(comments),
            kept,
            len(self._kept),
            entries,
        )

    # --- runs ---

    async def _find_runs(self) -> None:
        """Theirs, and those that have the id in their name; each but the open ones gets a name of its own."""
        connection, names = self._connection, self._names
        of = requests.c
        theirs = or_(of.end_user.in_(self._asked.users), self._mentions(of.run))
        asked = await connection.execute(
            select(of.agent, of.run, of.end_user).where(theirs, of.run.is_not(None)).distinct()
        )
        found = {f"{agent}/{run}" for agent, run, user in asked if user in names.users or names.word(run) != run}
        paid = select(charges.c.run_path, charges.c.end_user).where(
            charges.c.run_path != "", or_(charges.c.end_user.in_(self._asked.users), self._mentions(charges.c.run_path))
        )
        for path, user in await connection.execute(paid.distinct()):
            parts = path.split(RUN_SEPARATOR)
            found |= {parts[-1]} if user in names.users else set()
            found |= {part for part in parts if names.run(part) != part}
        for column in (runs.c.id, adjustments.c.value):
            named = (await connection.execute(select(column).where(self._mentions(column)))).scalars()
            found |= {name for name in named if names.run(name) != name}
        found = {run for run in found if not run.partition("/")[2].startswith(PREFIX)}
        in_use = select(runs.c.id).where(runs.c.state.in_(_OPEN), runs.c.closes_at_us > to_us(self._asked.now_s))
        self._kept = found & set((await connection.execute(in_use)).scalars())
        for number, run in enumerate(sorted(found - self._kept), 1):
            names.runs[run] = f"{run.partition('/')[0]}/{names.pseudonym}-r{number}"

    async def _rename_runs(self) -> int:
        entries = 0
        for old, new in self._names.runs.items():
            entries += await self._rename_run(old, new)
        await self._rename_parents()
        await self._rename_paths()
        return entries

    async def _rename_run(self, old: str, new: str) -> int:
        connection, of = self._connection, requests.c
        agent, _, run = old.partition("/")
        there = and_(of.agent == agent, of.run == run)
        await connection.execute(requests.update().where(there).values(run=new.partition("/")[2]))
        told = alerts.c.value  # of a budget on runs; of another alert it is words between `|`
        await connection.execute(alerts.update().where(told == old).values(value=new))
        named = told.contains(f"|{old}|", autoescape=True)
        await connection.execute(alerts.update().where(named).values(value=func.replace(told, f"|{old}|", f"|{new}|")))
        for column in (runs.c.parent, runs.c.id, keys.c.run):
            await connection.execute(column.table.update().where(column == old).values({column.name: new}))
        by_hand = adjustments.update().where(adjustments.c.value == old).values(value=new)
        return int((await connection.execute(by_hand)).rowcount)

    async def _rename_parents(self) -> None:
        """What requests call the run above theirs: its name where it is the same agent's, else `agent/run`."""
        connection, names = self._connection, self._names.runs
        of, olds = requests.c, list(names)
        for at in range(0, len(olds), _AT_A_TIME):
            some = {old: names[old] for old in olds[at : at + _AT_A_TIME]}
            called = of.agent + "/" + of.parent_run
            short = case({old: new.partition("/")[2] for old, new in some.items()}, value=called)
            await connection.execute(requests.update().where(called.in_(some)).values(parent_run=short))
            whole = case(some, value=of.parent_run)
            await connection.execute(requests.update().where(of.parent_run.in_(some)).values(parent_run=whole))

    async def _rename_paths(self) -> None:
        """In paths of runs, wherever in them. All charges are read once, however many runs there are."""
        connection, names, of = self._connection, self._names, charges.c
        if not names.runs:
            return
        found = await connection.execute(select(of.root_run, of.run_path).where(of.root_run.is_not(None)).distinct())
        for root, path in found.all():
            if (renamed := names.path(path, self._kept)) != path:
                there = and_(of.root_run == root, of.run_path == path)
                values = {"root_run": renamed.partition(RUN_SEPARATOR)[0], "run_path": renamed}
                await connection.execute(charges.update().where(there).values(values))
        for run, path in (await connection.execute(select(runs.c.id, runs.c.path))).all():
            if (renamed := names.path(path, self._kept)) != path:
                await connection.execute(runs.update().where(runs.c.id == run).values(path=renamed))

    # --- everything else ---

    async def _rename_sessions(self, mine: Any) -> int:
        of = requests.c
        found = select(of.agent, of.session).where(mine, of.session.is_not(None)).distinct()
        sessions = [each for each in await self._connection.execute(found) if not each.session.startswith(PREFIX)]
        for number, (agent, name) in enumerate(sorted(map(tuple, sessions)), 1):
            there = and_(of.agent == agent, of.session == name)
            new = f"{self._names.pseudonym}-s{number}"
            await self._connection.execute(requests.update().where(there).values(session=new))
        return len(sessions)

    async def _rename_tags(self, table: Table) -> None:
        """The id as a tag's value, of the person's own rows; where it is long enough also a word of anybody's tags."""
        names, (key,) = self._names, table.primary_key.columns
        rows = select(key, table.c.tags, table.c.end_user).where(self._mentions(table.c.tags))
        changed = []
        for name, tags, user in (await self._connection.execute(rows)).all():
            new = names.tags(tags, own=user in names.users)
            if new == tags:
                continue
            changed.append({"row": name, "new": new})
            if table is charges:
                pairs = zip(tags_of(tags), tags_of(new), strict=True)
                self._tags |= {(tag, value, now) for (tag, value), (_, now) in pairs if value != now}
        if changed:
            update = table.update().where(key == bindparam("row")).values(tags=bindparam("new"))
            await self._connection.execute(update, changed)

    async def _sweep(self) -> int:
        """Wherever else somebody may have written the id. Returns how many entries by hand named it."""
        swept = (requests, "session"), (feedback, "comment"), (keys, "name"), (keys, "run"), (runs, "reason")
        for table, column in (*swept, (alerts, "value")):
            await self._change(table, table.c[column], self._names.text)
        orphaned = reservations.c.state == "orphaned"  # those under way are over in a moment
        await self._change(reservations, reservations.c.origin, self._names.json, orphaned)
        entries = await self._change(adjustments, adjustments.c.value, self._names.text)
        return entries + await self._change(adjustments, adjustments.c.reason, self._names.text)

    async def _change(self, table: Table, column: Column[Any], change: Callable[[str], str], *where: Any) -> int:
        found = (
            await self._connection.execute(select(column).where(self._mentions(column), *where).distinct())
        ).scalars()
        count = 0
        for old in found.all():
            if (new := change(old)) != old:
                update = table.update().where(column == old, *where).values({column.name: new})
                count += int((await self._connection.execute(update)).rowcount)
        return count

    async def _rename_user(self, table: Table) -> int:
        there = table.c.end_user.in_(self._asked.users)
        update = table.update().where(there).values(end_user=self._names.pseudonym)
        return int((await self._connection.execute(update)).rowcount)

    def _mentions(self, column: Column[Any]) -> Any:
        return or_(*(column.contains(word, autoescape=True) for word in self._names.words))

    # --- counters ---

    async def _keep_aliases(self) -> None:
        """What leads from the names of counters to what the journal calls them now."""
        now_us = to_us(self._asked.now_s)
        await expire(self._connection, now_us)
        aliases = [
            Alias(Place(budget, old), new, _until_us(budget, self._asked.now_s))
            for budget in self._asked.budgets
            for old, new in self._renamed(budget)
            if budget.scope.value in (EACH, old)
        ]
        for part in _parts(list(self._names.runs.values())):
            known = select(runs.c.id, runs.c.closes_at_us).where(runs.c.id.in_(part))
            closing = {run: int(us) for run, us in await self._connection.execute(known)}
            aliases += [
                Alias(Place(None, old), new, max(now_us, closing[new]) + _RUN_KEPT_US)
                for old, new in self._names.runs.items()
                if new in closing
            ]
        await enter(self._connection, aliases, secrets.token_hex(16))

    def _renamed(self, budget: Budget) -> Collection[tuple[str, str]]:
        """What a budget's counters were called, and what the journal calls that now."""
        kind = budget.scope.kind
        if kind == "user":
            return [(user, self._names.pseudonym) for user in self._asked.users]
        if kind == "run":
            return list(self._names.runs.items())
        return [(old, new) for tag, old, new in self._tags if kind == "tag" and tag == budget.scope.tag]


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


def _until_us(budget: Budget, now_s: float) -> int:
    window = budget.window
    if window.period == "total":
        return _FOREVER_US
    if window.period == "rolling":
        return to_us(now_s + window.length_s + window.bucket_s) + _KEPT_US
    return to_us(window.at(now_s).end_s) + _KEPT_US


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[at : at + _AT_A_TIME] for at in range(0, len(names), _AT_A_TIME))
