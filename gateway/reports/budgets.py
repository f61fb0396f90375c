"""Budgets as they stand, and what operators do to them: entries of the ledger, never edits."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from sqlalchemy import select

from gateway.config.snapshot import Snapshot
from gateway.errors import BudgetStoreUnavailable, InvalidField, NotFound
from gateway.identity.attribution import adapt_id
from gateway.journal.database import Database
from gateway.journal.rows import adjustment_of
from gateway.journal.sessions import reading
from gateway.journal.spend import spent
from gateway.journal.tables import adjustments
from gateway.ledger.budgets import Budget
from gateway.ledger.report import BudgetLine, counter_key, value_of
from gateway.ledger.scopes import EACH, SHARED
from gateway.ledger.windows import Span
from gateway.store.protocol import Store, StoreUnavailable
from gateway.telemetry.events import Adjusted, Event
from routing.money import NanoUsd, format_usd

MAX_VALUE_CHARS = 256


class Books(NamedTuple):
    """Where the books are."""

    store: Store
    database: Callable[[], Database]
    record: Callable[[Event], None]
    """Hands an entry to the journal."""
    flush: Callable[[], Awaitable[None]]
    """Returns when everything recorded so far is in the journal. Raises JournalError."""


class Asked(NamedTuple):
    """Which counter of which budget."""

    budget: str
    value: str | None = None
    """Needed where the scope is `*`."""


class Entry(NamedTuple):
    """What was entered, and the counter as it stands now."""

    entry: Adjusted
    line: BudgetLine


async def budget_lines(
    books: Books, snapshot: Snapshot, budget: str | None = None, scope: str | None = None
) -> list[BudgetLine]:
    """The counters of the present windows, in the configuration's order.

    `budget`: only that one's; `scope`: only those of a scope such as `agent:researcher`, or of a kind such as `agent`.
    Raises NotFound for an unknown budget, BudgetStoreUnavailable, JournalError.
    """
    chosen = snapshot.budgets if budget is None else (_budget(snapshot, budget),)
    try:
        states = {state.key: state for state in await books.store.counters()}
    except StoreUnavailable as error:
        raise _unavailable(error) from None
    now_s = books.store.now_s()
    lines: list[BudgetLine] = []
    for one in chosen:
        span = one.window.at(now_s)
        values = {found for key in states if (found := value_of(key, one, span.id)) is not None}
        if one.scope.value != EACH:
            values.add(one.scope.value)
        for value in sorted(values):
            state = states.get(counter_key(one, value, span))
            if state is None:  # nobody has asked for it since the start: the journal knows
                posted = await journal_says(books, one, value, span, now_s)
                lines.append(BudgetLine(one, value, span, one.limit, posted, 0, now_s))
            else:
                lines.append(BudgetLine(one, value, span, state.limit, state.posted, state.reserved, now_s))
    return [line for line in lines if scope in (None, line.scope, line.budget.scope.kind)]


async def alerting_lines(books: Books, snapshot: Snapshot) -> list[BudgetLine]:
    """The counters in use of the budgets that have `alert_at` shares. Raises BudgetStoreUnavailable."""
    alerting = [budget for budget in snapshot.budgets if budget.alert_at]
    if not alerting:
        return []
    try:
        states = await books.store.counters()
    except StoreUnavailable as error:
        raise _unavailable(error) from None
    now_s = books.store.now_s()
    lines = []
    for budget in alerting:
        span = budget.window.at(now_s)
        for state in states:
            if (value := value_of(state.key, budget, span.id)) is not None:
                lines.append(BudgetLine(budget, value, span, state.limit, state.posted, state.reserved, now_s))
    return lines


async def adjust(
    books: Books, snapshot: Snapshot, asked: Asked, amount: int, *, reason: str, entry_id: str | None = None
) -> Entry:
    """Count `amount` nano-USD as spent in a budget's present window; a negative amount gives money back.

    The entry goes into the journal first, then into the counter: once for each entry id, so that what was interrupted
    can be sent again. Raises NotFound, InvalidField, BudgetStoreUnavailable, JournalError.
    """
    budget = _budget(snapshot, asked.budget)
    value = _value(budget, asked.value)
    if entry_id is not None and (earlier := await _entry(books, entry_id)) is not None:
        if (earlier.budget, earlier.value, earlier.amount_nano_usd) != (budget.id, value, amount):
            raise InvalidField(f"There is another entry with the id `{entry_id}`.", param="id")
        return await _enter(books, snapshot, budget, earlier, new=False)
    if amount < 0 and (posted := (await _line(books, snapshot, budget, value)).posted) + amount < 0:
        raise InvalidField(
            f"Only {format_usd(NanoUsd(posted))} USD are spent in this window: more cannot be given back. To allow "
            "more, raise the budget's `limit_usd`.",
            param="amount_usd",
        )
    now_s = books.store.now_s()
    entry = Adjusted(entry_id or _new_id(), now_s, budget.id, value, now_s, amount, reason, "admin")
    return await _enter(books, snapshot, budget, entry, new=True)


async def reset(books: Books, snapshot: Snapshot, asked: Asked, *, reason: str, entry_id: str | None = None) -> Entry:
    """Give back all that is posted in a budget's present window; what requests under way reserve stays.

    Raises as `adjust` does, and InvalidField for a rolling budget: the entry would outlive the spend that it takes
    back, and so make room for more than the limit.
    """
    budget = _budget(snapshot, asked.budget)
    if budget.window.period == "rolling":
        raise InvalidField(
            f"The budget `{budget.id}` is rolling: it frees itself as its spend grows old, and cannot be reset. "
            "An adjustment can give some of it back.",
            param="budget",
        )
    if entry_id is not None and (earlier := await _entry(books, entry_id)) is not None:
        if (earlier.budget, earlier.value) != (budget.id, _value(budget, asked.value)):
            raise InvalidField(f"There is another entry with the id `{entry_id}`.", param="id")
        return await _enter(books, snapshot, budget, earlier, new=False)
    value = _value(budget, asked.value)
    line = await _line(books, snapshot, budget, value)
    return await adjust(books, snapshot, Asked(budget.id, value), -line.posted, reason=reason, entry_id=entry_id)


async def _enter(books: Books, snapshot: Snapshot, budget: Budget, entry: Adjusted, *, new: bool) -> Entry:
    if new:
        books.record(entry)
        await books.flush()
    key = counter_key(budget, entry.value, budget.window.at(entry.window_at_s))
    try:
        await books.store.adjust(key, entry.amount_nano_usd, entry.entry_id)
    except StoreUnavailable as error:
        raise _unavailable(error) from None
    return Entry(entry, await _line(books, snapshot, budget, entry.value))


async def _line(books: Books, snapshot: Snapshot, budget: Budget, value: str) -> BudgetLine:
    for line in await budget_lines(books, snapshot, budget.id):
        if line.value == value:
            return line
    now_s = books.store.now_s()
    span = budget.window.at(now_s)
    return BudgetLine(
        budget, value, span, budget.limit, await journal_says(books, budget, value, span, now_s), 0, now_s
    )


async def journal_says(books: Books, budget: Budget, value: str, span: Span, now_s: float) -> int:
    """What is spent in a window of one of a budget's counters, in nano-USD. Raises JournalError."""
    await books.flush()
    return total(await spent(books.database(), budget, span, now_s, value), value)


