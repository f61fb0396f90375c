"""What an agent has done so far, as it sees it itself: the live table's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.demo.steps import BUDGET_SPENT, Seen
from routing.money import ZERO, NanoUsd


class Result(NamedTuple):
    """One call, done."""

    seen: Seen = Seen()
    request_id: str = ""
    """Farebox's id of the request; empty when there is none."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: NanoUsd = ZERO
    """What Farebox said that the call cost."""
    refused_key: bool = False
    """The key was refused: the call belongs to nobody and is in no journal."""


@dataclass(slots=True)
class Tally:
    """Running totals of one agent."""

    agent: str
    budget: NanoUsd | None = None
    """What it may spend."""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: NanoUsd = ZERO
    errors: int = 0
    refused_keys: int = 0
    denied: int = 0
    """Calls that its budget had no room for."""
    last: str = ""
    """The last thing it did, or the error that it got."""

    def add(self, doing: str, result: Result) -> None:
        """Count a call that has ended."""
        self.calls += 1
        self.input_tokens += result.input_tokens
        self.output_tokens += result.output_tokens
        self.cost = NanoUsd(self.cost + result.cost)
        self.errors += bool(result.seen.error)
        self.refused_keys += result.refused_key
        self.denied += result.seen.error.startswith(BUDGET_SPENT)
        self.last = result.seen.error or doing
