"""The events that end a response's stream properly when its money has run out: as if it had reached its bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.wire.ending import Stream
from gateway.wire.responses.answers import CUT
from gateway.wire.responses.events import ERROR, FAILED, INCOMPLETE, payload
from gateway.wire.responses.ids import response_id
from gateway.wire.responses.output import Events
from gateway.wire.responses.record import Growing, Record, RecordedItem
from gateway.wire.responses.settings import error_event, error_of, response_object
from gateway.wire.responses.usage import of_usage
from gateway.wire.sse import EventSplitter
from routing.money import NanoUsd, Usage, format_usd

_DONE: Final = {
    "output_text": "response.output_text.done",
    "refusal": "response.refusal.done",
    "reasoning_text": "response.reasoning_text.done",
    "summary_text": "response.reasoning_summary_text.done",
}
_CALLS: Final = {
    "function_call": ("arguments", "response.function_call_arguments.done"),
    "custom_tool_call": ("input", "response.custom_tool_call_input.done"),
}
_STATUS: Final = "incomplete"


def incomplete_ending(stream: Stream, record: Record, usage: Usage, cost: NanoUsd) -> list[bytes]:
    """The last events: open parts and items are closed, then `response.incomplete` with all that was said."""
    events = Events()
    events.number = record.next_number
    out = []
    response: dict[str, Any] = dict(record.response or {})
    if not response:
        response = response_object({}, response_id(stream.request_id), stream.model, stream.created_s)
        out.append(events.say("response.created", response={**response, "status": "in_progress"}))
    for index in sorted(record.items):
        if not record.items[index].done:
            out += _closed(events, record.items[index], index)
    response |= {
        "status": _STATUS,
        "incomplete_details": {"reason": CUT},
        "output": [record.items[index].json(_STATUS) for index in sorted(record.items)],
        "usage": {**of_usage(usage), "cost": msgspec.Raw(format_usd(cost).encode())},
    }
    return [*out, events.say(INCOMPLETE, response=response)]


def failed(first: bytes, number: int, error_object: Mapping[str, Any]) -> bytes:
    """The events that end a provider's stream which broke off: `error`, and `response.failed`.

    `first` are the events that it began with, `number` how many of it the client has seen, `error_object` is OpenAI's.
    """
    record = Record()
    splitter = EventSplitter(len(first) + 1)
    for event in (*splitter.feed(first), splitter.rest):
        record.take("", payload(event))
    events = Events()
    events.number = max(number, record.next_number)
    response: dict[str, Any] = dict(record.response or response_object({}, "resp_unknown", "", 0))
    response |= {"status": "failed", "error": error_of(error_object)}
    return events.say(ERROR, **error_event(error_object)) + events.say(FAILED, response=response)


def _closed(events: Events, item: RecordedItem, index: int) -> list[bytes]:
    """The end of an item, and of what is open in it."""
    place = {"item_id": item.fields.get("id", ""), "output_index": index}
    out = []
    for name, parts in item.parts.items():
        at = "summary_index" if name == "summary" else "content_index"
        for number in sorted(parts):
            if not parts[number].done:
                out += _closed_part(events, parts[number], {**place, at: number})
    field, kind = _CALLS.get(str(item.fields.get("type")), ("", ""))
    if kind:
        text = item.texts.get(field, Growing({})).text
        named = {"name": item.fields.get("name", "")} if field == "arguments" else {}
        out.append(events.say(kind, **place, **named, **{field: text}))
    return [*out, events.say("response.output_item.done", output_index=index, item=item.json(_STATUS))]


def _closed_part(events: Events, part: Growing, place: dict[str, Any]) -> list[bytes]:
    kind = part.fields["type"]
    said = _DONE.get(kind)
    whole = "response.reasoning_summary_part.done" if "summary_index" in place else "response.content_part.done"
    out = []
    if said is not None:
        logprobs: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        out.append(events.say(said, **place, **logprobs, **{"refusal" if kind == "refusal" else "text": part.text}))
    return [*out, events.say(whole, **place, part=part.json())]
