"""What counters still count under names that the journal has forgotten.

A counter knows a user, run or tag by its name until its window ends, while the journal has a pseudonym already. A row
here leads from one to the other: by a salted digest of the name, so that whoever has the name finds the pseudonym, and
nobody finds the name. Seeding and verifying ask here; a store that begins anew from the journal needs none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import select

from gateway.journal.engine import AsyncConnection
from gateway.journal.tables import forgotten
from gateway.ledger.budgets import Budget

CLIENTS_NAMES: Final = frozenset(("user", "run", "tag"))
"""Scopes whose values clients choose: these can be forgotten."""
_AT_A_TIME: Final = 500


class Place(NamedTuple):
    """A counter: of a budget, or, without one, of a run's own limits and carve."""

    budget: Budget | None
    value: str


class Alias(NamedTuple):
    """A counter's name, what the journal calls that now, and until when anybody asks."""

    place: Place
    name: str
    until_us: int


async def enter(connection: AsyncConnection, aliases: Iterable[Alias], salt: str) -> None:
    """Keep aliases, under a salt of their own."""
    rows = {
        (digest := _digest(salt, each.place), each.name): {
            "digest": digest, "name": each.name, "salt": salt, "until_us": each.until_us
        }
        for each in aliases
    }  # fmt: skip
    if rows:
        await connection.execute(forgotten.insert(), list(rows.values()))


async def names_of(connection: AsyncConnection, places: Collection[Place]) -> dict[Place, tuple[str, ...]]:
    """What the journal calls these counters beside their own names; those with no other are left out."""
    asked = [place for place in places if place.budget is None or place.budget.scope.kind in CLIENTS_NAMES]
    salts = [] if not asked else list((await connection.execute(select(forgotten.c.salt).distinct())).scalars())
    wanted = {_digest(salt, place): place for salt in salts for place in asked}
    found: dict[Place, tuple[str, ...]] = {}
    for part in _parts(list(wanted)):
        rows = select(forgotten.c.digest, forgotten.c.name).where(forgotten.c.digest.in_(part))
        for digest, name in await connection.execute(rows):
            place = wanted[digest]
            found[place] = (*found.get(place, ()), str(name))
    return found


async def expire(connection: AsyncConnection, now_us: int) -> None:
    """Drop those that nobody asks for any more."""
    await connection.execute(forgotten.delete().where(forgotten.c.until_us < now_us))


async def drop_all(connection: AsyncConnection) -> None:
    """All counters begin anew, by the names that the journal has now."""
    await connection.execute(forgotten.delete())


def _digest(salt: str, place: Place) -> str:
    budget = place.budget
    parts = ("!run", "", "", "")
    if budget is not None:
        window = budget.window
        parts = (budget.id, window.period, window.zone, str(window.length_s))
    return hashlib.sha256("\0".join((salt, *parts, place.value)).encode("utf-8", "surrogatepass")).hexdigest()


def _parts(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    return (digests[at : at + _AT_A_TIME] for at in range(0, len(digests), _AT_A_TIME))
