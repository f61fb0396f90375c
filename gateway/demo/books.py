"""Do the books agree? The gateway's journal beside the provider's own bill, request by request. Pure.

Where the provider stated its usage, both must say the same to the nano-dollar. Where it could not (the client hung up,
the answer was cut, the provider forgot), Farebox charges an estimate and says so; these are compared apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from routing.money import ZERO, NanoUsd

NOBODY = "(not in the journal)"


class Request(NamedTuple):
    """A row of the journal's `requests`."""

    request_id: str
    agent: str
    failed: bool


class Charge(NamedTuple):
    """A row of the journal's `charges`."""

    request_id: str
    input_tokens: int
    output_tokens: int
    cost: NanoUsd
    estimated: bool


class BilledItem(NamedTuple):
    """A generation on the provider's bill."""

    request_id: str
    """The request's id as the provider was told it."""
    cost: NanoUsd


@dataclass(frozen=True, slots=True)
class Pair:
    """One sum of money, as two parties see it."""

    journal: NanoUsd = ZERO
    provider: NanoUsd = ZERO

    @property
    def difference(self) -> NanoUsd:
        """What the journal has more than the provider; negative when it has less."""
        return NanoUsd(self.journal - self.provider)

    def __add__(self, other: Pair) -> Pair:
        return Pair(NanoUsd(self.journal + other.journal), NanoUsd(self.provider + other.provider))


NOTHING = Pair()


@dataclass(slots=True)
class AgentBooks:
    """One agent's account."""

    agent: str
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    exact: Pair = NOTHING
    """Requests whose usage the provider stated, refused ones included."""
    estimates: int = 0
    estimated: Pair = NOTHING
    """Requests that Farebox had to estimate."""
    wrong: list[str] = field(default_factory=list)
    """Ids of exact requests whose two sums differ."""


@dataclass(frozen=True, slots=True)
class Books:
    """All accounts."""

    accounts: Sequence[AgentBooks]

    @property
    def total(self) -> AgentBooks:
        """The sum of all accounts."""
        total = AgentBooks("all")
        for account in self.accounts:
            total.requests += account.requests
            total.errors += account.errors
            total.input_tokens += account.input_tokens
            total.output_tokens += account.output_tokens
            total.exact += account.exact
            total.estimates += account.estimates
            total.estimated += account.estimated
            total.wrong += account.wrong
        return total

    @property
    def match(self) -> bool:
        """Whether every exact request costs the same in both books."""
        return not self.total.wrong


def compare(
    requests: Iterable[Request], charges: Iterable[Charge], bill: Iterable[BilledItem], agents: Iterable[str]
) -> Books:
    """Put the two books side by side. `agents` get an account even if they did nothing."""
    accounts = {name: AgentBooks(name) for name in agents}
    owner: dict[str, str] = {}
    for request in requests:
        owner[request.request_id] = request.agent
        account = accounts.setdefault(request.agent, AgentBooks(request.agent))
        account.requests += 1
        account.errors += request.failed
    charged: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        charged[charge.request_id].append(charge)
    billed: dict[str, int] = defaultdict(int)
    for item in bill:
        billed[item.request_id] += item.cost
    for request_id in dict.fromkeys([*charged, *billed]):
        name = owner.get(request_id, NOBODY)
        account = accounts.setdefault(name, AgentBooks(name))
        _enter(account, request_id, charged.get(request_id, []), NanoUsd(billed.get(request_id, 0)))
    return Books(list(accounts.values()))


def _enter(account: AgentBooks, request_id: str, charges: Sequence[Charge], billed: NanoUsd) -> None:
    pair = Pair(NanoUsd(sum(charge.cost for charge in charges)), billed)
    account.input_tokens += sum(charge.input_tokens for charge in charges)
    account.output_tokens += sum(charge.output_tokens for charge in charges)
    if any(charge.estimated for charge in charges):
        account.estimates += 1
        account.estimated += pair
        return
    account.exact += pair
    if pair.difference or account.agent == NOBODY:
        account.wrong.append(request_id)
