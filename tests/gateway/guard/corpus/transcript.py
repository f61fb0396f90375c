"""A conversation of an agent with its model, written down a line at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Self

import msgspec

Message = dict[str, Any]


class Transcript:
    """The messages that an agent has sent by the end; every request on the way there was a beginning of them."""

    def __init__(self, task: str = "Do the task.") -> None:
        self.messages: list[Message] = [
            {"role": "system", "content": "You are a careful agent. Use the tools."},
            {"role": "user", "content": task},
        ]
        self._ids = 0

    def user(self, text: str) -> Self:
        """The user says something."""
        self.messages.append({"role": "user", "content": text})
        return self

    def say(self, text: str) -> Self:
        """The model says something."""
        self.messages.append({"role": "assistant", "content": text})
        return self

    def call(self, tool: str, result: Any, **arguments: Any) -> Self:
        """The model calls one tool and gets its result."""
        return self.together((tool, arguments, result))

    def together(self, *calls: tuple[str, dict[str, Any], Any]) -> Self:
        """The model calls several tools side by side."""
        made, results = [], []
        for tool, arguments, result in calls:
            self._ids += 1
            call_id = f"call_{self._ids}"
            function = {"name": tool, "arguments": json.dumps(arguments)}
            made.append({"id": call_id, "type": "function", "function": function})
            content = result if isinstance(result, str) else json.dumps(result)
            results.append({"role": "tool", "tool_call_id": call_id, "content": content})
        self.messages += [{"role": "assistant", "content": None, "tool_calls": made}, *results]
        return self

    def requests(self) -> Iterator[list[Message]]:
        """The messages of each request that the agent made."""
        for index, message in enumerate(self.messages):
            if message["role"] == "assistant":
                yield self.messages[:index]
        yield self.messages


def raw(messages: list[Message]) -> msgspec.Raw:
    """Messages as they stand in a request."""
    return msgspec.Raw(json.dumps(messages).encode())