def total(found: dict[str, int | dict[int, int]], value: str) -> int:
    """What `spent` found for one counter, the buckets of a rolling one together."""
    posted = found.get(value, 0)
    return posted if isinstance(posted, int) else sum(posted.values())


async def _entry(books: Books, entry_id: str) -> Adjusted | None:
    await books.flush()
    async with reading(books.database().engine) as connection:
        row = (await connection.execute(select(adjustments).where(adjustments.c.id == entry_id))).first()
    return None if row is None else adjustment_of(row)


def _budget(snapshot: Snapshot, name: str) -> Budget:
    for budget in snapshot.budgets:
        if budget.id == name:
            return budget
    known = ", ".join(f"`{budget.id}`" for budget in snapshot.budgets) or "none"
    raise NotFound(f"There is no budget `{name}`. The configuration has: {known}.", param="budget")


def _value(budget: Budget, value: str | None) -> str:
    scope = budget.scope
    if value and scope.kind == "user" and value != SHARED and len(value) <= MAX_VALUE_CHARS and value.isprintable():
        value = adapt_id(value)  # as requests of that user are counted (docs/adr/0005)
    if scope.value == EACH:
        if not value:
            raise InvalidField(
                f"The budget `{budget.id}` keeps a counter for each {scope.kind}: say which one.", param="value"
            )
        if len(value) > MAX_VALUE_CHARS or not value.isprintable():
            raise InvalidField(f"`value` must be at most {MAX_VALUE_CHARS} printable characters.", param="value")
        if value == SHARED and budget.when_missing != "shared":
            raise InvalidField(f"The budget `{budget.id}` has no counter `{SHARED}`.", param="value")
    elif value is not None and value != scope.value:
        raise InvalidField(f"The budget `{budget.id}` has one counter only, that of `{scope}`.", param="value")
    return value or scope.value


def _unavailable(error: StoreUnavailable) -> BudgetStoreUnavailable:
    return BudgetStoreUnavailable(f"Budgets cannot be read or changed now ({error}); try again.", reason="store")


def _new_id() -> str:
    return f"adj_{secrets.token_hex(12)}"
