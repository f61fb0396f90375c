"""Runs that are opened, looked at and closed on purpose: what `/v1/runs` does, without any HTTP.

A run belongs to the agent whose key opens it; its sub-runs may be opened with the run's own key, which can do nothing
outside of it. Runs that requests merely name are opened by admission (`gateway.admission.runs`).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from gateway.admission.claims import Rulebook
from gateway.admission.runs import run_error
from gateway.config.snapshot import Agent, Snapshot
from gateway.errors import (
    BudgetExceeded,
    BudgetStoreUnavailable,
    FareboxError,
    InvalidField,
    NotFound,
    RunLimitExceeded,
    RunNotAllowed,
)
from gateway.identity.keys import KeyRecord, Principal
from gateway.ledger.budgets import NO_LIMITS, RunLimits
from gateway.ledger.operations import Opening, Origin, Run, RunRefused
from gateway.reports.budgets import Books
from gateway.reports.runs import RunReport, report
from gateway.store.protocol import StoreUnavailable
from routing.money import ZERO, NanoUsd, format_usd

_RUN_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RunAsked(NamedTuple):
    """What `POST /v1/runs` asks for."""

    id: str | None = None
    """Inside the key's agent; None makes one up."""
    parent: str | None = None
    """A run of the same agent, or any run as `agent/run`; a run's key has its own run as the parent if None."""
    parent_key: str | None = None
    """The parent's own key, for a parent that is another agent's."""
    limits: RunLimits = NO_LIMITS
    """Can only lower the agent's."""
    carve: NanoUsd = ZERO
    ttl_s: float | None = None


class OpenedRun(NamedTuple):
    """A run that was opened, or found, with a key of its own."""

    run: Run
    key: str | None
    """Shown this once; None where the gateway asks for no keys."""
    key_expires_at_s: float | None
    new: bool


class ClosedRun(NamedTuple):
    """A run that was closed."""

    run: Run
    given_back: NanoUsd
    """What was left of its carve; attempts under way give back theirs when they end."""


