"""The output items of an answer as they grow, and the events that tell of it.

A chat answer says one text, its thoughts and its calls; here each is an item of its own, with an id and an index, which
is opened, grows by deltas and is closed. Texts are kept as the insides of JSON strings, as they came.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.responses.raw import encode, read_string
from gateway.wire.responses.tools import unwrapped

_COMPLETED: Final = "completed"


class Events:
    """Numbers the events of one stream."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def say(self, kind: str, **fields: Any) -> bytes:
        """An event of the type `kind`."""
        data = encode({"type": kind, "sequence_number": self.number, **fields})
        self.number += 1
        return b"event: " + kind.encode() + b"\ndata: " + _one_line(data) + b"\n\n"

    def delta(self, kind: bytes, place: bytes, delta: bytes) -> bytes:
        """An event with a piece of a text, the most frequent: put together as bytes."""
        event = b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b,"delta":%b}\n\n' % (
            kind,
            kind,
            self.number,
            place,
            delta,
        )
        self.number += 1
        return event


def _one_line(json: bytes) -> bytes:
    """JSON without line ends, which would end the event's line. Inside of texts they are escaped."""
    return json if b"\n" not in json and b"\r" not in json else json.replace(b"\n", b" ").replace(b"\r", b" ")


class Text:
    """A text in pieces."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """The next piece, a JSON string."""
        self._pieces.append(piece[1:-1])

    @property
    def json(self) -> msgspec.Raw:
        """All of it as one JSON string."""
        return msgspec.Raw(b'"' + b"".join(self._pieces) + b'"')


class Item:
    """An item of the output."""

    __slots__ = ("_events", "id", "index", "status")

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        self._events = events
        self.id = item_id
        self.index = index
        self.status = "in_progress"
        """Later `completed`, or `incomplete`."""

    @property
    def open(self) -> bool:
        """Whether it can still grow."""
        return self.status == "in_progress"

    def json(self) -> dict[str, Any]:
        """The item as it stands."""
        raise NotImplementedError

    def added(self) -> bytes:
        """It begins."""
        return self._events.say("response.output_item.added", output_index=self.index, item=self.json())

    def close(self, status: str = _COMPLETED) -> bytes:
        """It ends: the events that say so."""
        self.status = status
        return self._events.say("response.output_item.done", output_index=self.index, item=self.json())

    def _place(self, **where: int) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index, **where}


class Reasoning(Item):
    """What was thought, as a summary of one part: SDKs know no other place for texts that are shown."""

    __slots__ = ("_prefix", "sealed", "text")

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        super().__init__(events, item_id, index)
        self.text: Text | None = None
        self.sealed: str | None = None
        """What its provider wants back."""
        self._prefix = b'"item_id":"%b","output_index":%d,"summary_index":0' % (item_id.encode(), index)

    def json(self) -> dict[str, Any]:
        """The item as it stands."""
        summary = [] if self.text is None else [self._part()]
        said: dict[str, Any] = {"id": self.id, "type": "reasoning", "summary": summary}
        if self.sealed is not None:
            said["encrypted_content"] = self.sealed
        return {**said, "status": self.status}

    def _part(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": msgspec.Raw(b'""') if self.text is None else self.text.json}

    def more(self, piece: bytes) -> bytes:
        """More of the thoughts."""
        begun = b""
        if self.text is None:
            begun = self._events.say(
                "response.reasoning_summary_part.added", **self._place(summary_index=0), part=self._part()
            )
            self.text = Text()
        self.text.add(piece)
        return begun + self._events.delta(b"response.reasoning_summary_text.delta", self._prefix, piece)

    def close(self, status: str = _COMPLETED) -> bytes:
        """It ends."""
        out = b""
        if self.text is not None:
            place = self._place(summary_index=0)
            out = self._events.say("response.reasoning_summary_text.done", **place, text=self.text.json)
            out += self._events.say("response.reasoning_summary_part.done", **place, part=self._part())
        return out + super().close(status)


class Part:
    """A part of a message: its text, or its refusal."""

    __slots__ = ("annotations", "index", "logprobs", "refusal", "text")

    def __init__(self, index: int, *, refusal: bool) -> None:
        self.index = index
        self.refusal = refusal
        self.text = Text()
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []

    def json(self) -> dict[str, Any]:
        """The part as it stands."""
        if self.refusal:
            return {"type": "refusal", "refusal": self.text.json}
        said: dict[str, Any] = {"type": "output_text", "text": self.text.json, "annotations": list(self.annotations)}
        return {**said, "logprobs": list(self.logprobs)}


class Message(Item):
    """What was said."""

    __slots__ = ("_prefix", "parts")

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        super().__init__(events, item_id, index)
        self.parts: list[Part] = []
        self._prefix = b""

    def json(self) -> dict[str, Any]:
        """The item as it stands."""
        content = [part.json() for part in self.parts]
        return {"id": self.id, "type": "message", "status": self.status, "role": "assistant", "content": content}

    def more(self, piece: bytes, logprobs: list[Any] | None = None) -> bytes:
        """More of the text. `logprobs` of its tokens."""
        begun = self._in_part(refusal=False)
        part = self.parts[-1]
        part.text.add(piece)
        if not logprobs:
            return begun + self._events.delta(b"response.output_text.delta", self._prefix, piece)
        part.logprobs += logprobs
        place = self._place(content_index=part.index)
        return begun + self._events.say(
            "response.output_text.delta", **place, delta=msgspec.Raw(piece), logprobs=logprobs
        )

    def refuse(self, piece: bytes) -> bytes:
        """More of the refusal."""
        begun = self._in_part(refusal=True)
        self.parts[-1].text.add(piece)
        return begun + self._events.delta(b"response.refusal.delta", self._prefix, piece)

    def annotate(self, annotation: dict[str, Any]) -> bytes:
        """A source of what was said."""
        begun = self._in_part(refusal=False)
        part = self.parts[-1]
        part.annotations.append(annotation)
        place = self._place(content_index=part.index, annotation_index=len(part.annotations) - 1)
        return begun + self._events.say("response.output_text.annotation.added", **place, annotation=annotation)

    def _in_part(self, *, refusal: bool) -> bytes:
        if self.parts and self.parts[-1].refusal == refusal:
            return b""
        ended = self._end_part()
        part = Part(len(self.parts), refusal=refusal)
        place = self._place(content_index=part.index)
        self.parts.append(part)
        self._prefix = b'"item_id":"%b","output_index":%d,"content_index":%d' % (
            self.id.encode(),
            self.index,
            part.index,
        )
        if not refusal:
            self._prefix += b',"logprobs":[]'
        return ended + self._events.say("response.content_part.added", **place, part=part.json())

    def _end_part(self) -> bytes:
        if not self.parts:
            return b""
        part = self.parts[-1]
        place = self._place(content_index=part.index)
        if part.refusal:
            out = self._events.say("response.refusal.done", **place, refusal=part.text.json)
        else:
            out = self._events.say(
                "response.output_text.done", **place, text=part.text.json, logprobs=list(part.logprobs)
            )
        return out + self._events.say("response.content_part.done", **place, part=part.json())

    def close(self, status: str = _COMPLETED) -> bytes:
        """It ends."""
        return self._end_part() + super().close(status)


class Call(Item):
    """A call of one of the client's functions."""

    __slots__ = ("_prefix", "arguments", "call_id", "name")

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        super().__init__(events, item_id, index)
        self.call_id: Any = ""
        self.name: Any = ""
        self.arguments = Text()
        self._prefix = b'"item_id":"%b","output_index":%d' % (item_id.encode(), index)

    def json(self) -> dict[str, Any]:
        """The item as it stands."""
        return {**self._head("function_call"), "arguments": self.arguments.json}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "type": kind, "status": self.status, "call_id": self.call_id, "name": self.name}

    def more(self, piece: bytes) -> bytes:
        """More of the arguments."""
        self.arguments.add(piece)
        return self._events.delta(b"response.function_call_arguments.delta", self._prefix, piece)

    def close(self, status: str = _COMPLETED) -> bytes:
        """It ends."""
        said = {"name": self.name, "arguments": self.arguments.json}
        done = self._events.say("response.function_call_arguments.done", **self._place(), **said)
        return done + super().close(status)


class CustomCall(Call):
    """A call of a custom tool, which is a function in chat: its text is told when the arguments are whole."""

    __slots__ = ("_text",)

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        super().__init__(events, item_id, index)
        self._text = ""

    def json(self) -> dict[str, Any]:
        """The item as it stands."""
        return {**self._head("custom_tool_call"), "input": self._text}

    def more(self, piece: bytes) -> bytes:
        """More of the arguments."""
        self.arguments.add(piece)
        return b""

    def close(self, status: str = _COMPLETED) -> bytes:
        """It ends."""
        self._text = unwrapped(read_string(self.arguments.json))
        place = self._place()
        out = b""
        if self._text:
            out = self._events.say("response.custom_tool_call_input.delta", **place, delta=self._text)
        out += self._events.say("response.custom_tool_call_input.done", **place, input=self._text)
        return out + Item.close(self, status)
