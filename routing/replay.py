"""One world of a backtest: who answers each recorded request in it, and what that costs there. Pure.

What another model would have cost is worked out like this:

- A request that goes to the model that really answered costs what it cost, to the nano-dollar.
- Another model is given the same input tokens, and answers at the length of `routing.lengths`, at today's prices.
- Cached input is paid as such while a conversation stays with one model, and in full right after a switch.
- What failed and repeated calls of the request cost is added unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from routing.caps import Cap, Spending
from routing.catalog import Model
from routing.lengths import Lengths
from routing.money import ZERO, NanoUsd, Usage, cost
from routing.recorded import BEGUN, Recorded, Running
from routing.weighing import ASSUMED_OUTPUT_TOKENS


class Placed(NamedTuple):
    """Where a request goes in a world, and what it costs there."""

    model: str
    """Empty: nobody answers."""
    cost: NanoUsd = ZERO
    refusal: str = ""
    """`budget`, or `gates`; empty where it is answered, or was not in reality either."""
    output_tokens: int = 0
    learned: bool = False
    """Whether the length of the answer is by a learned ratio."""


class World:
    """What has happened in a world so far."""

    def __init__(self, name: str, caps: Sequence[Cap] = ()) -> None:
        self.name = name
        self.spending = Spending(caps)
        self._runs: dict[str, Running] = {}
        self._latest: dict[str, str] = {}
        """By conversation, the model that answered last."""

    def running(self, row: Recorded) -> Running:
        """How far the request's run and budgets have come. Budgets: the one of which the least is left."""
        found = self._runs.get(row.run, BEGUN) if row.run else BEGUN
        budgets = self.spending.budgets(row)
        if not budgets:
            return found
        return found._replace(
            remaining_ratio=max(0.0, min(1 - budget.spent_share for budget in budgets)),
            burn_ratio=max(_burn(budget.spent_share, budget.elapsed_share) for budget in budgets),
        )

    def switches(self, row: Recorded, model: str) -> bool:
        """Whether the request's conversation had another model before."""
        latest = self._latest.get(row.conversation) if row.conversation else None
        return latest is not None and latest != model

    def enter(self, row: Recorded, placed: Placed, provider: str) -> None:
        """Note where a request went."""
        if not placed.model:
            return
        self.spending.post(self.spending.keys(row, placed.model, provider), placed.cost)
        if row.conversation:
            self._latest[row.conversation] = placed.model
        if row.run:
            before = self._runs.get(row.run, BEGUN)
            self._runs[row.run] = Running(NanoUsd(before.run_cost + placed.cost), before.run_steps + 1)


def _burn(spent_share: float, elapsed_share: float) -> float:
    return spent_share / elapsed_share if elapsed_share else 0.0


def priced(row: Recorded, model: Model, lengths: Lengths, *, switches: bool, switched: bool) -> Placed:
    """What a recorded request costs with `model`, whose first deployment has a price.

    `switches`: its conversation changes over to the model in this world; `switched`: it did in reality.
    """
    if not row.answered:
        return _unseen(row, model, lengths)
    lost = switches and not switched
    if model.name == row.model:
        if not lost:
            return Placed(model.name, row.cost, "", row.usage.output_tokens)
        more = _cost(row, model, _uncached(row.usage)) - _cost(row, model, row.usage)
        return Placed(model.name, NanoUsd(row.cost + max(0, more)), "", row.usage.output_tokens)
    length = lengths.assumed(row, model.name)
    usage = _uncached(row.usage) if lost else row.usage
    usage = usage._replace(
        output_tokens=length.tokens,
        output_audio_tokens=min(usage.output_audio_tokens, length.tokens),
        output_image_tokens=min(usage.output_image_tokens, length.tokens),
    )
    total = NanoUsd(_cost(row, model, usage) + row.other_cost)
    return Placed(model.name, total, "", length.tokens, length.learned)


def _unseen(row: Recorded, model: Model, lengths: Lengths) -> Placed:
    """A request that nobody answered: its size is an estimate, the length of its answer the usual one."""
    profile = row.profile
    usual = lengths.usual(row.agent, model.name)
    tokens = int(ASSUMED_OUTPUT_TOKENS) if usual is None else usual
    if profile.max_output_tokens:
        tokens = min(tokens, profile.max_output_tokens)
    usage = Usage(profile.input_tokens, tokens * profile.answers)
    return Placed(model.name, _cost(row, model, usage), "", usage.output_tokens, usual is not None)


def _cost(row: Recorded, model: Model, usage: Usage) -> NanoUsd:
    price = model.deployments[0].price
    assert price is not None  # noqa: S101 -- gates keep them off
    return cost(usage, price.at(usage.input_tokens, row.at_s, row.profile.service_tier))


def _uncached(usage: Usage) -> Usage:
    return usage._replace(cache_read_tokens=0, cache_read_audio_tokens=0)
