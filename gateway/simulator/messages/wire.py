"""What /v1/messages answers: the message, and the events that build it up."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulator.answer import Choice, Piece
from gateway.simulator.faults import Fault
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation
from gateway.simulator.seals import seal
from gateway.simulator.typed import Event

_encode = msgspec.json.encode
_DELTAS = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessagesWire:
    """Writes one message."""

    def __init__(self, generation: Generation, *, shows_thinking: bool) -> None:
        self._generation = generation
        self._shows = shows_thinking
        self._told = not generation.faults.find("missing-usage")
        self._blocks: list[Body] = []
        self._open: Body | None = None
        self._parts: list[str] = []
        self._searches = 0

    def opening(self) -> list[Event]:
        """The message begins, with what its prompt took."""
        message = self._message(None, None)
        if self._told:
            message["usage"]["output_tokens"] = 1  # as Anthropic has it, which counts the first at once
        return [_event("message_start", message=message)]

    def piece(self, piece: Piece) -> list[Event]:
        """A thought, a search, a text or a call; a new kind ends the block before."""
        delta = piece.delta or {}
        if "thinking" in delta:
            return self._grow({"type": "thinking", "thinking": "", "signature": ""}, delta["thinking"])
        if "content" in delta:
            return self._grow({"type": "text", "text": ""}, delta["content"])
        if "hosted" in delta:
            return self._search(delta["hosted"]["query"])
        (call,) = delta["tool_calls"]
        if "id" not in call:
            return self._more(call["function"]["arguments"])
        call_id = f"toolu_{call['id'].removeprefix('call_')}"
        return self._begin({"type": "tool_use", "id": call_id, "name": call["function"]["name"], "input": {}})

    def closing(self) -> list[Event]:
        """The last block ends."""
        return self._close()

    def usage(self, *, told: bool) -> list[Event]:
        """Why the message ended, and what all of it took."""
        reason, sequence = self._stop()
        fields: Body = {"delta": {"stop_reason": reason, "stop_sequence": sequence}}
        if told:
            usage = _usage(self._generation)
            del usage["cache_creation"], usage["service_tier"], usage["inference_geo"]
            fields["usage"] = usage
        return [_event("message_delta", **fields), _event("message_stop")]

    def failure(self, fault: Fault) -> list[Event]:
        """An event `error`."""
        return [_event("error", error={"type": "overloaded_error", "message": "Overloaded"})]

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """A plain answer: what a stream would have built up."""
        for piece in choices[0].pieces:
            self.piece(piece)
        self._close()
        return _encode({**self._message(*self._stop()), "content": self._blocks})

    def _stop(self) -> tuple[str, str | None]:
        choice = self._generation.choices[0]
        if choice.stop_sequence is not None:
            return "stop_sequence", choice.stop_sequence
        return _STOPS[choice.finish_reason], None

    def _message(self, reason: str | None, sequence: str | None) -> Body:
        generation = self._generation
        message: Body = {
            "id": generation.response_id,
            "type": "message",
            "role": "assistant",
            "model": generation.model.id,
            "content": [],
            "stop_reason": reason,
            "stop_sequence": sequence,
        }
        if self._told:
            message["usage"] = _usage(generation)
        return message

    def _grow(self, block: Body, part: str) -> list[Event]:
        events = [] if self._open is not None and self._open["type"] == block["type"] else self._begin(block)
        return events + self._more(part)

    def _more(self, part: str) -> list[Event]:
        assert self._open is not None  # noqa: S101 - what grows has begun
        self._parts.append(part)
        kind = self._open["type"]
        if kind == "thinking" and not self._shows:
            return []
        name, field = _DELTAS.get(kind, ("input_json_delta", "partial_json"))
        return [self._delta({"type": name, field: part})]

    def _delta(self, delta: Body) -> Event:
        return _event("content_block_delta", index=len(self._blocks), delta=delta)

    def _begin(self, block: Body) -> list[Event]:
        events = self._close()
        self._open, self._parts = block, []
        events.append(_event("content_block_start", index=len(self._blocks), content_block=block))
        if not self._blocks:
            events.append(_event("ping"))
        if block["type"] in {"tool_use", "server_tool_use"}:
            events.append(self._delta({"type": "input_json_delta", "partial_json": ""}))
        return events

    def _close(self) -> list[Event]:
        block, self._open = self._open, None
        if block is None:
            return []
        events: list[Event] = []
        whole = "".join(self._parts)
        if block["type"] == "text":
            block = {**block, "text": whole}
        elif block["type"] == "thinking":
            shown = whole if self._shows else ""
            signature = seal(shown, f"{self._generation.response_id}/{len(self._blocks)}")
            block = {**block, "thinking": shown, "signature": signature}
            events.append(self._delta({"type": "signature_delta", "signature": signature}))
        elif block["type"] in {"tool_use", "server_tool_use"}:
            block = {**block, "input": _parsed(whole)}
        events.append(_event("content_block_stop", index=len(self._blocks)))
        self._blocks.append(block)
        return events

    def _search(self, query: str) -> list[Event]:
        """A search and what it found."""
        self._searches += 1
        tail = f"{self._generation.response_id.partition('_')[2]}{self._searches:04x}"
        use_id = f"srvtoolu_{tail}"
        found = {
            "type": "web_search_result",
            "title": "A source",
            "url": f"https://example.com/{tail}",
            "encrypted_content": seal(query, tail),
            "page_age": None,
        }
        return [
            *self._begin({"type": "server_tool_use", "id": use_id, "name": "web_search", "input": {}}),
            *self._more(_encode({"query": query}).decode()),
            *self._begin({"type": "web_search_tool_result", "tool_use_id": use_id, "content": [found]}),
            *self._close(),
        ]


def _parsed(arguments: str) -> Any:
    """Arguments as an object: none when a bound cut them."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {}


def _event(kind: str, **fields: Any) -> Event:
    return Event(kind.encode(), _encode({"type": kind, **fields}))


def _usage(generation: Generation) -> Body:
    """The usage so far. Cached tokens, read or written, are no part of `input_tokens`."""
    read, written, written_1h = (
        generation.cached_tokens,
        generation.cache_write_tokens,
        generation.cache_write_1h_tokens,
    )
    usage: Body = {
        "input_tokens": generation.prompt_tokens - read - written - written_1h,
        "cache_creation_input_tokens": written + written_1h,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": written_1h},
        "output_tokens": generation.completion_tokens,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    if generation.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": generation.reasoning_tokens}
    searches = generation.services_made.get("web_search", 0)
    if searches:
        usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    return usage
