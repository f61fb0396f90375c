"""Drives one client request: attempt by attempt, until one has served the client or nothing is left to try.

What comes next is decided by `routing.attempts`. Whatever happens on the way (the client leaves, an upstream breaks,
the process drains), every attempt that was begun is settled by its own `Settlement`, which never waits for anything.
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import lru_cache
from typing import NamedTuple

from gateway.admission.admission import Admission
from gateway.admission.intents import Intents
from gateway.admission.permit import Permit
from gateway.admission.turn import Turn
from gateway.context import RequestContext
from gateway.errors import BadRequest, FareboxError
from gateway.exchange.departure import depart
from gateway.exchange.failures import AttemptFailed, Refusal, Unverified, asking_to_wait, nothing_may_be_called
from gateway.exchange.hedging import Race
from gateway.exchange.relay import Relay
from gateway.exchange.settlement import Settlement
from gateway.reply import ClientGone, Reply
from gateway.telemetry.events import AttemptEnded
from gateway.telemetry.recorder import Recorder
from gateway.upstream.attempt import Attempt, Kind
from gateway.upstream.health import UpstreamHealth
from gateway.upstream.load import Loads
from gateway.upstream.transport import Transport
from routing.attempts import Call, Candidate, GiveUp, Hedge, History, Step, Tried, Wait, next_step
from routing.money import format_usd

_NOT_ABLE = Candidate("no", float("inf"))
_FORGOTTEN = b"previous_response_not_found"
"""By which a provider says that it does not know an earlier response: its time was over there, or it keeps none."""


@lru_cache(maxsize=64)
def _first(candidates: int) -> Call:
    """What `next_step` says of the first attempt while every breaker is closed."""
    return Call(tuple(range(candidates)), "first")


class Upstreams(NamedTuple):
    """What an exchange needs to call anybody."""

    admission: Admission
    intents: Intents | None
    """None where the store hears of every attempt."""
    health: UpstreamHealth
    transport: Transport
    recorder: Recorder
    loads: Loads


class Exchange:
    """Serves one routed request. Not reusable."""

    __slots__ = (
        "_context",
        "_failed",
        "_held",
        "_left",
        "_number",
        "_relays",
        "_reply",
        "_route",
        "_unable",
        "_upstreams",
        "_woken",
    )

    def __init__(self, context: RequestContext, reply: Reply, upstreams: Upstreams) -> None:
        assert context.route is not None, "an exchange begins after routing"  # noqa: S101 -- guards a programming error
        self._context = context
        self._reply = reply
        self._upstreams = upstreams
        self._route = context.route
        self._relays: list[Relay] = []
        self._unable: dict[str, FareboxError] | None = None
        """Candidates in whose dialect the request cannot be said."""
        self._failed: AttemptFailed | None = None
        """How the last attempt ended, if it gave the client nothing."""
        self._held: dict[str, Unverified] = {}
        """Answers that failed their rule's checks, by model; the latest is given when nothing better comes."""
        self._number = 0
        self._left = False
        self._woken: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Serve the request to its end. Raises FareboxError when it failed; the client is not told here.

        Raises ClientGone when the client left before anything was called.
        """
        try:
            while (relay := await self._next()) is not None:
                try:
                    await (relay.run() if relay.hedge_at_s is None else Race(relay, self._hedge).run())
                except AttemptFailed as error:
                    if self._is_forgotten(relay, error):
                        relay.measure()
                        self._relays.remove(relay)  # it was not asked the request that it is asked now
                        continue
                    self._failed = error
                    if isinstance(error.answer, Unverified):
                        self._held.pop(error.answer.model, None)
                        self._held[error.answer.model] = error.answer
                else:
                    return
        except asyncio.CancelledError:
            for relay in self._relays:
                relay.interrupt("drained")
            raise
        finally:
            self._reply.on_disconnect(None)
            for relay in self._relays:
                if not relay.attempt.settled:  # an error nobody foresaw: the call may have been billed all the same
                    relay.interrupt("malformed")
                if relay.flight is not None:
                    relay.flight.end()
                relay.measure()
            self._relays.clear()  # they know us, and what knows each other waits for the garbage collector
            self._failed = None  # as is the case with an error and who keeps it

    def _is_forgotten(self, relay: Relay, error: AttemptFailed) -> bool:
        """Whether its provider does not remember any more what the request goes on from: then it is told, as others."""
        request, refused = self._context.request, error.answer
        native = None if request is None else request.native
        if native is None or native.elsewhere is None or native.held_at != relay.attempt.deployment.provider:
            return False
        if not isinstance(refused, Refusal) or _FORGOTTEN not in refused.body:
            return False
        native.held_at = None
        return True

    def _over(self, relay: Relay) -> None:
        """An attempt has ended: tell how it went."""
        attempt, upstreams = relay.attempt, self._upstreams
        failure, health = attempt.failure, upstreams.health
        if relay.interrupted or not attempt.settled:
            outcome = "cancelled"
            health.cancel(attempt.deployment, attempt.id)
        else:
            outcome = "ok" if failure is None else failure.kind
            health.ended(attempt.deployment, attempt.id, attempt.sent_s, failure)
        if not attempt.went_well:
            upstreams.recorder.record(AttemptEnded(attempt.deployment.id, attempt.kind, outcome))
        if relay.flight is not None:
            relay.flight.end(answered=failure is None and not relay.interrupted)
        if self._route.model.hedge is not None and failure is None:
            until_s = attempt.first_byte_s
            if until_s is None and relay.superseded:  # as late as it was; of a client's leaving nothing can be learned
                until_s = attempt.ended_s
            if until_s is not None:
                health.first_byte(attempt.deployment, until_s - attempt.sent_s)

    # --- what comes next ---

    async def _next(self) -> Relay | None:
        """The next attempt, begun; None when the client has been given what there is."""
        waited = False
        while True:
            if self._left:  # while the last attempt failed
                raise ClientGone
            step = self._decide(waited=waited)
            if isinstance(step, Call):
                try:
                    relay = await self._begin(step.candidates, step.kind)
                except FareboxError:
                    if self._failed is None:
                        raise
                    step = GiveUp("exhausted")  # no room for another: the client gets the error of the last
                else:
                    if relay is not None:
                        return relay
                    continue
            if isinstance(step, Wait):
                await self._pause(step.until_s)
                waited = True
                continue
            await self._give_up(step)
            return None

    def _decide(self, *, waited: bool = False, hedge_at_s: float | None = None) -> Step:
        context, health, candidates = self._context, self._upstreams.health, self._route.candidates
        if self._number and context.request is not None:
            upload = context.request.upload
            if upload is not None and (upload.is_gone or (upload.rest is not None and hedge_at_s is not None)):
                return GiveUp("exhausted")  # what is passed on as it comes is sent once
        if not self._number and health.is_quiet and context.attribution.timeout_s is None:
            return _first(len(candidates))
        now_s = time.monotonic()
        view = health.view(candidates, now_s)
        if self._unable or self._held:
            unable = self._unable or {}
            view = tuple(
                _NOT_ABLE if deployment.id in unable or deployment.model in self._held else candidate
                for deployment, candidate in zip(candidates, view, strict=True)
            )
        tried = [self._tried(relay) for relay in self._relays]
        history = History(tried, context.deadline_s, self._reply.started, waited, hedge_at_s, context.arrived_s)
        return next_step(history, context.snapshot.resilience.attempts, view, now_s, health.draw())

    def _tried(self, relay: Relay) -> Tried:
        attempt = relay.attempt
        return Tried(
            self._route.candidates.index(attempt.deployment),
            attempt.sent_s,
            attempt.ended_s,
            attempt.failure,
            relay.probe,
            attempt.kind == "hedge",
        )

    async def _begin(self, places: tuple[int, ...], kind: Kind) -> Relay | None:
        """Reserve for an attempt and start it; None when a breaker has closed its doors, or its dialect cannot say it.

        Raises FareboxError when there is no room for it.
        """
        context, upstreams, all_candidates = self._context, self._upstreams, self._route.candidates
        health, admission = upstreams.health, upstreams.admission
        self._number = number = self._number + 1
        permit = None
        if admission.governs(context):
            candidates = tuple([all_candidates[place] for place in places])
            turn = Turn(
                number, candidates, patient=self._failed is None and kind != "hedge" and not self._may_downgrade
            )
            permit = await admission.admit(context, self._reply, turn)
        deployment = all_candidates[places[0]] if permit is None else permit.deployment
        attempt_id = f"{context.request_id}.{number}"
        admits = health.begin(deployment, attempt_id, retry=kind == "retry")
        if admits == "no":
            self._withdraw(number, permit)
            return None
        try:
            if admits == "probe" and not await health.may_probe(deployment, attempt_id):
                self._withdraw(number, permit)
                return None
            if permit is None and upstreams.intents is not None:
                noted = upstreams.intents.note(context, deployment, number)
                if noted is not None:
                    await noted
            call, target = depart(context, upstreams.transport, deployment, permit)
        except BaseException as error:  # nothing was sent
            health.cancel(deployment, attempt_id)
            self._withdraw(number, permit)
            if not isinstance(error, BadRequest):
                raise
            self._unable = {**(self._unable or {}), deployment.id: error}
            return None
        attempt = Attempt(attempt_id, number, kind, deployment, target, call)
        relay = Relay(context, self._reply, Settlement(context, attempt, permit, upstreams.recorder), self._over)
        self._relays.append(relay)
        if admits == "probe":
            relay.probe = True
            relay.delivery.on_begun = lambda: health.answered(deployment, attempt_id, attempt.sent_s)
        if deployment.watched or (context.decided is not None and context.decided.decision.strategy == "fastest"):
            self._watch(relay)
        model = self._route.model
        if model.hedge is not None and kind == "first":
            relay.hedge_at_s = health.expect_first_byte(model, deployment, attempt.sent_s)
        self._reply.on_disconnect(self._leave)
        return relay

    @property
    def _may_downgrade(self) -> bool:
        """Whether cheaper candidates are asked next if there is no money for these."""
        return self._context.decided is not None and self._context.decided.may_downgrade

    def _watch(self, relay: Relay) -> None:
        """Let the load know of an attempt: until it ends it is in flight, until it answers it waits."""
        request, heard = self._context.request, relay.delivery.on_begun
        assert request is not None  # noqa: S101 -- as above
        flight = relay.flight = self._upstreams.loads.begin(relay.attempt.deployment, stream=request.stream)

        def answered() -> None:
            flight.answered()
            if heard is not None:
                heard()

        relay.delivery.on_begun = answered

    def _withdraw(self, number: int, permit: Permit | None) -> None:
        """The attempt was not made."""
        if permit is not None:
            permit.release()
        elif self._upstreams.intents is not None:
            self._upstreams.intents.withdraw(self._context, number)

    async def _hedge(self, late: Relay) -> Relay | None:
        """A second attempt beside one whose first byte is late; None when there is no room for one."""
        step = self._decide(hedge_at_s=late.hedge_at_s)
        if not isinstance(step, Hedge) or not self._upstreams.health.may_hedge(self._route.model):
            return None
        try:
            return await self._begin(step.candidates, "hedge")
        except FareboxError:
            return None

    async def _pause(self, until_s: float) -> None:
        """Wait before trying again. Raises ClientGone when the client leaves meanwhile."""
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()
        self._woken = loop.create_future()
        timer = loop.call_later(until_s - began_s, _wake, self._woken)
        self._reply.on_disconnect(self._leave)
        try:
            await self._woken
        finally:
            timer.cancel()
            self._woken = None
            self._context.upstream_s += time.monotonic() - began_s
        if self._left:
            raise ClientGone

    async def _give_up(self, step: Step) -> None:
        """Give the client what the last attempt left for it. Raises it, if it is an error of ours."""
        assert isinstance(step, GiveUp), "nothing else is left"  # noqa: S101 -- guards a programming error
        if step.reason == "retry_budget":
            self._upstreams.health.denied(self._route.model, "retry")
        if self._failed is None:
            unable = self._unable or {}
            raise next(iter(unable.values()), None) or nothing_may_be_called(step, self._route)
        answer = next(reversed(self._held.values())) if self._held else self._failed.answer
        if isinstance(answer, Unverified):
            await answer.give()
            return
        if not isinstance(answer, Refusal):
            if step.retry_after_s is not None and answer.retry_after_s is None:
                answer.retry_after_s = max(1, math.ceil(step.retry_after_s))
            answer.headers = (*answer.headers, *self._effort())
            raise answer
        context, headers = self._context, answer.headers
        context.outcome, context.status, context.error_code = "upstream_error", answer.status, "upstream_status"
        if answer.status == 429 and step.retry_after_s is not None and len(self._route.candidates) > 1:
            headers = asking_to_wait(headers, step.retry_after_s, time.time())
        if answer.native:
            self._reply.as_it_is()
        await self._reply.whole(answer.status, headers, answer.body)

    def _effort(self) -> list[tuple[bytes, bytes]]:
        """What was done for nothing, and what it cost."""
        told = [(b"x-farebox-attempts", b"%d" % self._number)] if self._number > 1 else []
        if self._context.cost:
            told.append((b"x-farebox-cost-usd", format_usd(self._context.cost).encode()))
        return told

    def _leave(self) -> None:
        """The client is gone."""
        self._left = True
        for relay in self._relays:
            if not relay.attempt.settled:
                relay.leave()
        _wake(self._woken)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
