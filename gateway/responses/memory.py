"""What the request's path asks: a request with what it follows up on, and whose its answer is to be kept as."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.context import RequestContext
from gateway.errors import NotFound
from gateway.identity.keys import Principal
from gateway.responses.store import NOTHING_BEFORE, Keeping, Recalled, ResponseStore
from gateway.wire import responses
from gateway.wire.native import RESPONSES
from gateway.wire.requests import ModelRequest
from gateway.wire.responses import ResponsesNative
from gateway.wire.tongues import with_history


class Memory:
    """Implements `gateway.pipeline.Memory`."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def recall(self, principal: Principal, request: ModelRequest) -> ModelRequest:
        """The request with all that it goes on from. Raises NotFound, BadRequest, ServiceUnavailable."""
        native = request.native
        if not isinstance(native, ResponsesNative):
            return request
        if native.previous_response_id or native.conversation:
            recalled = await self._store.recall(principal, native.previous_response_id, native.conversation)
            told = await self._resolved(principal, native, responses.ids_of(recalled.items))
            native.before, native.held_tokens = recalled, recalled.input_tokens
            holder = (
                None if responses.response_ids_of(native.references) else _holder(recalled)
            )  # it knows none of ours
            return with_history(native, told, recalled.items, holder)
        if not native.references:
            return request
        told = await self._resolved(principal, native, {})
        return request if told is native or told.references else with_history(native, told, [], None)

    async def _resolved(
        self, principal: Principal, native: ResponsesNative, known: dict[str, msgspec.Raw]
    ) -> ResponsesNative:
        """The request with the items that it refers to. Those of a provider may stay, which looks them up itself."""
        unknown = [each for each in native.references if each not in known]
        told = responses.resolved(native, known | await self._items_of(principal, unknown))
        for each in told.references:
            if responses.response_ids_of((each,)):  # ours, and still not there
                raise NotFound(
                    f"No item `{each[:256]}` of this organisation is kept here: it never was, was deleted, or its time "
                    "has ended.",
                    param="input",
                )
        return told

    async def _items_of(self, principal: Principal, references: Iterable[str]) -> dict[str, msgspec.Raw]:
        """Items of answers that we made, by their ids: those that are still kept."""
        found: dict[str, msgspec.Raw] = {}
        for name in responses.response_ids_of(references):
            body = await self._store.answer(principal, name)
            if body is not None:
                found |= responses.ids_of(responses.output_items(body))
        return found


def _holder(recalled: Recalled) -> str | None:
    """The provider that remembers it itself. Deployments are called `provider/model`."""
    return recalled.deployment_id.partition("/")[0] if recalled.native and recalled.deployment_id else None


def keeping_of(context: RequestContext) -> Keeping | None:
    """Whose the answer to a context's request is; None when nothing is to be kept of it."""
    request, principal, deployment = context.request, context.principal, context.deployment
    native = None if request is None else request.native
    if not isinstance(native, ResponsesNative) or principal is None or deployment is None:
        return None
    before = native.before if isinstance(native.before, Recalled) else NOTHING_BEFORE
    if not native.store and before.conversation is None:
        return None
    endpoint = context.snapshot.endpoints[deployment.provider]
    return Keeping(
        principal,
        context.request_id,
        native.model,
        responses.input_items(native, context.request_id),
        before,
        context.attribution.user,
        deployment.id,
        native=RESPONSES in endpoint.natives,
        store=native.store,
    )
