"""What goes wrong with providers, and when: drawn from a seed."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

KINDS: Final = (
    "refused",  # no connection
    "unanswered",  # no connection, and nobody says so
    "dropped",  # the connection breaks once the request is sent
    "status 500",
    "status 503",
    "status 429",  # with Retry-After
    "status 400",
    "status 401",
    "status 504",  # of a proxy that gave up: the provider bills what it made
    "stalled",  # no byte of an answer
    "stuck",  # begins, and stops without a word
    "cut",  # begins, and breaks
    "ended",  # begins, and ends as if that was all
    "failed",  # begins, and reports an error
    "garbled",  # an answer that is none
    "silent",  # never says what it used
    "slow",  # ten times slower
)


class Spell(NamedTuple):
    """A time in which something is wrong with a share of a provider's answers."""

    kind: str
    from_s: float
    until_s: float
    share: float

    def __str__(self) -> str:
        return f"{self.kind} {self.from_s:.1f}-{self.until_s:.1f} s x{self.share:.2f}"


class Weather:
    """One provider's spells. Times are seconds since the simulation began."""

    def __init__(self, spells: list[Spell]) -> None:
        self.spells = spells

    def strikes(self, at_s: float, chance: Random) -> str | None:
        """What goes wrong with a call that is made now."""
        for spell in self.spells:
            if spell.from_s <= at_s < spell.until_s and (spell.share >= 1 or chance.random() < spell.share):
                return spell.kind
        return None


def draw_weather(chance: Random, length_s: float, *, steady: bool) -> Weather:
    """Weather for so many seconds: outages that pass and, unless it is to be `steady`, small troubles all the time."""
    spells: list[Spell] = []
    at_s = chance.uniform(0, length_s / 2)
    while at_s < length_s:
        lasts_s = chance.uniform(length_s / 20, length_s / 3)
        share = chance.choice((1.0, 1.0, 0.5))
        spells.append(Spell(chance.choice(KINDS), at_s, at_s + lasts_s, share))
        at_s += lasts_s + chance.uniform(length_s / 10, length_s)
    if not steady:
        spells += [Spell(chance.choice(KINDS), 0, length_s * 10, chance.uniform(0.002, 0.03)) for _ in range(3)]
    return Weather(spells)
