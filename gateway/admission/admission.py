"""The stage `admit`: an attempt's candidates become a ticket, the store's answer a permit, a wait or an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import NamedTuple

from gateway.admission.asking import Asking
from gateway.admission.bids import Asked, Offer, is_meterable, offer
from gateway.admission.claims import LabelMissing, Rulebook
from gateway.admission.demand import Demand
from gateway.admission.labels import describe, header_of
from gateway.admission.notices import Notices
from gateway.admission.origins import origin_of
from gateway.admission.permit import Keepers, Learner, Permit
from gateway.admission.queue import FairQueue, QueueFull
from gateway.admission.refusals import error_for, is_too_quick, rate_headers, soonest, waits
from gateway.admission.runs import Runs
from gateway.admission.turn import Turn
from gateway.config.snapshot import Snapshot
from gateway.context import RequestContext
from gateway.errors import BadRequest, BudgetStoreUnavailable, CostUnbounded, MissingField
from gateway.ledger.claiming import carve_id
from gateway.ledger.operations import Denial, Granted, OutsideWindow, Refused, Run, Ticket
from gateway.ledger.scopes import Labels
from gateway.reply import ClientGone, Reply
from gateway.store.protocol import AtOnce, Store, StoreUnavailable
from gateway.telemetry.recorder import Recorder
from routing.money import NanoUsd, format_usd


class Reserved(NamedTuple):
    """A reservation that was granted."""

    id: str
    offer: Offer
    granted: Granted


class Admission:
    """Admits the attempts of one gateway."""

    def __init__(
        self,
        store: Store,
        learned: Learner,
        recorder: Recorder,
        *,
        shared: bool = False,
        at_once: AtOnce | None = None,
    ) -> None:
        """`shared`: other gateways use the store too. Then every charge goes through it, governed or not.

        `at_once`: the same store, if it may have an answer without anything to wait for. That is tried first.
        """
        self._shared = shared
        self._quick = at_once
        self._store = store
        self._learned = learned
        self._asking = Asking(store)
        self._notices = Notices(recorder)
        self.runs = Runs(store)
        self.queue = FairQueue(polls=shared)
        self._keepers = Keepers(store, learned)
        self._rules: tuple[Snapshot, Rulebook] | None = None
        store.on_room(self.queue.wake)

    def rulebook(self, snapshot: Snapshot) -> Rulebook:
        """The rules of a snapshot; those of the latest one asked for are kept."""
        rules = self._rules
        if rules is None or rules[0] is not snapshot:
            rules = self._rules = (snapshot, Rulebook(snapshot))
        return rules[1]

    def governs(self, context: RequestContext) -> bool:
        """Whether anything can govern a request. What nothing governs needs no admission: the usual case."""
        principal, attribution = context.principal, context.attribution
        assert principal is not None  # noqa: S101 -- guards a programming error
        return (
            self._shared
            or principal.agent not in self.rulebook(context.snapshot).ungoverned
            or attribution.run is not None
            or attribution.parent_run is not None
            or principal.run is not None
            or (context.route is not None and self.rulebook(context.snapshot).has_capacity(context.route.candidates))
        )

    async def admit(self, context: RequestContext, reply: Reply, turn: Turn) -> Permit | None:
        """Admit an attempt of a routed request. None: nothing governs it.

        Raises FareboxError when it may not go on, ClientGone when its client left while it waited.
        """
        try:
            runs = await self._runs_of(context) if self._may_have_runs(context) else ()
            if not (runs or self._shared) and self.rulebook(context.snapshot).is_empty:
                return None
            permit = self._at_once(context, runs, turn)
            if permit is not None:
                return permit
            demand = self._demand(context, runs, turn)
            if not (runs or self._shared or _counts(demand.offers)):
                return None
            granted = await self._enter(context, demand, reply)
        except StoreUnavailable as error:
            raise BudgetStoreUnavailable(
                f"What is spent cannot be known now ({error}), so nothing that a budget covers is called. Try again.",
                reason="store",
            ) from None
        except LabelMissing as missing:
            raise _label_error(missing) from None
        found = Reserved(demand.ticket.id, demand.offers[granted.bid], granted)
        return self._permit(context, found, runs, bounded=demand.bounded)

    def _at_once(self, context: RequestContext, runs: tuple[Run, ...], turn: Turn) -> Permit | None:
        """What the store grants in full and at once, while nobody waits; None: it has to be asked again, and better."""
        quick = self._quick
        if quick is None or self.queue.waiting:
            return None
        for deployment in turn.candidates:
            if deployment.metering is not None:  # what a metered stream is content with has to be found out
                return None
        now_s = self._store.now_s()
        offers, ticket = self._offers(context, runs, turn, now_s, whole=True)
        if not (runs or _counts(offers)):
            return None
        try:
            granted = quick.admit_at_once(ticket, now_s)
        except OutsideWindow:
            return None
        if not isinstance(granted, Granted):
            return None
        return self._permit(context, Reserved(ticket.id, offers[granted.bid], granted), runs)

    def _permit(
        self, context: RequestContext, reserved: Reserved, runs: Sequence[Run], *, bounded: bool = False
    ) -> Permit:
        """The permit for what is reserved, with what its client is told."""
        granted = reserved.granted
        try:
            permit = Permit(self._keepers, *reserved, bounded=bounded)
            for run in runs:  # up to the root: the outermost carve is the one that holds the parents' money
                if run.carve:
                    permit.window_at_s = run.opened_at_s
            permit.headers = _headers(permit)
            if permit.clamped or granted.over or (granted.rates and self.rulebook(context.snapshot).has_shadow_rates):
                self._notices.permit(context, permit)
        except BaseException:
            self._store.release(reserved.id)
            raise
        return permit

    def _may_have_runs(self, context: RequestContext) -> bool:
        """Whether a request is in a run, or has to be."""
        principal, attribution, snapshot = context.principal, context.attribution, context.snapshot
        assert principal is not None  # noqa: S101 -- guards a programming error
        return (
            attribution.run is not None
            or principal.run is not None
            or attribution.parent_run is not None
            or self.rulebook(snapshot).follows_runs(snapshot.agents[principal.agent])
        )

    async def _runs_of(self, context: RequestContext) -> tuple[Run, ...]:
        principal, attribution, snapshot = context.principal, context.attribution, context.snapshot
        assert principal is not None  # noqa: S101 -- guards a programming error
        agent = snapshot.agents[principal.agent]
        if principal.run is None and attribution.parent_run is None and not self.rulebook(snapshot).follows_runs(agent):
            run = attribution.run
            if run is None or not await self.runs.exists(f"{agent.id}/{run}"):
                return ()
        return await self.runs.path_of(snapshot, agent, principal, attribution)

    def _demand(self, context: RequestContext, runs: tuple[Run, ...], turn: Turn) -> Demand:
        def make() -> tuple[list[Offer], Ticket]:
            return self._offers(context, runs, turn, self._store.now_s())

        return Demand(make, context.snapshot.queue.wait_s if turn.patient else 0.0)

    def _offers(
        self, context: RequestContext, runs: tuple[Run, ...], turn: Turn, now_s: float, *, whole: bool = False
    ) -> tuple[list[Offer], Ticket]:
        """What may be reserved, in order. `whole`: nothing less than the whole amount will do, for a first question."""
        snapshot, principal, request = context.snapshot, context.principal, context.request
        assert principal is not None  # noqa: S101 -- guards a programming error
        assert request is not None  # noqa: S101 -- as above
        agent = snapshot.agents[principal.agent]
        asked, model = None, ""
        rules = self.rulebook(snapshot)
        attribution, native = context.attribution, request.native
        path = tuple([run.id for run in runs]) if runs else ()
        offers: list[Offer] = []
        refused: BadRequest | None = None
        for deployment in turn.candidates:
            if deployment.price is None:
                continue
            if (
                native is not None
                and native.refused is not None
                and native.api not in snapshot.endpoints[deployment.provider].natives
            ):
                refused = native.refused  # it cannot be said there, whatever it would cost
                continue
            metered = deployment.metering is not None and is_meterable(request, agent, deployment)
            if asked is None or deployment.model != model:  # a route may mix models
                model = deployment.model
                asked = Asked(request, agent, self._learned.expect(agent.id, model), now_s, whole)
            coverage = None if runs else rules.usual(agent, deployment, metered=metered, now_s=now_s)
            if coverage is None:
                labels = Labels(
                    agent.org,
                    agent.team,
                    agent.id,
                    model,
                    deployment.provider,
                    path,
                    attribution.user,
                    attribution.tags,
                    deployment.id,
                )
                coverage = rules.coverage(agent, labels, runs, metered=metered, now_s=now_s)
            try:
                offers.append(
                    offer(asked, deployment, coverage, origin_of(context, agent, deployment, path, turn.number))
                )
            except CostUnbounded as error:
                refused = error
        if not offers and refused is not None:
            raise refused
        carved = next((run.id for run in runs if run.carve), None) if runs else None
        ticket = Ticket(
            f"{context.request_id}.{turn.number}",
            tuple([found.bid for found in offers]),
            path,
            None if carved is None else carve_id(carved),
        )
        return offers, ticket

    async def _enter(self, context: RequestContext, demand: Demand, reply: Reply) -> Granted:
        """Ask the store; wait where only money under way is missing, behind those who wait already."""
        line, free = self._ahead(demand.ticket) if self.queue.waiting else (None, None)
        if line is not None and not free and await self._asking.is_spent(demand.ticket):
            line, free = None, None
        if line is None or free:
            answer = await self._asking.ask(demand, free, last=demand.wait_s <= 0)
            if isinstance(answer, Granted):
                return answer
            if line is None:
                line = self._line_for(demand, answer)
            if line is None:
                raise await self._error(context, demand, answer.denials)
        answer = await self._wait(context, demand, line, reply)
        if isinstance(answer, Granted):
            return answer
        raise await self._error(context, demand, answer.denials)

    def _ahead(self, ticket: Ticket) -> tuple[str | None, tuple[int, ...]]:
        """A line that stands before one of a ticket's bids, if any does, and the bids that none stands before."""
        lines = [self.queue.line_of([claim.key for claim in bid.claims]) for bid in ticket.bids]
        return next(filter(None, lines), None), tuple(at for at, line in enumerate(lines) if line is None)

    def _line_for(self, demand: Demand, refused: Refused) -> str | None:
        denial = waits(refused.denials)
        return None if denial is None or demand.wait_s <= 0 else denial.key

    async def _wait(self, context: RequestContext, demand: Demand, line: str, reply: Reply) -> Granted | Refused:
        async def attempt() -> Granted | Refused | None:
            answer = await self._asking.ask(demand)
            return None if isinstance(answer, Refused) and waits(answer.denials) is not None else answer

        settings, began_s = context.snapshot.queue, time.monotonic()
        wait_s, wanted_s = demand.wait_s, context.attribution.timeout_s
        if wanted_s is not None:  # the client waits no longer
            wait_s = max(0.0, min(wait_s, context.arrived_s + wanted_s - began_s))
        line_wait: Coroutine[None, None, Granted | Refused | None]
        line_wait = self.queue.wait(line, attempt, wait_s, settings.max_waiting)
        waiting = asyncio.create_task(line_wait)
        reply.on_disconnect(lambda: _cancel(waiting))
        answer: Granted | Refused | None
        try:
            answer = await waiting
        except asyncio.CancelledError:
            self._store.release(demand.ticket.id)  # it may have been served in this very moment
            if waiting.cancelled() and not _is_cancelled():
                raise ClientGone from None
            raise
        except QueueFull:
            answer = None
        finally:
            reply.on_disconnect(None)
            agent = demand.ticket.bids[0].origin.agent
            self._notices.tell(context, agent, "waited", line, "", waited_s=time.monotonic() - began_s)
        return answer or await self._asking.ask(demand, last=True)

    async def _error(self, context: RequestContext, demand: Demand, denials: Sequence[Denial]) -> Exception:
        for denial in denials:
            if denial.cause == "closed":
                for run in demand.ticket.runs:
                    self.runs.forget(run)
            elif is_too_quick(denial):
                await self._store.pause_run(demand.ticket.runs[0], "velocity")
        error = error_for(denials, demand.ticket.bids, context.snapshot.budget_status)
        _, denial = soonest(denials)
        agent = demand.ticket.bids[0].origin.agent
        self._notices.tell(context, agent, "refused", denial.key, str(error.metadata.get("reason", error.code)))
        return error


