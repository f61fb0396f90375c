"""Streams under way whose extension found no room: they come before requests that have not begun.

What a request that is let in now takes would end an answer that is half written. So while a stream waits for more,
nothing new is admitted in its scopes; it is served by the next settlement there, or ended within a moment. This knows
the streams of its own gateway only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.ledger.operations import Claim


class Starved:
    """The starved streams of one gateway."""

    __slots__ = ("_by_reservation", "_fed")

    def __init__(self, fed: Callable[[], None]) -> None:
        """`fed` is called when a stream is starved no more."""
        self._by_reservation: dict[str, frozenset[str]] = {}
        self._fed = fed

    def __bool__(self) -> bool:
        return bool(self._by_reservation)

    def starves(self, reservation: str, claims: Iterable[Claim]) -> None:
        """There was no room for its extension."""
        if reservation not in self._by_reservation:
            self._by_reservation[reservation] = frozenset(claim.key for claim in claims if claim.calibrated)

    def ends(self, reservation: str) -> None:
        """It was extended, or is over."""
        if self._by_reservation.pop(reservation, None) is not None:
            self._fed()

    def before(self, claims: Iterable[Claim]) -> Claim | None:
        """A claim of a new request on a counter that a starved stream waits for, if there is one."""
        keys = frozenset[str]().union(*self._by_reservation.values())
        return next((claim for claim in claims if claim.key in keys), None)
