"""Any store against the model, in any order of operations.

    class MyMachine(StoreMachine):
        def adapter(self) -> Adapter:
            return MyAdapter()

    TestMyStore = MyMachine.TestCase
    TestMyStore.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)

`tests/gateway/ledger/test_book.py` is the simplest example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import (
    Amounts,
    Bid,
    Claim,
    CounterState,
    Extension,
    Granted,
    Opening,
    Refused,
    Run,
    RunRefused,
    Ticket,
)
from gateway.ledger.windows import FOREVER_S
from routing.money import NanoUsd
from tests.gateway.store import world
from tests.gateway.store.model import Grant, Model, No

FORGOTTEN_S = 86_400.0
"""A store may drop the counters of a window that ended so long ago. No request is as old as that."""


class Adapter(Protocol):
    """What a store has to offer to be driven. Everything returns when it is applied, settlements too."""

    def now_s(self) -> float:
        """The store's time. It stands still between two calls of `advance`, and lies between 2**30 and 2**31."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass, then let the store do what it does in the background (ending runs that are due)."""
        ...

    def admit(self, ticket: Ticket) -> Granted | Refused: ...

    def extend(self, id: str, more: Amounts) -> Extension: ...

    def settle(self, id: str, spent: Amounts) -> None: ...

    def release(self, id: str) -> None: ...

    def orphan(self, id: str) -> None:
        """As when its gateway missed its heartbeats. Ids that are not pending are ignored."""
        ...

    def open_run(self, opening: Opening) -> Run | RunRefused: ...

    def run(self, run: str) -> Run | None: ...

    def close_run(self, run: str, reason: str) -> None: ...

    def pause_run(self, run: str, reason: str) -> None: ...

    def resume_run(self, run: str) -> None: ...

    def adjust(self, key: str, amount: int, entry: str) -> CounterState | None: ...

    def set_limit(self, key: str, limit: int, version: int) -> None:
        """As a reload of the configuration does. Keys that the store does not know are ignored."""
        ...

    def counters(self, keys: Sequence[str]) -> Sequence[CounterState]:
        """Those of them that the store knows; one that it does not know is zero."""
        ...

    def close(self) -> None:
        """Let go of everything; the next example has an adapter of its own."""
        ...


amounts = st.builds(Amounts, st.integers(0, 60), st.integers(0, 60))


