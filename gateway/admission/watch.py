"""The stage `guard`: looks for loops in a request and does what the agent's rule says about one."""

from __future__ import annotations

import logging
from typing import Protocol

from gateway.admission.runs import Runs, names_of
from gateway.context import RequestContext
from gateway.errors import LoopDetected
from gateway.guard.calls import may_have_calls
from gateway.guard.loops import Finding, find_loop
from gateway.guard.memory import RunMemories, look
from gateway.guard.settings import LoopRule
from gateway.ledger.operations import Run
from gateway.reply import Headers
from gateway.store.protocol import StoreUnavailable
from gateway.telemetry.events import LoopFound
from gateway.telemetry.recorder import Recorder
from gateway.wire.requests import CHAT, ModelRequest

log = logging.getLogger("farebox.guard")


class Pauser(Protocol):
    """The part of a store that stops runs."""

    async def pause_run(self, run: str, reason: str) -> Run | None:
        """Refuse the run's next requests until it is resumed."""
        ...


class Watch:
    """Watches the requests of one gateway."""

    def __init__(self, store: Pauser, runs: Runs, recorder: Recorder) -> None:
        self._store = store
        self._runs = runs
        self._recorder = recorder
        self._memories = RunMemories()

    def concerns(self, context: RequestContext, request: ModelRequest) -> bool:
        """Whether there is anything to look at in a request: it names a run, or may have called tools."""
        principal = context.principal
        assert principal is not None  # noqa: S101 -- guards a programming error
        return (
            context.attribution.run is not None
            or principal.run is not None
            or context.attribution.parent_run is not None
            or may_have_calls(request.body)
        )

    async def look(self, context: RequestContext, request: ModelRequest, headers: Headers) -> None:
        """Look at a request that it `concerns`. Raises LoopDetected when its agent's rule blocks loops."""
        principal, snapshot = context.principal, context.snapshot
        assert principal is not None  # noqa: S101 -- guards a programming error
        rule = snapshot.agents[principal.agent].loops
        if rule.action == "off":
            return
        run, _ = names_of(principal, context.attribution)
        if run is None:
            finding = _in_calls(request, rule)
        else:
            memory = self._memories.of(run)
            seen = look(request.fields, request.profile.messages, rule, memory, retry=_is_retry(headers))
            context.prompt, finding = seen.prompt, seen.finding
        if finding is None:
            return
        context.looping = True
        if rule.action != "observe":
            context.loop = finding.kind
        self._recorder.record(
            LoopFound(context.arrived_at_s, principal.agent, run, finding.kind, finding.times, rule.action)
        )
        if rule.action == "block":
            await self._block(context, request, run, finding)

    def over(self, context: RequestContext) -> None:
        """The request is over: remember its prompt, if it was answered."""
        principal = context.principal
        if context.prompt is None or principal is None:
            return
        run, _ = names_of(principal, context.attribution)
        if run is not None:
            rule = context.snapshot.agents[principal.agent].loops
            self._memories.of(run).end(context.prompt, rule, answered=context.outcome in ("ok", "shortened"))

    async def _block(self, context: RequestContext, request: ModelRequest, run: str | None, finding: Finding) -> None:
        principal, snapshot = context.principal, context.snapshot
        assert principal is not None  # noqa: S101 -- guards a programming error
        advice = "Change what it does next: other arguments, another tool, or an end."
        if run is not None:
            agent = snapshot.agents[principal.agent]
            try:
                await self._runs.path_of(snapshot, agent, principal, context.attribution)
                await self._store.pause_run(run, f"loop: {finding.detail}")
            except StoreUnavailable:
                log.warning("the run %s could not be paused; its request is refused all the same", run)
            self._memories.of(run).forgive(request.profile.messages)
            advice = f"The run is paused; an operator can let it go on: `farebox runs resume {run}`."
        raise LoopDetected(
            f"This agent repeats itself: {finding.detail}. {advice}",
            reason=finding.kind,
            scope=f"agent:{principal.agent}" if run is None else f"run:{run}",
            times=finding.times,
        )


def _in_calls(request: ModelRequest, rule: LoopRule) -> Finding | None:
    history = request.fields.get("messages") if request.api == CHAT else None
    return None if history is None else find_loop(history, request.profile.messages, rule)


def _is_retry(headers: Headers) -> bool:
    """Whether the SDK sends the request again by itself."""
    return any(name == b"x-stainless-retry-count" and value not in (b"", b"0") for name, value in headers)
