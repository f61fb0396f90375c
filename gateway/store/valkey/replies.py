"""What Lua answers, as the values that the rest of the gateway knows. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.ledger.operations import (
    SEVERITY,
    Amounts,
    Bid,
    Cause,
    CounterState,
    Denial,
    Granted,
    RateState,
    Refused,
    RunRefused,
    Ticket,
    Unit,
)
from gateway.limits import gcra

MICROS: Final = 1_000_000
_RANK: Final[dict[str, int]] = {cause: rank for rank, cause in enumerate(SEVERITY)}
_unpack = msgspec.msgpack.decode


def granted(ticket: Ticket, payload: bytes) -> Granted:
    """The answer to an admission that was granted."""
    words = payload.split()
    number = int(words[0])
    bid = ticket.bids[number]
    at_s = int(words[1]) / MICROS
    tightest = int(words[6])
    overs = int(words[8])
    over: tuple[str, ...] = ()
    if overs:
        over = tuple(bid.claims[int(word) - 1].key for word in words[9 : 9 + overs])
    rates: tuple[RateState, ...] = ()
    if bid.rates:
        rates = tuple(map(_rate_state, bid.rates, words[9 + overs :], (at_s,) * len(bid.rates)))
    return Granted(
        number,
        at_s,
        Amounts(int(words[2]), int(words[3])),
        Amounts(int(words[4]), int(words[5])),
        (bid.claims[tightest - 1].scope, int(words[7])) if tightest else None,
        over,
        rates,
    )


def _rate_state(rate: Any, word: bytes, now_s: float) -> RateState:
    tat_s = float(word)
    left = gcra.remaining(tat_s, now_s, rate.limit, rate.period_s, rate.burst)
    return RateState(rate, left, tat_s - now_s)


def refused(ticket: Ticket, payload: bytes) -> Refused:
    """The answer to an admission for which no bid had room."""
    return Refused(tuple(_denial(bid, found) for bid, found in zip(ticket.bids, _unpack(payload), strict=True)))


def _denial(bid: Bid, failures: list[list[Any]]) -> Denial:
    denials = [_of_claim(bid, failure) for failure in failures if failure[0] == "claim"]
    waits = [(float(failure[2]), failure[1]) for failure in failures if failure[0] == "rate"]
    if waits:
        wait_s, index = max(waits, key=lambda each: each[0])
        rate = bid.rates[index - 1]
        denials.append(Denial("rate", rate.key, rate.scope, rate.limit, 0, 0, wait_s))
    return min(denials, key=lambda denial: _RANK[denial.cause])


def _of_claim(bid: Bid, failure: list[Any]) -> Denial:
    claim = bid.claims[failure[1] - 1]
    limit, posted, room, bar = map(int, failure[2:6])
    cause: Cause
    if claim.unit == Unit.SLOTS:
        cause = "slots"
    else:
        cause = "posted" if claim.unit == Unit.REQUESTS or bar > limit - posted else "reserved"
    return Denial(cause, claim.key, claim.scope, limit, posted, limit - posted - room)


def blocked(ticket: Ticket, payload: bytes) -> Refused:
    """The answer to an admission whose runs are not all open."""
    words = payload.decode().split()
    causes = [(_RANK[cause], int(index)) for cause, index in zip(words[::2], words[1::2], strict=True)]
    rank, index = min(causes)
    run = ticket.runs[index - 1]
    return _all(ticket, Denial(SEVERITY[rank], run, f"run:{run}", 0, 0, 0))


def resolved(ticket: Ticket) -> Refused:
    """The answer to an admission whose id is not pending any more."""
    return _all(ticket, Denial("closed", ticket.id, "", 0, 0, 0))


def carve_gone(ticket: Ticket) -> Refused:
    """The answer to an admission whose carve does not exist (any more)."""
    return _all(ticket, Denial("closed", ticket.via or "", "", 0, 0, 0))


def _all(ticket: Ticket, denial: Denial) -> Refused:
    return Refused((denial,) * len(ticket.bids))


def run_refused(payload: bytes) -> RunRefused:
    """The answer to an opening that was refused."""
    cause, scope, limit = _unpack(payload)
    return RunRefused(cause, scope, int(limit))


def counters(payload: bytes) -> list[CounterState]:
    """Counters that were asked for."""
    found = []
    for key, unit, scope, *numbers in _unpack(payload) or ():
        limit, posted, room = map(int, numbers)
        found.append(CounterState(key, Unit(int(unit)), scope, limit, posted, limit - posted - room))
    return found