class StoreMachine(RuleBasedStateMachine):
    """Drives one store and the model side by side, and compares them after every step."""

    def adapter(self) -> Adapter:
        """A fresh, empty store. Called once per example."""
        raise NotImplementedError

    @initialize(carved=st.booleans(), sub_carved=st.booleans())
    def start(self, carved: bool, sub_carved: bool) -> None:
        self.store = self.adapter()
        self.model = Model()
        self.limits = world.Limits()
        self.reloaded_s = self.store.now_s()
        self.tickets: list[Ticket] = []
        self.openings: list[Opening] = []
        self.claims: dict[str, Claim] = {}
        self.excess: dict[str, int] = {}
        self.may_exceed = False
        """Whether this step is one of those that may take a counter beyond its limit."""
        self.entries = 0
        limits = RunLimits(requests=6, tokens=900)
        self._open(None, RunLimits(), 0)
        self._open("researcher/run0", limits, 100 if carved else 0)
        self._open("researcher/run1", limits, 60 if sub_carved else 0)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    # --- attempts ---

    @rule(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        now_s = self.store.now_s()
        forgot = world.ROLLING in self.model.limits and not self.store.counters([world.ROLLING])
        old = not data.draw(st.integers(0, 4)) and now_s - self.reloaded_s < FORGOTTEN_S and not forgot
        limits = self.limits.older() if old else self.limits
        runs, via = self._spending(data.draw(st.integers(0, 6)))
        bids = data.draw(world.bids(limits, [self.model.runs[run] for run in runs], via, now_s))
        ticket = Ticket(f"request{len(self.tickets)}.1", bids, runs, via)
        self.tickets.append(ticket)
        for bid in bids:
            self.claims.update((claim.key, claim) for claim in bid.claims)
        expected, got = self.model.admit(ticket, now_s), self.store.admit(ticket)
        check_admission(expected, got, now_s)
        if isinstance(got, Granted):
            self._check_room(bids[got.bid])

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50))
    def admit_again(self, index: int) -> None:
        ticket = self._ticket(index)
        held = self.model.reservations.get(ticket.id)
        if held is None:
            return
        got = self.store.admit(ticket)
        if held.state == "pending":
            assert isinstance(got, Granted)
            assert (ticket.bids[got.bid], got.at_s, got.strict) == (held.bid, held.at_s, held.strict)
        else:
            assert isinstance(got, Refused)
            assert [denial.cause for denial in got.denials] == ["closed"] * len(ticket.bids)

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), more=amounts)
    def extend(self, index: int, more: Amounts) -> None:
        """Never beyond the upper bound."""
        id = self._ticket(index).id
        held = self.model.reservations.get(id)
        if held is not None:
            money, tokens = (held.strict[unit] - held.calibrated[unit] for unit in (0, 1))
            more = Amounts(min(more.money, money), min(more.tokens, tokens))
        assert self.store.extend(id, more) == self.model.extend(id, more, self.store.now_s())

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), spent=st.sampled_from((0.0, 0.5, 1.0, 1.5)), again=st.booleans())
    def settle(self, index: int, spent: float, again: bool) -> None:
        """Below, at or above what was set aside."""
        id = self._ticket(index).id
        held = self.model.reservations.get(id)
        aside = Amounts(10, 10) if held is None else held.set_aside()
        actual = Amounts(int(aside.money * spent), int(aside.tokens * spent) + 1)
        self.may_exceed = True
        for _ in range(1 + again):
            self.model.settle(id, actual, self.store.now_s())
            self.store.settle(id, actual)

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), again=st.booleans())
    def settle_within(self, index: int, again: bool) -> None:
        """A bill that is no higher than what was set aside takes no counter beyond its limit."""
        id = self._ticket(index).id
        held = self.model.reservations.get(id)
        if held is None or held.state != "pending":
            return
        for _ in range(1 + again):
            self.model.settle(id, held.set_aside(), self.store.now_s())
            self.store.settle(id, held.set_aside())

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), again=st.booleans())
    def release(self, index: int, again: bool) -> None:
        id = self._ticket(index).id
        held = self.model.reservations.get(id)
        # What a carve gets back of a charge that a rolling window has forgotten is reserved there once more.
        self.may_exceed = held is not None and held.state == "orphaned"
        for _ in range(1 + again):
            self.model.release(id, self.store.now_s())
            self.store.release(id)

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), again=st.booleans())
    def orphan(self, index: int, again: bool) -> None:
        id = self._ticket(index).id
        for _ in range(1 + again):
            self.model.orphan(id)
            self.store.orphan(id)

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), billed=st.booleans())
    def come_back(self, index: int, billed: bool) -> None:
        """A gateway that missed its heartbeats settles or releases after all."""
        id = self._ticket(index).id
        now_s = self.store.now_s()
        self.may_exceed = True
        self.model.orphan(id)
        self.store.orphan(id)
        if billed:
            self.model.settle(id, Amounts(7, 7), now_s)
            self.store.settle(id, Amounts(7, 7))
        else:
            self.model.release(id, now_s)
            self.store.release(id)

    @rule()
    def lose_heartbeat(self) -> None:
        """All that is pending loses its owner."""
        for ticket in self.tickets:
            self.model.orphan(ticket.id)
            self.store.orphan(ticket.id)

    # --- runs ---

    @rule(data=st.data(), parent=st.integers(0, 7), carved=st.booleans())
    def open_run(self, data: st.DataObject, parent: int, carved: bool) -> None:
        """A root, or a sub-run of one of the runs; of one that is not open, or does not exist, too."""
        path, _ = self._spending(parent)
        if any(self.store.now_s() >= self.model.runs[run].closes_at_s for run in path):
            return  # it may be forgotten by now
        named = path[0] if path else data.draw(st.sampled_from((None, None, None, "researcher/unknown")))
        ttl_s = data.draw(st.sampled_from((5.0, 600.0, 1e6)))
        carve = data.draw(st.integers(1, 60)) if carved else 0
        org = data.draw(st.sampled_from(("acme",) * 9 + ("other",)))
        spare = data.draw(st.none() | st.integers(-1, 1))
        most = None if spare is None else max(1, self.model.open_runs(self.store.now_s()) + spare)
        self._open(named, data.draw(world.run_limits), carve, ttl_s, org, most)

    @precondition(lambda self: self.openings)
    @rule(index=st.integers(0, 7), org=st.sampled_from(("acme", "other")), other_parent=st.booleans())
    def open_run_again(self, index: int, org: str, other_parent: bool) -> None:
        opening = self.openings[index % len(self.openings)]
        run = self.model.runs.get(opening.id)
        if run is None or self.store.now_s() >= run.closes_at_s:
            return
        parent = "researcher/other" if other_parent else opening.parent
        opening = opening._replace(org=org, parent=parent, limits=RunLimits(cost=NanoUsd(1)))
        check_run(self.model.open_run(opening, self.store.now_s()), self.store.open_run(opening))

    @precondition(lambda self: self.model.runs)
    @rule(index=st.integers(0, 7), again=st.booleans())
    def close_run(self, index: int, again: bool) -> None:
        run = self._run(index)
        for reason in ("done", "done again")[: 1 + again]:
            self.model.close_run(run, reason)
            self.store.close_run(run, reason)

    @precondition(lambda self: self.tickets)
    @rule(index=st.integers(0, 50), more=amounts)
    def close_run_under_way(self, index: int, more: Amounts) -> None:
        """Its attempts go on, but are not extended, and what they have reserved of a carve stays reserved."""
        ticket = self._ticket(index)
        if ticket.runs:
            self.model.close_run(ticket.runs[-1 - index % len(ticket.runs)], "stop")
            self.store.close_run(ticket.runs[-1 - index % len(ticket.runs)], "stop")
            self.extend(index, more)

    @precondition(lambda self: self.model.runs)
    @rule(index=st.integers(0, 7), again=st.booleans())
    def pause_run(self, index: int, again: bool) -> None:
        run = self._run(index)
        for reason in ("looping", "looping still")[: 1 + again]:
            self.model.change_run(run, "open", "paused", reason)
            self.store.pause_run(run, reason)

    @precondition(lambda self: self.model.runs)
    @rule(index=st.integers(0, 7))
    def resume_run(self, index: int) -> None:
        self.model.change_run(self._run(index), "paused", "open", "")
        self.store.resume_run(self._run(index))

    # --- people and time ---

    @rule(seconds=st.sampled_from((0.25, 1.0, 4.0, 20.0, 600.0, 3600.0, 90_000.0)))
    def advance(self, seconds: float) -> None:
        """Rates recover, windows change, buckets leave, runs end."""
        self.store.advance(seconds)
        self.model.pass_time(self.store.now_s())

    @rule(scale=st.sampled_from((0, 1, 2)), told=st.booleans())
    def reload(self, scale: int, told: bool) -> None:
        """Limits change; the store learns it by itself, or by the next claims."""
        self.limits = self.limits.changed(scale)
        self.reloaded_s = self.store.now_s()
        self.may_exceed = True
        if told:
            for claim in world.budgets(self.limits, self.store.now_s()):
                self.store.set_limit(claim.key, claim.limit, claim.version)
                self.model.set_limit(claim.key, claim.limit, claim.version)

    @rule(amount=st.integers(-40, 40), again=st.booleans(), index=st.integers(0, 5))
    def adjust(self, amount: int, again: bool, index: int) -> None:
        now_s = self.store.now_s()
        claims = [claim for claim in world.budgets(self.limits, now_s) if not claim.bucket_s]
        claim = claims[index % len(claims)]
        self.entries += 1
        self.may_exceed = True
        for _ in range(1 + again):
            known = self.model.adjust(claim, amount, f"entry{self.entries}", now_s)
            assert (self.store.adjust(claim.key, amount, f"entry{self.entries}") is not None) == known

    # --- what always holds ---

    @invariant()
    def counters_are_the_sum_of_their_entries(self) -> None:
        """P3, and equality with the model."""
        now_s = self.store.now_s()
        keys = [key for key in self.claims if self._remembered(key, now_s)]
        found = {state.key: state for state in self.store.counters(keys)}
        for key in keys:
            state = found.get(key)
            posted, reserved = (0, 0) if state is None else (state.posted, state.reserved)
            assert (posted, reserved) == (self.model.posted(key, now_s), self.model.reserved(key)), key
            if state is not None and key in self.model.limits and key != world.ROLLING:
                assert state.limit == self.model.limits[key][1], key

    @invariant()
    def nothing_goes_beyond_its_limit(self) -> None:
        """P1: only bills beyond what was set aside, corrections and lowered limits take a counter there."""
        excess = dict(self.excess)
        for state in self.store.counters(list(self.claims)):
            claim = self.claims[state.key]
            if claim.enforced:
                excess[state.key] = max(0, -state.room)
                assert self.may_exceed or excess[state.key] <= self.excess.get(state.key, 0), state
        self.excess = excess
        self.may_exceed = False

    @invariant()
    def runs_are_as_they_were_left(self) -> None:
        for run in self.model.runs.values():
            found = self.store.run(run.id)
            if self.store.now_s() < run.closes_at_s:
                assert found == run
            else:
                assert found is None or found.state == "closed"

    # --- helpers ---

    def _open(
        self,
        parent: str | None,
        limits: RunLimits,
        carve: int,
        ttl_s: float = 1e6,
        org: str = "acme",
        max_open: int | None = None,
    ) -> None:
        now_s = self.store.now_s()
        known = self.model.runs.get(parent or "")
        path = [] if known is None else [self.model.runs[run] for run in known.path]
        via = next((f"carve:{run.id}" for run in path if run.carve), None)
        claims = world.carve_claims(self.limits, path, via, NanoUsd(carve), now_s)
        id = f"researcher/run{len(self.openings)}"
        opening = Opening(id, parent, org, "researcher", limits, ttl_s, NanoUsd(carve), claims, via, None, max_open)
        self.openings.append(opening)
        self.claims.update((claim.key, claim) for claim in claims)
        check_run(self.model.open_run(opening, now_s), self.store.open_run(opening))

    def _ticket(self, index: int) -> Ticket:
        """Mostly a pending one or one of the orphans, of these the latest; else any."""
        at_stake = [t for t in self.tickets if self._state(t) in ("pending", "orphaned")]
        tickets = at_stake if at_stake and index % 4 else self.tickets
        return tickets[-1 - index // 4 % len(tickets)]

    def _state(self, ticket: Ticket) -> str | None:
        held = self.model.reservations.get(ticket.id)
        return None if held is None else held.state

    def _run(self, index: int) -> str:
        return list(self.model.runs)[index % len(self.model.runs)]

    def _spending(self, index: int) -> tuple[tuple[str, ...], str | None]:
        """A run with its ancestors, and the carve that it spends; or no run."""
        if index >= len(self.model.runs):
            return (), None
        path = self.model.runs[self._run(index)].path
        via = next((f"carve:{run}" for run in path if self.model.runs[run].carve), None)
        return path, via

    def _check_room(self, bid: Bid) -> None:
        """P1: whatever is beyond its limit, nothing is admitted on it."""
        enforced = [claim.key for claim in bid.claims if claim.enforced]
        for state in self.store.counters(enforced):
            assert state.room >= 0, state

    def _remembered(self, key: str, now_s: float) -> bool:
        if self.claims[key].end_s < FOREVER_S and now_s >= self.claims[key].end_s + FORGOTTEN_S:
            return False
        scope = self.claims[key].scope.removeprefix("run:")
        return scope not in self.model.runs or now_s < self.model.runs[scope].closes_at_s


def check_admission(expected: Grant | list[No], got: Granted | Refused, now_s: float) -> None:
    """The store's answer is one that the model allows."""
    if isinstance(expected, Grant):
        assert isinstance(got, Granted), got
        assert (got.bid, got.strict, got.calibrated) == (expected.bid, expected.strict, expected.calibrated)
        assert got.at_s == now_s
        assert set(got.over) == expected.over
        if expected.tightest is None:
            assert got.tightest is None
        else:
            assert got.tightest is not None
            assert got.tightest[0] in expected.tightest[0]
            assert got.tightest[1] == expected.tightest[1]
        assert [state.remaining for state in got.rates] == [remaining for remaining, _ in expected.rates]
        assert all(abs(s.reset_s - reset_s) < 1e-6 for s, (_, reset_s) in zip(got.rates, expected.rates, strict=True))
        return
    assert isinstance(got, Refused), got
    assert [denial.cause for denial in got.denials] == [no.cause for no in expected]
    for denial, no in zip(got.denials, expected, strict=True):
        assert denial.key in no.keys
        assert abs(denial.retry_after_s - no.retry_after_s) < 1e-6


def check_run(expected: Run | RunRefused, got: Run | RunRefused) -> None:
    """The same run, or a refusal for the same cause."""
    if isinstance(expected, Run) or isinstance(got, Run):
        assert got == expected
    else:
        assert got.cause == expected.cause
        assert got.limit == expected.limit
