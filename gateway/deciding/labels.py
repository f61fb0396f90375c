"""Weak labels: what the gateway itself can tell of an answer, without anybody's word.

- `form`: it has, or lacks, the form that was asked for (`gateway.wire.form`), or fails the checks of its rule.
- `retry`: the same request comes again in the same run or session, soon after it was answered: it was of no use.

A provider's failures are no labels: breakers see to those, and they say nothing of what a model knows.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import Final, NamedTuple

from gateway.context import RequestContext
from gateway.learned.quality import LearnedQuality
from gateway.wire.form import has_form

SOON_S: Final = 600.0
"""The same request later than this is another one."""
REMEMBERED: Final = 10_000
"""Answers that a retry may still be of."""
_TAIL_BYTES: Final = 4_096
"""Of a body, what it is recognised by, with its length."""

_Key = tuple[str, str, int, int]


class _Answered(NamedTuple):
    request_id: str
    model: str
    at_s: float


class WeakLabels:
    """Labels the answers of routed requests."""

    def __init__(self, learned: LearnedQuality) -> None:
        self._learned = learned
        self._answered: OrderedDict[_Key, _Answered] = OrderedDict()

    def over(self, context: RequestContext, now_s: float) -> None:
        """Learn from a request that is over. `now_s`: Unix time."""
        decided, principal, deployment = context.decided, context.principal, context.deployment
        if decided is None or principal is None or context.request is None:
            return
        if decided.signals is not None:
            self._learned.remember(context.request_id, decided.signals)
        key = self._key(context, principal.agent)
        before = self._answered.pop(key, None) if key is not None else None
        if before is not None and context.arrived_at_s - before.at_s <= SOON_S:
            self._learned.label(principal.agent, before.model, before.request_id, "retry", 0.0)
        for model in decided.turned_down:
            self._learned.label(principal.agent, model, context.request_id, "form", 0.0)
        if deployment is None or context.outcome != "ok":
            return
        if decided.answer is not None:
            formed = has_form(context.request, decided.answer)
            if formed is not None:
                self._learned.label(principal.agent, deployment.model, context.request_id, "form", float(formed))
        if key is not None:
            self._answered[key] = _Answered(context.request_id, deployment.model, now_s)
            while len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)

    def _key(self, context: RequestContext, agent: str) -> _Key | None:
        attribution, body = context.attribution, context.body
        conversation = attribution.session or attribution.run
        if conversation is None:
            return None
        return agent, conversation, len(body), zlib.crc32(body[-_TAIL_BYTES:])