class Keys(Protocol):
    """Makes keys."""

    async def create(
        self,
        agent: str,
        name: str = "",
        allowed_models: frozenset[str] | None = None,
        expires_at_s: float | None = None,
        run: str | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key, of the one run `run`."""
        ...


class KnownRuns(Protocol):
    """What admission keeps in mind of runs."""

    def remember(self, run: Run) -> None:
        """A run was opened."""
        ...

    def forget(self, run: str) -> None:
        """A run is not what it was."""
        ...


class RunParts(NamedTuple):
    """What the service works with."""

    books: Books
    rulebook: Callable[[Snapshot], Rulebook]
    known: KnownRuns
    keys: Keys
    record: Callable[[str], KeyRecord | None]
    """A key by its public name."""
    principal: Callable[[bytes], Awaitable[Principal | None]]
    """Whose key it is."""


class RunService:
    """`/v1/runs`. Every method raises FareboxError for what the caller may not do or the store cannot."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._store = parts.books.store

    async def open(self, snapshot: Snapshot, principal: Principal, asked: RunAsked) -> OpenedRun:
        """Open a run and make a key for it. Opening one that exists finds it, if it is what was asked for."""
        agent = snapshot.agents[principal.agent]
        own, parent = await self._names(snapshot, principal, asked)
        opening = await self._opening(snapshot, agent, own, parent, asked)
        asked_at_s = self._store.now_s()
        answer = await asking(self._store.open_run(opening))
        if isinstance(answer, RunRefused):
            raise _refused(answer, opening)
        _check_found(answer, opening)
        self._parts.known.remember(answer)
        new = answer.opened_at_s >= asked_at_s
        if not snapshot.auth:
            return OpenedRun(answer, None, None, new)
        key, record = await self._make_key(snapshot, principal, answer)
        return OpenedRun(answer, key, record.expires_at_s, new)

    async def show(self, principal: Principal, name: str) -> RunReport:
        """A run of the caller's, and what was used in it."""
        [found] = await report(self._parts.books, [await self._of(principal, name)])
        return found

    async def close(self, principal: Principal, name: str) -> ClosedRun:
        """Close a run of the caller's and its sub-runs. Closing twice changes nothing and gives nothing back."""
        run = await self._of(principal, name)
        return await self.close_run(run.id, f"closed by the key {principal.key_id}")

    async def close_run(self, run_id: str, reason: str) -> ClosedRun:
        """Close any run, for an operator."""
        before = await asking(self._store.run(run_id))
        closed = None if before is None else await asking(self._store.close_run(run_id, reason))
        if before is None or closed is None:
            raise no_such_run(run_id)
        self._parts.known.forget(run_id)
        if not before.carve or before.state == "closed":
            return ClosedRun(closed, ZERO)
        counters = await asking(self._store.counters([f"k|{run_id}"]))
        taken = sum(counter.posted + counter.reserved for counter in counters)
        return ClosedRun(closed, NanoUsd(max(0, before.carve - taken)))

    async def adopt(self, snapshot: Snapshot, run_id: str) -> None:
        """Make a run of what was only a label in requests of an agent that exists, with that agent's limits."""
        agent_id, _, name = run_id.partition("/")
        agent = snapshot.agents.get(agent_id)
        if agent is None or _RUN_NAME.fullmatch(name) is None:
            raise no_such_run(run_id)
        # however many are open: an operator's brake always holds
        opening = Opening(run_id, None, agent.org, agent.id, agent.run_limits, snapshot.runs.ttl_s)
        opened = await asking(self._store.open_run(opening))
        if isinstance(opened, Run):
            self._parts.known.remember(opened)

    # --- opening ---

    async def _names(self, snapshot: Snapshot, principal: Principal, asked: RunAsked) -> tuple[str, str | None]:
        """The ids of the new run and of its parent."""
        own = f"{principal.agent}/{asked.id or _new_name()}"
        parent = principal.run if asked.parent is None else qualified(principal, asked.parent)
        if own in (principal.run, parent):
            raise InvalidField(f"The run `{own}` cannot be its own sub-run; `id` must name another.", param="id")
        if parent is None or parent == principal.run:
            return own, parent
        other = snapshot.agents.get(parent.partition("/")[0])
        if other is None or other.org != principal.org:
            raise no_such_run(parent, "parent")
        if principal.run is not None:
            raise RunNotAllowed(
                f"This key is the run's `{principal.run}`: it opens sub-runs of that run, and of no other.",
                param="parent",
            )
        if other.id != principal.agent and not await self._holds(principal, asked.parent_key, parent):
            raise RunNotAllowed(
                f"The run `{parent}` belongs to another agent: its sub-runs are opened with that run's own key, or "
                "with that key as `parent_key`.",
                param="parent",
            )
        return own, parent

    async def _holds(self, principal: Principal, parent_key: str | None, parent: str) -> bool:
        """Whether the caller has shown the key of a run."""
        if parent_key is None:
            return False
        holder = await self._parts.principal(parent_key.encode())
        return holder is not None and holder.run == parent and holder.org == principal.org

    async def _opening(
        self, snapshot: Snapshot, agent: Agent, own: str, parent: str | None, asked: RunAsked
    ) -> Opening:
        limits = agent.run_limits.lowered(asked.limits)
        ttl_s = snapshot.runs.ttl_s if asked.ttl_s is None else min(asked.ttl_s, snapshot.runs.ttl_s)
        opening = Opening(own, parent, agent.org, agent.id, limits, ttl_s, max_open=snapshot.runs.max_open)
        if not asked.carve:
            return opening
        if limits.cost is not None and asked.carve > limits.cost:
            raise InvalidField(
                f"`carve_usd` sets more aside than the run may cost, {format_usd(limits.cost)} USD.", param="carve_usd"
            )
        if parent is not None and parent.partition("/")[0] != agent.id:
            raise InvalidField("A run carves from runs and budgets of its own agent only.", param="carve_usd")
        above = await self._path(parent)
        claims, via = self._parts.rulebook(snapshot).carve_claims(agent, above, self._store.now_s())
        parents = ">".join(run.id for run in reversed(above))
        origin = Origin(opening.id, 0, agent.org, agent.team, agent.id, parents, None, (), "", "", "", "", False)
        return opening._replace(carve=asked.carve, carve_claims=claims, carve_via=via, carve_origin=origin)

    async def _path(self, parent: str | None) -> tuple[Run, ...]:
        """A run and its ancestors, the nearest first."""
        if parent is None:
            return ()
        run = await asking(self._store.run(parent))
        if run is None:
            raise no_such_run(parent, "parent")
        above = [await asking(self._store.run(name)) for name in run.path[1:]]
        return (run, *(found for found in above if found is not None))

    async def _make_key(self, snapshot: Snapshot, principal: Principal, run: Run) -> tuple[str, KeyRecord]:
        """A key for a run: it ends with the run, and neither outlives nor outranks the key that asks for it."""
        ends_s = min(run.ends_at_s, time.time() + snapshot.runs.key_ttl_s)
        asking_key = self._parts.record(principal.key_id)
        if asking_key is not None and asking_key.expires_at_s is not None:
            ends_s = min(ends_s, asking_key.expires_at_s)
        return await self._parts.keys.create(principal.agent, "", principal.allowed_models, ends_s, run.id)

    async def _of(self, principal: Principal, name: str) -> Run:
        """A run that the caller may look at and close: its agent's, or with a run's key that run and those below."""
        run_id = qualified(principal, name)
        run = await asking(self._store.run(run_id))
        if run is None or run.org != principal.org:
            raise no_such_run(run_id)
        if run.agent != principal.agent if principal.run is None else principal.run not in run.path:
            raise no_such_run(run_id)
        return run


_T = TypeVar("_T")


async def asking(answer: Awaitable[_T]) -> _T:
    """Wait for the store's answer; its being away is the caller's 503."""
    try:
        return await answer
    except StoreUnavailable as error:
        raise BudgetStoreUnavailable(
            f"Runs and budgets cannot be read or changed now ({error}); try again.", reason="store"
        ) from None


def qualified(principal: Principal, name: str) -> str:
    """A run's id, `agent/run`, for one that may be named without its agent."""
    return name if "/" in name else f"{principal.agent}/{name}"


def no_such_run(run: str, param: str | None = None) -> NotFound:
    """No such run, or it is not the caller's to know."""
    return NotFound(f"There is no run `{run}` here.", param=param)


def _new_name() -> str:
    return f"run_{secrets.token_hex(10)}"


def _check_found(run: Run, opening: Opening) -> None:
    """A run that was there already has to be what was asked for: nothing of it ever changes."""
    if run.state == "closed":
        raise RunLimitExceeded(
            f"The run `{run.id}` is closed. Start a new one.", reason="closed", scope=f"run:{run.id}"
        )
    if run.limits != opening.limits or run.carve != opening.carve:
        raise InvalidField(
            f"The run `{run.id}` is there already, with other limits, and those never change. Name a new one.",
            param="id",
        )


def _refused(refused: RunRefused, opening: Opening) -> FareboxError:
    if refused.cause == "parent_differs":
        return InvalidField(f"The run `{opening.id}` has another parent, and parents never change.", param="parent")
    if refused.cause != "carve":
        error = run_error(refused, opening.id, opening.parent)
        error.param = None if error.param is None else "parent"
        return error
    return BudgetExceeded(
        f"`{refused.scope}` has no room to set {format_usd(opening.carve)} USD aside for the run `{opening.id}`. "
        "Ask for less, or for none: the run then spends what its parents have left.",
        param="carve_usd",
        reason="carve",
        scope=refused.scope,
        limit_usd=format_usd(NanoUsd(refused.limit)),
    )
