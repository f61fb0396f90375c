"""What /v1/responses answers: the response object, and the events that build it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

from gateway.simulator.answer import Choice, Piece
from gateway.simulator.faults import Fault
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation
from gateway.simulator.responses.ask import ResponsesAsk
from gateway.simulator.responses.open_items import Call, HostedCall, Message, OpenItem, Reasoning
from gateway.simulator.seals import seal
from gateway.simulator.typed import Event

_encode = msgspec.json.encode
_FAILED = "The server had an error while processing your request. Sorry about that!"
_PREFIXES = {"web_search": "ws", "file_search": "fs", "code_interpreter": "ci"}
_NO_TOKENS = {"image_tokens": 0, "text_tokens": 0}
_NO_IMAGES = {"input_tokens": 0, "input_tokens_details": _NO_TOKENS, "output_tokens": 0, "total_tokens": 0}
_ECHOED: Body = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Settings that the response repeats, and what they are where the request does not say."""


class ResponsesWire:
    """Writes one response. It never streams two."""

    def __init__(
        self, generation: Generation, ask: ResponsesAsk, body: Body, summary: str, keep: Callable[[Body], None]
    ) -> None:
        """`summary`: of the reasoning, if there will be any; `keep` is given the finished response."""
        self._generation = generation
        self._ask = ask
        self._summary = summary
        self._keep = keep
        self._sequence = 0
        self._response = _begun(generation, body)
        self._output: list[Body] = self._response["output"]
        self._open: OpenItem | None = None
        self._sources: list[str] = []

    def opening(self) -> list[Event]:
        """The response is created, and begins."""
        return [self._snapshot("created"), self._snapshot("in_progress")]

    def piece(self, piece: Piece) -> list[Event]:
        """Reasoning, a call made here, a text or a call made there; a new kind ends the item before."""
        delta = piece.delta
        if delta is None:
            return self._grow(Reasoning, "", self._reasoning)
        if "hosted" in delta:
            return self._hosted(delta["hosted"]["name"], delta["hosted"]["query"])
        if "content" in delta:
            return self._grow(Message, delta["content"], self._message)
        (call,) = delta["tool_calls"]
        if "id" not in call:
            return self._more(call["function"]["arguments"])
        custom = call["function"]["name"] in self._ask.custom
        events = self._close()
        item_id = self._item_id("ctc" if custom else "fc")
        return events + self._begin(Call(item_id, call, custom=custom, pads=self._ask.obfuscate))

    def closing(self) -> list[Event]:
        """The last item ends, unfinished when a bound cut it."""
        return self._close("incomplete" if self._is_cut else "completed")

    def usage(self, *, told: bool) -> list[Event]:
        """The whole response."""
        status = "incomplete" if self._is_cut else "completed"
        self._finish(status, told=told)
        self._keep(self._response)
        return [self._snapshot(status)]

    def failure(self, fault: Fault) -> list[Event]:
        """An event `error`, or the failed response."""
        if fault.params["as"] != "failed":
            said = {"code": "server_error", "message": _FAILED, "param": None}
            return [self._event("error", said)]
        self._finish("failed", told=False)
        self._response["error"] = {"code": "server_error", "message": _FAILED}
        return [self._snapshot("failed")]

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """A plain answer: what a stream would have built up."""
        for piece in choices[0].pieces:
            self.piece(piece)
        self.closing()
        self.usage(told=usage is not None)
        return _encode(self._response)

    @property
    def _is_cut(self) -> bool:
        return self._generation.choices[0].finish_reason == "length"

    def _finish(self, status: str, *, told: bool) -> None:
        generation = self._generation
        self._response |= {"status": status, "service_tier": generation.options.service_tier}
        if status == "completed":
            self._response["completed_at"] = int(time.time())
        elif status == "incomplete":
            self._response["incomplete_details"] = {"reason": "max_output_tokens"}
        self._response["usage"] = _usage(generation) if told else None
        searches = generation.services_made.get("web_search", 0)
        if searches:
            self._response["tool_usage"] = {"image_gen": _NO_IMAGES, "web_search": {"num_requests": searches}}

    def _message(self) -> OpenItem:
        return Message(self._item_id("msg"), self._sources, pads=self._ask.obfuscate)

    def _reasoning(self) -> OpenItem:
        sealed = None
        if "reasoning.encrypted_content" in self._ask.include:
            sealed = seal("", f"{self._generation.response_id}/{len(self._output)}")
        return Reasoning(self._item_id("rs"), self._summary, sealed, pads=self._ask.obfuscate)

    def _hosted(self, name: str, query: str) -> list[Event]:
        events = self._close()
        item = HostedCall(self._item_id(_PREFIXES[name]), name, query, self._ask.include)
        source = item.source()
        if source is not None:
            self._sources.append(source)
        return [*events, *self._begin(item), *self._close()]

    def _grow(self, kind: type[OpenItem], part: str, make: Callable[[], OpenItem]) -> list[Event]:
        if isinstance(self._open, kind):
            return self._more(part)
        events = self._close()
        return [*events, *self._begin(make()), *self._more(part)]

    def _more(self, part: str) -> list[Event]:
        assert self._open is not None  # noqa: S101 - what grows has begun
        return self._said(self._open, self._open.add(part))

    def _begin(self, item: OpenItem) -> list[Event]:
        self._open = item
        added = self._event("response.output_item.added", {"output_index": len(self._output), "item": item.item})
        return [added, *self._said(item, item.open())]

    def _close(self, status: str = "completed") -> list[Event]:
        item, self._open = self._open, None
        if item is None:
            return []
        events = self._said(item, item.close(status))
        events.append(self._event("response.output_item.done", {"output_index": len(self._output), "item": item.item}))
        self._output.append(item.item)
        return events

    def _said(self, item: OpenItem, said: Iterator[tuple[str, Body]]) -> list[Event]:
        place: Body = {"item_id": item.item["id"], "output_index": len(self._output)}
        return [self._event(f"response.{kind}", {**place, **fields}) for kind, fields in said]

    def _snapshot(self, status: str) -> Event:
        return self._event(f"response.{status}", {"response": self._response})

    def _event(self, kind: str, fields: Body) -> Event:
        data = _encode({"type": kind, "sequence_number": self._sequence, **fields})
        self._sequence += 1
        return Event(kind.encode(), data)

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._generation.response_id.partition('_')[2]}{len(self._output):04x}"


def _begun(generation: Generation, body: Body) -> Body:
    """The response object before there is anything in it."""
    said = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
    reasoning: Body = body.get("reasoning") or {}
    text: Body = body.get("text") or {}
    return {
        "id": generation.response_id,
        "object": "response",
        "created_at": generation.created_s,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": generation.model.id,
        "output": [],
        **said,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": body.get("service_tier") or "auto",
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "usage": None,
    }


def _usage(generation: Generation) -> Body:
    prompt, completion = generation.prompt_tokens, generation.completion_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": generation.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": generation.reasoning_tokens},
        "total_tokens": prompt + completion,
    }