def _headers(permit: Permit) -> tuple[tuple[bytes, bytes], ...]:
    """What a permit's client is told: what is left, what was shortened, and how the rates stand."""
    granted = permit.granted
    headers: list[tuple[bytes, bytes]] = []
    if granted.tightest is not None:  # as before the request's own reservation, most of which comes back
        left = max(0, granted.tightest[1] + permit.reserved)
        headers.append((b"x-farebox-budget-remaining-usd", format_usd(NanoUsd(left)).encode()))
    if permit.clamped:
        headers.append((b"x-farebox-max-tokens", b"%d" % (permit.max_output_tokens or 0)))
    if granted.rates:
        headers += rate_headers(granted.rates)
    return tuple(headers)


def _counts(offers: Sequence[Offer]) -> bool:
    """Whether anything counts what is offered."""
    for found in offers:
        bid = found.bid
        if bid.claims or bid.rates:
            return True
    return False


def _cancel(waiting: asyncio.Future[Granted | Refused | None]) -> None:
    waiting.cancel()


def _is_cancelled() -> bool:
    """Whether the running task itself is being cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _label_error(missing: LabelMissing) -> MissingField:
    header = header_of(missing.label)
    return MissingField(
        f"The budget `{missing.rule}` needs {describe(missing.label)}, and the request has none: add the header "
        f"`{header}`.",
        param=header,
    )
