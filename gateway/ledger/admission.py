"""Why a bid does not fit, or how much of it does. Pure: the slow part of an admission, after the quick one failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.ledger.counters import Counter
from gateway.ledger.operations import SEVERITY, Amounts, Bid, Claim, Denial, Rate, Unit

_RANK = {cause: rank for rank, cause in enumerate(SEVERITY)}


class Standing(NamedTuple):
    """A claim, its counter, and the limit that holds for both."""

    claim: Claim
    counter: Counter
    limit: int
    starved: bool = False
    """Whether what room there is is for a stream under way."""


class Squeezed(NamedTuple):
    """How much of a bid fits."""

    strict: Amounts
    calibrated: Amounts
    over: tuple[str, ...]
    """Keys of shadow claims whose whole amount does not."""


def squeeze(bid: Bid, standings: Iterable[Standing], waits: Iterable[tuple[Rate, float]]) -> Squeezed | Denial:
    """Lower a bid's amounts to the room there is, or say why even the least does not fit.

    `waits`: the rates and how many seconds the bid would have to wait for each.
    """
    ceilings = [list(bid.strict), list(bid.calibrated)]
    over: list[str] = []
    denials: list[Denial] = []
    for standing in standings:
        claim, counter, limit, starved = standing
        starved = starved and claim.enforced
        want = wanted(claim, bid.strict, bid.calibrated)
        room = limit - counter.posted - counter.reserved
        if want <= room and not starved:
            continue
        if not claim.enforced:
            over.append(claim.key)
            continue
        countable = claim.unit in (Unit.MONEY, Unit.TOKENS)
        least = min(want, bid.least[claim.unit]) if countable else want
        if room < least or starved:
            denials.append(_denial(standing, least))
        else:
            ceiling = ceilings[claim.calibrated]
            ceiling[claim.unit] = min(ceiling[claim.unit], room)
    denials += _too_soon(waits)
    if denials:
        return min(denials, key=lambda denial: _RANK[denial.cause])
    strict, calibrated = Amounts(*ceilings[0]), Amounts(*ceilings[1])
    calibrated = Amounts(min(calibrated.money, strict.money), min(calibrated.tokens, strict.tokens))
    return Squeezed(strict, calibrated, tuple(over))


def wanted(claim: Claim, strict: Amounts, calibrated: Amounts) -> int:
    """What a claim takes of these amounts."""
    if claim.unit in (Unit.MONEY, Unit.TOKENS):
        return (calibrated if claim.calibrated else strict)[claim.unit]
    return 1


def _denial(standing: Standing, least: int) -> Denial:
    claim, counter, limit, _ = standing
    if claim.unit == Unit.SLOTS:
        return Denial("slots", claim.key, claim.scope, limit, counter.posted, counter.reserved)
    spent = claim.unit == Unit.REQUESTS or least > limit - counter.posted
    return Denial("posted" if spent else "reserved", claim.key, claim.scope, limit, counter.posted, counter.reserved)


def _too_soon(waits: Iterable[tuple[Rate, float]]) -> Iterator[Denial]:
    """One denial for the longest wait."""
    rate, wait_s = max(waits, key=lambda each: each[1] if each[0].enforced else 0.0, default=(None, 0.0))
    if rate is not None and rate.enforced and wait_s > 0.0:
        yield Denial("rate", rate.key, rate.scope, rate.limit, 0, 0, wait_s)
