"""What runs carve from their parents: reserved once, passed on as it is spent, given back as it is not. Pure."""

from __future__ import annotations

from gateway.ledger.claiming import carve_id
from gateway.ledger.counters import Counter
from gateway.ledger.held import Carve


class Carves:
    """The carves of all runs that are not forgotten."""

    def __init__(self, counters: dict[str, Counter]) -> None:
        self._counters = counters
        """The book's own: a carve reserves and posts there."""
        self._carves: dict[str, Carve] = {}

    def __contains__(self, id: str) -> bool:
        return id in self._carves

    def get(self, id: str) -> Carve | None:
        """The carve whose reservation has this id."""
        return self._carves.get(id)

    def all(self) -> list[Carve]:
        """Parents' carves stand before their sub-runs'."""
        return list(self._carves.values())

    def add(self, carve: Carve) -> None:
        """Reserve what is left of it."""
        self._carves[carve.id] = carve
        for counter in carve.counters:
            counter.reserved += carve.left

    def forget(self, run: str) -> None:
        """Drop the carve of a run. Late corrections still reach the parents through whoever spent it."""
        self._carves.pop(carve_id(run), None)

    def close(self, run: str, now_s: float) -> None:
        """Give back what no attempt under way has reserved."""
        carve = self._carves.get(carve_id(run))
        if carve is not None and not carve.closed:
            carve.closed = True
            self.spend(carve, 0, now_s)

    def spend(self, carve: Carve | None, money: int, now_s: float) -> None:
        """Pass on what an attempt spent (0: nothing; less than 0: a correction) to the scopes of the run's parents.

        In a closed run it also gives back what that attempt had reserved and did not spend.
        """
        while carve is not None:
            carve.spent += money
            left = max(0, carve.amount - carve.spent)
            if carve.closed:
                purse = self._counters.get(carve.purse)
                left = min(left, purse.reserved if purse is not None else 0)
            back = carve.left - left
            carve.left = left
            for index, counter in enumerate(carve.counters):
                if self._counters.get(counter.key) is not counter:  # dropped since, when nothing was reserved in it
                    counter = carve.counters[index] = self._counters.setdefault(counter.key, counter)  # noqa: PLW2901
                counter.reserved -= back
                counter.post(money, carve.at_s, now_s)
            carve = carve.via
