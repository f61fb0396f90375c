"""Which run a request belongs to: a label of its client inside its key's agent, made a run of the store.

A run is opened at the first request that names it and kept in mind here, so that the store is asked once. What may
change of it, whether it is open, every admission looks at anew.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Protocol

from gateway.config.snapshot import Agent, Snapshot
from gateway.errors import (
    FareboxError,
    InvalidHeader,
    MissingField,
    NotFound,
    RunLimitExceeded,
    RunNotAllowed,
    ServiceUnavailable,
)
from gateway.identity.attribution import Attribution
from gateway.identity.keys import Principal
from gateway.ledger.budgets import NO_LIMITS
from gateway.ledger.operations import Opening, Run, RunRefused

KEPT_RUNS = 20_000
LABEL_S = 10.0
"""How long another gateway may take to notice that a run, which was only a label until then, was opened."""
RUN_HEADER = "x-farebox-run"
PARENT_HEADER = "x-farebox-parent-run"


class RunOpener(Protocol):
    """The part of a store that knows runs."""

    def open_run(self, opening: Opening) -> Awaitable[Run | RunRefused]:
        """Open a run, or find it."""
        ...

    def run(self, run: str) -> Awaitable[Run | None]:
        """A run as it stands, or None."""
        ...


class Runs:
    """The runs that this gateway's requests belong to."""

    def __init__(self, store: RunOpener) -> None:
        self._store = store
        self._known: OrderedDict[str, Run] = OrderedDict()
        self._labels: dict[str, float] = {}
        """Runs that the store does not know, and until when it is not asked again."""

    async def path_of(
        self, snapshot: Snapshot, agent: Agent, principal: Principal, attribution: Attribution
    ) -> tuple[Run, ...]:
        """The request's run and its ancestors, the nearest first; empty without one.

        Raises MissingField where the agent needs a run, RunNotAllowed for another agent's, RunLimitExceeded.
        """
        own, parent = names_of(principal, attribution)
        if own is None:
            if agent.require_run:
                raise MissingField(
                    f"The agent `{agent.id}` works in runs: name one in the header `{RUN_HEADER}`, or use a key from "
                    "POST /v1/runs.",
                    param=RUN_HEADER,
                )
            return ()
        run = self._known.get(own)
        if run is None or (parent is not None and run.path[1:2] != (parent,)):
            run = await self._open(snapshot, agent, own, parent)
        else:
            self._known.move_to_end(own)
        return (run, *[await self._ancestor(snapshot, name) for name in run.path[1:]])

    async def exists(self, run: str) -> bool:
        """Whether a run that a request names was opened on purpose: its limits hold then. Else it is a label only."""
        if run in self._known:
            return True
        now_s = time.monotonic()
        if now_s < self._labels.get(run, now_s):
            return False
        found = await self._store.run(run)
        if found is not None:
            self.remember(found)
            return True
        self._labels[run] = now_s + LABEL_S
        if len(self._labels) > KEPT_RUNS:
            del self._labels[next(iter(self._labels))]
        return False

    def remember(self, run: Run) -> None:
        """Keep a run that was opened elsewhere in this process."""
        self._labels.pop(run.id, None)
        known = self._known
        known[run.id] = run
        known.move_to_end(run.id)
        if len(known) > KEPT_RUNS:
            known.popitem(last=False)

    def forget(self, run: str) -> None:
        """The store says that it is not what it was: ask it the next time."""
        self._known.pop(run, None)

    async def _open(self, snapshot: Snapshot, agent: Agent, own: str, parent: str | None) -> Run:
        if parent is not None and parent not in self._known:
            await self._open(snapshot, agent, parent, None)
        answer = await self._store.open_run(
            Opening(
                own,
                parent,
                agent.org,
                agent.id,
                agent.run_limits,
                snapshot.runs.ttl_s,
                max_open=snapshot.runs.max_open,
            )
        )
        if isinstance(answer, RunRefused):
            raise run_error(answer, own, parent)
        self.remember(answer)
        return answer

    async def _ancestor(self, snapshot: Snapshot, name: str) -> Run:
        run = self._known.get(name)
        if run is None:
            agent_id = name.partition("/")[0]
            agent = snapshot.agents.get(agent_id)
            limits, org = (NO_LIMITS, "") if agent is None else (agent.run_limits, agent.org)
            answer = await self._store.open_run(Opening(name, None, org, agent_id, limits, snapshot.runs.ttl_s))
            if isinstance(answer, RunRefused):
                raise run_error(answer, name, None)
            self.remember(answer)
            run = answer
        return run


def names_of(principal: Principal, attribution: Attribution) -> tuple[str | None, str | None]:
    """The ids of the request's run and of its parent, as `agent/run`, or None.

    A key from `POST /v1/runs` is in its run, or, when the request names another one, in a sub-run of it. Raises
    RunNotAllowed when a parent is not the key's to name.
    """
    bound = principal.run
    own = None if attribution.run is None else f"{principal.agent}/{attribution.run}"
    parent = attribution.parent_run
    if parent is not None and "/" not in parent:
        parent = f"{principal.agent}/{parent}"
    if bound is not None:
        if own is None or own == bound:
            return bound, None
        if parent is not None and parent != bound:
            raise RunNotAllowed(
                f"This key is bound to the run `{bound}`: its sub-runs have that one as their parent.",
                param=PARENT_HEADER,
            )
        return own, bound
    if parent is not None and parent.partition("/")[0] != principal.agent:
        raise RunNotAllowed(
            f"The run `{parent}` belongs to another agent. Only a key of that run (POST /v1/runs) has sub-runs.",
            param=PARENT_HEADER,
        )
    if own is None or parent == own:
        return own, None
    return own, parent


def run_error(refused: RunRefused, run: str, parent: str | None) -> FareboxError:
    """Why a run was not opened, in words."""
    cause = refused.cause
    if cause == "depth":
        return RunLimitExceeded(
            f"The run `{run}` would lie {refused.limit + 1} levels below its root; {refused.limit} are allowed.",
            reason="depth",
            scope=refused.scope,
            limit=refused.limit,
        )
    if cause == "children":
        return RunLimitExceeded(
            f"The run `{parent}` has {refused.limit} sub-runs, as many as it may.",
            reason="children",
            scope=refused.scope,
            limit=refused.limit,
        )
    if cause == "too_many":
        return ServiceUnavailable(
            f"{refused.limit} runs are open, as many as may be (`runs.max_open`): the run `{run}` can be opened when "
            "others are closed or their time is over.",
            reason="open_runs",
            limit=refused.limit,
        )
    if cause == "parent_closed":
        return RunLimitExceeded(
            f"The run `{parent}` is closed or paused: it takes no sub-runs.", reason="closed", scope=f"run:{parent}"
        )
    if cause == "parent_differs":
        return InvalidHeader(f"The run `{run}` has another parent, and parents never change.", param=PARENT_HEADER)
    return NotFound(f"There is no run `{parent}` here.", param=PARENT_HEADER)
