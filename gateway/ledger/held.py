"""What the book keeps of a reservation, and what it says of one that is resolved. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from gateway.ledger.claiming import carve_id
from gateway.ledger.counters import Counter
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, Origin, Ticket

NOTHING = Amounts(0, 0)


class Settled(NamedTuple):
    """What a settlement or a release did."""

    resolution: Literal["settled", "released", "correction", "none"]
    """`correction`: the reservation had been orphaned. `none`: there is no such reservation (any more): nothing was
    changed."""
    change: Amounts = NOTHING
    """What was posted. For a correction: the difference to what the orphaned reservation was charged."""
    reserved: int = 0
    """Money that was set aside for it in the end, in nano-USD; 0 where no counter of money governs it."""
    overrun: int = 0
    """Money posted beyond that, in nano-USD; 0 for a correction."""
    at_s: float = 0.0
    """The store's time, in whose windows it counts: when it was reserved, or when the outermost carve it spends was."""
    reserved_at_s: float = 0.0
    """When it was reserved, where that is another moment: what no carve holds counts in its windows. Else 0."""


class Orphaned(NamedTuple):
    """What a reservation without an owner was charged."""

    charged: Amounts
    origin: Origin
    at_s: float
    """As for `Settled`."""


class Pending(NamedTuple):
    """A pending reservation, complete enough to be restored: `granted` counts in the only bid of `ticket`."""

    ticket: Ticket
    granted: Granted
    """Its calibrated amounts include what was extended since."""


class Carved(NamedTuple):
    """All that a carve needs, besides its run, to be restored."""

    claims: tuple[Claim, ...]
    via: str | None
    """The parent's own carve."""
    spent: int
    """Nano-USD that the run has spent of it so far."""


class Carve:
    """Money that a run took out of its parents' scopes: reserved there, and given back as the run does not spend it."""

    __slots__ = ("amount", "at_s", "claims", "closed", "counters", "left", "purse", "run", "spent", "via")

    def __init__(self, run: str, amount: int, at_s: float, claims: tuple[Claim, ...], via: Carve | None) -> None:
        self.run = run
        self.amount = amount
        self.at_s = at_s
        self.claims = claims
        self.counters: list[Counter] = []
        """Of `claims`, in their order."""
        self.via = via
        """The parent's own carve."""
        self.purse = f"k|{run}"
        """Key of the counter that the run's attempts spend from: what it has reserved is still under way."""
        self.left = amount
        """Reserved in `counters` now."""
        self.spent = 0
        self.closed = False

    @property
    def id(self) -> str:
        """Its reservation's."""
        return carve_id(self.run)


class Held:
    """A pending or orphaned reservation."""

    __slots__ = ("amounts", "bid", "calibrated", "carve", "counters", "granted", "id", "is_plain", "runs", "starved")

    def __init__(self, ticket: Ticket, granted: Granted, counters: list[Counter], amounts: list[int]) -> None:
        self.id = ticket.id
        self.runs = ticket.runs
        self.bid: Bid = ticket.bids[granted.bid]
        self.granted = granted
        self.counters = counters
        """Of the bid's claims, in their order. Others may have the same list: it is never changed."""
        self.amounts = amounts
        """Reserved in each of them."""
        self.calibrated: Amounts | None = None
        """With all extensions; None when no claim is calibrated."""
        self.carve: Carve | None = None
        """Whose money it spends."""
        self.starved = False
        """Whether its last extension found no room: in the counters that had none it comes first."""
        self.is_plain = False
        """Whether all that it counts in is money, and what is spent is simply added."""

    def charge(self) -> Amounts:
        """What it is charged when nobody settles it: all that was set aside in each of its counters."""
        strict, calibrated = self.granted.strict, self.calibrated
        if calibrated is None:
            return strict
        return Amounts(min(strict.money, calibrated.money), min(strict.tokens, calibrated.tokens))

    def at_s(self) -> float:
        """The moment in whose windows it counts."""
        carve = self.carve
        if carve is None:
            return self.granted.at_s
        while carve.via is not None:
            carve = carve.via
        return carve.at_s

    def own_at_s(self) -> float:
        """When it was reserved, where it counts at another moment too; else 0."""
        reserved_at_s = self.granted.at_s
        return 0.0 if self.carve is None or reserved_at_s == self.at_s() else reserved_at_s

    def pending(self) -> Pending:
        """All that is needed to restore it."""
        granted = self.granted._replace(bid=0)
        if self.calibrated is not None:
            granted = granted._replace(calibrated=self.calibrated)
        via = None if self.carve is None else self.carve.id
        return Pending(Ticket(self.id, (self.bid,), self.runs, via), granted)
