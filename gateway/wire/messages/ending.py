"""The events that end a stream of messages properly when its money has run out: as if it had reached `max_tokens`."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.wire.ending import Stream
from gateway.wire.messages.observer import MessagesObserver
from gateway.wire.messages.reasons import MAX_TOKENS
from gateway.wire.messages.usage import messages_usage
from routing.money import NanoUsd, Usage, format_usd

_encode = msgspec.json.encode


def message_ending(stream: Stream, observer: MessagesObserver, usage: Usage, cost: NanoUsd) -> list[bytes]:
    """The last events: the end of each open block, the reason with the usage and its cost, the end of the message."""
    if observer.done:
        return []
    events: list[dict[str, Any]] = []
    if not observer.started:
        events.append({"type": "message_start", "message": _message(stream)})
    if not observer.stopped:
        events += [{"type": "content_block_stop", "index": index} for index in sorted(observer.open_blocks)]
        told = {**messages_usage(usage), "cost": msgspec.Raw(format_usd(cost).encode())}
        delta = {"stop_reason": MAX_TOKENS, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": told})
    events.append({"type": "message_stop"})
    return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event)) for event in events]


def _message(stream: Stream) -> dict[str, Any]:
    return {
        "id": f"msg_{stream.request_id}",
        "type": "message",
        "role": "assistant",
        "model": stream.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": messages_usage(Usage()),
    }
