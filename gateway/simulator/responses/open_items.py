"""The items of an answer while they are made: each knows the events that show it, and what it is at last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from gateway.simulator.fields import Body

Said = tuple[str, Body]
"""An event's type without `response.`, and its fields without those that name the item."""


class OpenItem(Protocol):
    """An item that is being made."""

    item: Body
    """As it is now."""

    def open(self) -> Iterator[Said]:
        """What comes after `output_item.added`."""
        ...

    def add(self, part: str) -> Iterator[Said]:
        """Some more of it."""
        ...

    def close(self, status: str) -> Iterator[Said]:
        """What comes before `output_item.done`; `status` is `completed` or `incomplete`."""
        ...


def _obfuscation(delta: str, pads: bool) -> Body:
    return {"obfuscation": "x" * (-len(delta) % 16)} if pads else {}


class Message:
    """A message with one text."""

    def __init__(self, item_id: str, sources: list[str], *, pads: bool) -> None:
        """`sources`: addresses that the text names at its end."""
        self.item: Body = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "content": [],
            "role": "assistant",
        }
        self._sources = sources
        self._pads = pads
        self._parts: list[str] = []

    def open(self) -> Iterator[Said]:
        """An empty text."""
        yield "content_part.added", {"content_index": 0, "part": _text_part("")}

    def add(self, part: str) -> Iterator[Said]:
        """Some text."""
        self._parts.append(part)
        padding = _obfuscation(part, self._pads)
        yield "output_text.delta", {"content_index": 0, "delta": part, "logprobs": [], **padding}

    def close(self, status: str) -> Iterator[Said]:
        """The whole text, with what it cites."""
        part = _text_part("".join(self._parts))
        for index, url in enumerate(self._sources):
            end = len(part["text"])
            cited = {"type": "url_citation", "start_index": 0, "end_index": end, "title": "A source", "url": url}
            part["annotations"].append(cited)
            yield "output_text.annotation.added", {"content_index": 0, "annotation_index": index, "annotation": cited}
        yield "output_text.done", {"content_index": 0, "text": part["text"], "logprobs": []}
        yield "content_part.done", {"content_index": 0, "part": part}
        self.item |= {"status": status, "content": [part]}


def _text_part(text: str) -> Body:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


class Call:
    """A call of a tool that the client runs: a function's with arguments, or a custom tool's with a text."""

    def __init__(self, item_id: str, call: Body, *, custom: bool, pads: bool) -> None:
        """`call`: a chat's tool call."""
        kind, self._field = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
        self._event = "custom_tool_call_input" if custom else "function_call_arguments"
        self._pads = pads
        self._parts: list[str] = []
        name = call["function"]["name"]
        self.item: Body = {"id": item_id, "type": kind, "status": "in_progress", self._field: ""}
        self.item |= {"call_id": call["id"], "name": name}

    def open(self) -> Iterator[Said]:
        """Nothing: the item says its name."""
        yield from ()

    def add(self, part: str) -> Iterator[Said]:
        """Some of the arguments."""
        self._parts.append(part)
        yield f"{self._event}.delta", {"delta": part, **_obfuscation(part, self._pads)}

    def close(self, status: str) -> Iterator[Said]:
        """All of the arguments."""
        whole = "".join(self._parts)
        yield f"{self._event}.done", {self._field: whole}
        self.item |= {"status": status, self._field: whole}


class Reasoning:
    """Hidden reasoning; a summary of it where one was asked for."""

    def __init__(self, item_id: str, summary: str, sealed: str | None, *, pads: bool) -> None:
        """`summary`: empty for none; `sealed`: what the client may give back instead of the item's id."""
        self.item: Body = {"id": item_id, "type": "reasoning", "summary": []}
        if sealed is not None:
            self.item["encrypted_content"] = sealed
        self._sentences = [sentence for sentence in summary.split("\n\n") if sentence]
        self._said: list[str] = []
        self._pads = pads

    def open(self) -> Iterator[Said]:
        """The summary's beginning."""
        if self._sentences:
            yield "reasoning_summary_part.added", {"summary_index": 0, "part": {"type": "summary_text", "text": ""}}

    def add(self, part: str) -> Iterator[Said]:
        """The next of the summary, whatever was thought."""
        if self._sentences:
            delta = ("\n\n" if self._said else "") + self._sentences.pop(0)
            self._said.append(delta)
            padding = _obfuscation(delta, self._pads)
            yield "reasoning_summary_text.delta", {"summary_index": 0, "delta": delta, **padding}

    def close(self, status: str) -> Iterator[Said]:
        """The rest of the summary."""
        while self._sentences:
            yield from self.add("")
        if self._said:
            part = {"type": "summary_text", "text": "".join(self._said)}
            yield "reasoning_summary_text.done", {"summary_index": 0, "text": part["text"]}
            yield "reasoning_summary_part.done", {"summary_index": 0, "part": part}
            self.item["summary"] = [part]


class HostedCall:
    """A call of a tool that runs here, made and answered at once."""

    def __init__(self, item_id: str, name: str, query: str, include: frozenset[str]) -> None:
        self.item: Body = {"id": item_id, "type": f"{name}_call", "status": "in_progress"}
        self._name = name
        self._query = query
        self._include = include
        if name == "code_interpreter":
            self.item |= {"code": "", "container_id": f"cntr_{item_id.partition('_')[2]}", "outputs": None}
        elif name == "file_search":
            self.item |= {"queries": [], "results": None}
        else:
            self.item["action"] = {"type": "search", "query": query}

    def open(self) -> Iterator[Said]:
        """Its states, one after the other."""
        kind = self.item["type"]
        yield f"{kind}.in_progress", {}
        if self._name == "code_interpreter":
            code = self._code()
            yield f"{kind}_code.delta", {"delta": code}
            yield f"{kind}_code.done", {"code": code}
            yield f"{kind}.interpreting", {}
        else:
            yield f"{kind}.searching", {}
        yield f"{kind}.completed", {}

    def add(self, part: str) -> Iterator[Said]:
        """Nothing: it is complete."""
        yield from ()

    def close(self, status: str) -> Iterator[Said]:
        """What it found, as far as the request wants to see it."""
        self.item |= {"status": "completed", **self._found()}
        yield from ()

    def source(self) -> str | None:
        """An address that the text after it may name."""
        return f"https://example.com/{self.item['id']}" if self._name == "web_search" else None

    def _code(self) -> str:
        return f"len({self._query!r})"

    def _found(self) -> dict[str, Any]:
        if self._name == "web_search":
            action: Body = {"type": "search", "query": self._query, "queries": [self._query]}
            if "web_search_call.action.sources" in self._include:
                action["sources"] = [{"type": "url", "url": self.source()}]
            return {"action": action}
        if self._name == "file_search":
            result = {
                "file_id": "file-sim",
                "filename": "notes.md",
                "score": 0.9,
                "attributes": {},
                "text": self._query,
            }
            return {
                "queries": [self._query],
                "results": [result] if "file_search_call.results" in self._include else None,
            }
        logs = {"type": "logs", "logs": str(len(self._query))}
        return {
            "code": self._code(),
            "outputs": [logs] if "code_interpreter_call.outputs" in self._include else None,
        }
