"""Makes one call in the SDK's thread, and sends what comes back over the line."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

from gateway.upstream.dialects.litellm import Order
from gateway.upstream.dialects.litellm_bridge import answers
from gateway.upstream.dialects.litellm_bridge.failures import Refusal, meaning
from gateway.upstream.dialects.litellm_bridge.line import Line
from gateway.upstream.dialects.litellm_bridge.network import Watch, current
from gateway.upstream.dialects.litellm_bridge.sdk import Sdk, facts
from gateway.upstream.transport import ConnectionBroken, Unreachable

log = logging.getLogger("farebox.litellm")

_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream")]


class Worker:
    """One call's."""

    def __init__(self, sdk: Sdk, function: str, order: Order, watch: Watch, line: Line) -> None:
        self._sdk = sdk
        self._function = function
        self._order = order
        self._watch = watch
        self._line = line
        self._answered = False

    async def run(self) -> None:
        """Make the call. Never raises but for being cancelled."""
        current.set(self._watch)
        try:
            result = await self._sdk.call(self._function, self._order.arguments)
            if self._order.stream:
                await self._stream(result)
            else:
                self._watch.mark_sent()
                self._line.whole(200, _JSON, self._whole(result.model_dump()))
        except Exception as error:  # noqa: BLE001 -- the SDK raises whatever there is
            self._failed(error)
        finally:
            # Cancelled or not: what is still open is closed now, and the provider sees us leave.
            for stream in self._watch.streams:
                await stream.aclose()

    def _whole(self, fields: dict[str, Any]) -> bytes:
        if self._function == "aembedding":
            return answers.embeddings(fields, in_base64=self._order.base64)
        return answers.whole(fields, text=self._order.text)

    async def _stream(self, wrapper: Any) -> None:
        """Pass on the events; the usage comes from what the provider said, not from the SDK's sum of it."""
        text, last = self._order.text, {}
        async for fields in _events(wrapper):
            last = fields
            await self._feed(answers.event(fields, text=text))
        if not last or not _has_ended(wrapper):
            self._line.fail(ConnectionBroken("the stream ended before its answer was whole", sent=True))
            return
        reports = [chunk.usage.model_dump() for chunk in wrapper.chunks if getattr(chunk, "usage", None) is not None]
        usage = answers.merged(reports)
        if usage is not None:
            await self._feed(answers.usage_event(last, usage, text=text))
        await self._feed(answers.DONE)
        self._line.end()

    async def _feed(self, data: bytes) -> None:
        if not self._answered:  # the SDK may begin its request only when it is asked for the first event
            self._answered = True
            self._watch.mark_sent()
            self._line.answer(200, _EVENTS)
        await self._line.feed(data)

    def _failed(self, error: Exception) -> None:
        watch = self._watch
        known = facts(error, watch)
        found = meaning(known, watch.endpoint.provider, _secrets(watch))
        log.info("call to %s failed: %s, status %s", watch.endpoint.provider, known.kinds[0], watch.status)
        if watch.failure is not None:
            self._line.fail(watch.failure)
        elif not isinstance(found, Refusal):
            self._line.fail((ConnectionBroken if known.sent else Unreachable)(found.reason, sent=known.sent))
        elif self._answered:  # the provider has said so inside of its stream
            self._line.give(answers.error_event(found.body))
            self._line.end()
        else:
            self._line.whole(found.status, [*_JSON, *found.headers], found.body)


def _secrets(watch: Watch) -> tuple[str, ...]:
    sdk = watch.endpoint.litellm
    return () if sdk is None else sdk.secrets


async def _events(wrapper: Any) -> AsyncIterator[dict[str, Any]]:
    """The events with an answer in them, up to the usage that the SDK works out, or the end that it makes up."""
    async for chunk in wrapper:
        fields: dict[str, Any] = chunk.model_dump(exclude_none=True)
        if "usage" in fields:
            return
        if any(choice.get("finish_reason") for choice in fields.get("choices", ())) and not _has_ended(wrapper):
            return
        yield fields


def _has_ended(wrapper: Any) -> bool:
    """Whether the provider said how its answer ended; the SDK says "stop" in any case."""
    return (wrapper.received_finish_reason or wrapper.intermittent_finish_reason) is not None
