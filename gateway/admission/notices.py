"""What admission tells metrics and log of: what was clamped, refused, waited for, or would have been refused."""

from __future__ import annotations

from gateway.admission.permit import Permit
from gateway.admission.refusals import shadow_refusals
from gateway.context import RequestContext
from gateway.telemetry.events import LimitNoticed
from gateway.telemetry.recorder import Recorder


class Notices:
    """Notices of one gateway's limits."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def permit(self, context: RequestContext, permit: Permit) -> None:
        """Something is to be said of an admission: it was clamped, or limits in shadow mode would have refused it."""
        origin = permit.offer.bid.origin
        if permit.clamped:
            self.tell(context, origin.agent, "clamped", "", "")
        over = [*permit.granted.over, *shadow_refusals(permit.granted.rates, permit.offer.bid.rate_tokens)]
        for key in over:
            self.tell(context, origin.agent, "shadow", key, "shadow")
        velocity = context.snapshot.agents[origin.agent].velocity
        if velocity is not None and velocity.action != "observe" and any(key.startswith("v|") for key in over):
            permit.headers += ((b"x-farebox-velocity", b"exceeded"),)
            if velocity.action == "downgrade" and context.decided is not None:
                context.decided.too_quick = True

    def tell(
        self, context: RequestContext, agent: str, kind: str, key: str, reason: str, *, waited_s: float = 0.0
    ) -> None:
        """Tell metrics and log. `key` is the counter's or cell's: `b|<budget>|<value>|...`."""
        rule, _, rest = key.partition("|")[2].partition("|")
        self._recorder.record(
            LimitNoticed(context.arrived_at_s, agent, kind, rule, rest.partition("|")[0], reason, waited_s)
        )
