"""What the model says: text, JSON or tool calls, cut into the pieces that a stream delivers."""

from __future__ import annotations

import codecs
import math
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import msgspec

from gateway.simulator import prompt, writing
from gateway.simulator.fields import Body, ChatAsk
from gateway.simulator.models import SimModel
from gateway.simulator.schema import SchemaFiller
from gateway.simulator.tokenizer import Tokenizer

_CALL_OVERHEAD_TOKENS = 5
_REASONING_STRIDE = 16
"""Hidden tokens per piece: nobody sees them singly."""
_THINKING_TOKENS = 120
"""Median length of thinking that is shown."""
_TALK = ("I'll look that up.", "Let me check this first.", "One moment, I need to call a tool for that.")
_ANY_OBJECT: Body = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["answer", "confidence", "topics"],
}


class Piece(NamedTuple):
    """Some tokens, generated together."""

    tokens: int
    delta: Body | None
    """What a stream shows of them, as a chat delta; None for hidden reasoning.

    Chat has no words for two: `{"thinking": TEXT}`, and `{"hosted": {"name": ..., "query": ...}}` for a whole call of a
    tool that runs at the provider.
    """

    @property
    def is_reasoning(self) -> bool:
        """Whether it is reasoning, hidden or shown."""
        return self.delta is None or "thinking" in self.delta


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer."""

    pieces: tuple[Piece, ...]
    finish_reason: str
    text: str | None
    tool_calls: tuple[Body, ...] = ()
    reasoning_tokens: int = 0
    stop_sequence: str | None = None
    """The stop that ended it."""


class Head(NamedTuple):
    """What comes before the answer itself."""

    pieces: list[Piece]
    tokens: int = 0
    reasoning: int = 0


class Manner(NamedTuple):
    """How one request wants its answer."""

    tokens: int | None = None
    """Exactly so long a text; None leaves it to the dice."""
    single: bool = False
    """One token a piece."""
    one_tool: str | None = None
    """Calls the first tool with this in its name once, then answers. Where it must call then (`required`), it calls
    the last one."""


_FREE = Manner()


class Author:
    """Writes the answers of one model, limited in length."""

    def __init__(
        self, model: SimModel, tokenizer: Tokenizer, limit: int, stop: tuple[str, ...], manner: Manner = _FREE
    ) -> None:
        """`limit`: most output tokens per choice, hidden ones included."""
        self._manner = manner
        self._model = model
        self._tokenizer = tokenizer
        self._limit = limit
        self._stop = stop

    def chat(self, ask: ChatAsk, dice: Random) -> Choice:
        """One answer to a chat request."""
        head = self._head(ask, dice)
        word = self._manner.one_tool
        names = _tools_to_call(ask, dice) if word is None else _one_tool(ask, word)
        if names:
            if ask.talks and dice.random() < 0.5:
                head = self._with_talk(head, dice)
            return self._calls([tool for name in names for tool in ask.tools if tool["name"] == name], head, dice)
        if ask.schema is not None:
            value = SchemaFiller(ask.schema or _ANY_OBJECT, dice).fill()
            text = msgspec.json.encode(value).decode()
        else:
            text = writing.write(prompt.question(ask.messages), self._text_tokens(dice), dice)
        return self._text(text, head, dice)

    def completion(self, question: str, dice: Random) -> Choice:
        """One continuation of a legacy prompt. Never reasons."""
        return self._text(writing.write(question, self._text_tokens(dice), dice), Head([]), dice)

    def _head(self, ask: ChatAsk, dice: Random) -> Head:
        """Reasoning, hidden or shown, and calls of tools that run at the provider."""
        reasoning = self._reasoning(dice) if ask.reasons else 0
        pieces = _hidden(reasoning)
        if ask.thinking:
            text = writing.write(prompt.question(ask.messages), self._length(_THINKING_TOKENS, dice), dice)
            ids = self._tokenizer.encode(text)[: min(ask.thinking, self._limit)]
            reasoning += len(ids)
            parts = _split(self._tokenizer.decode_each(ids), dice, single=self._manner.single)
            pieces += [Piece(tokens, {"thinking": part}) for tokens, part in parts]
        tokens = reasoning
        for name in _hosted_to_call(ask, dice):
            query = " ".join(writing.topics(prompt.question(ask.messages), dice))
            size = len(self._tokenizer.encode(query)) + _CALL_OVERHEAD_TOKENS
            if tokens + size > self._limit:
                break
            pieces.append(Piece(size, {"hosted": {"name": name, "query": query}}))
            tokens += size
        return Head(pieces, tokens, reasoning)

    def _with_talk(self, head: Head, dice: Random) -> Head:
        ids = self._tokenizer.encode(dice.choice(_TALK))[: self._limit - head.tokens]
        parts = _split(self._tokenizer.decode_each(ids), dice, single=self._manner.single)
        pieces = [*head.pieces, *(Piece(tokens, {"content": part}) for tokens, part in parts)]
        return Head(pieces, head.tokens + len(ids), head.reasoning)

    def _text_tokens(self, dice: Random) -> int:
        if self._manner.tokens is not None:
            return 2 * self._manner.tokens  # what is written is counted in words, and cut to tokens later
        return self._length(self._model.answer_tokens, dice)

    def _length(self, median: int, dice: Random) -> int:
        return max(8, min(8 * median, round(median * math.exp(dice.gauss(0.0, 0.6)))))

    def _reasoning(self, dice: Random) -> int:
        if not self._model.reasoning_tokens:
            return 0
        return min(self._length(self._model.reasoning_tokens, dice), self._limit)

    def _text(self, text: str, head: Head, dice: Random) -> Choice:
        found = [(at, stop) for at, stop in ((text.find(stop), stop) for stop in self._stop) if at >= 0]
        at, stop = min(found, default=(len(text), None))
        ids = self._tokenizer.encode(text[:at])[: self._manner.tokens]
        room = self._limit - head.tokens
        cut = len(ids) > room
        pieces = list(head.pieces)
        shown: list[str] = []
        for tokens, part in _split(self._tokenizer.decode_each(ids[:room]), dice, single=self._manner.single):
            shown.append(part)
            pieces.append(Piece(tokens, {"content": part}))
        finish = "length" if cut else "stop"
        return Choice(tuple(pieces), finish, "".join(shown), (), head.reasoning, None if cut else stop)

    def _calls(self, tools: list[Body], head: Head, dice: Random) -> Choice:
        pieces = list(head.pieces)
        room = self._limit - head.tokens
        calls: list[Body] = []
        for index, tool in enumerate(tools):
            name = tool["name"]
            size = len(self._tokenizer.encode(name)) + _CALL_OVERHEAD_TOKENS
            if room < size:
                return Choice(tuple(pieces), "length", None, tuple(calls), head.reasoning)
            call = {"id": f"call_{dice.getrandbits(96):024x}", "type": "function"}
            pieces.append(
                Piece(size, {"tool_calls": [{"index": index, **call, "function": {"name": name, "arguments": ""}}]})
            )
            room -= size
            ids = self._tokenizer.encode(_arguments(tool, dice))
            shown = ""
            for tokens, part in _split(self._tokenizer.decode_each(ids[:room]), dice, single=self._manner.single):
                shown += part
                pieces.append(Piece(tokens, {"tool_calls": [{"index": index, "function": {"arguments": part}}]}))
            calls.append({**call, "function": {"name": name, "arguments": shown}})
            if len(ids) > room:
                return Choice(tuple(pieces), "length", None, tuple(calls), head.reasoning)
            room -= len(ids)
        return Choice(tuple(pieces), "tool_calls", None, tuple(calls), head.reasoning)


def _arguments(tool: Body, dice: Random) -> str:
    if tool.get("custom"):
        return writing.write("", 12, dice)
    parameters = tool.get("parameters")
    arguments = SchemaFiller(parameters, dice).fill() if isinstance(parameters, dict) and parameters else {}
    return msgspec.json.encode(arguments).decode()


def _hosted_to_call(ask: ChatAsk, dice: Random) -> list[str]:
    """The provider's own tools to call now: each once or twice after a question, as far as the request allows."""
    if not ask.hosted or ask.tool_choice == "none" or ask.tool_choice.startswith("function:"):
        return []
    if ask.messages[-1]["role"] in {"tool", "function"}:
        return []
    wanted = ask.tool_choice.removeprefix("hosted:")
    called = [tool for tool in ask.hosted if wanted in {"auto", "required", tool.name}]
    names = [
        tool.name for tool in called for _ in range(min(dice.randint(1, 2), 2 if tool.most is None else tool.most))
    ]
    return names[: ask.most_hosted]


def _tools_to_call(ask: ChatAsk, dice: Random) -> list[str]:
    """The names of the tools to call now; none to answer in text."""
    if ask.tool_choice == "none" or not ask.tools:
        return []
    if ask.tool_choice.startswith("function:"):
        return [ask.tool_choice.removeprefix("function:")]
    if ask.tool_choice.startswith("hosted:"):
        return []
    answered = ask.messages[-1]["role"] in {"tool", "function"}
    if ask.tool_choice == "auto" and dice.random() < (0.8 if answered else 0.3):
        return []
    many = ask.parallel_tool_calls and dice.random() < 0.25
    return [dice.choice(ask.tools)["name"] for _ in range(2 if many else 1)]


def _one_tool(ask: ChatAsk, word: str) -> list[str]:
    """The first tool until the model has spoken; the last where a call is required even then; a named one always.

    Frameworks tell a tool's result in other words too (as a user's), so what counts is the model's own turn.
    """
    if ask.tool_choice == "none" or not ask.tools:
        return []
    if ask.tool_choice.startswith("function:"):
        return [ask.tool_choice.removeprefix("function:")]
    if ask.tool_choice.startswith("hosted:"):
        return []
    answered = any(message["role"] in {"assistant", "tool", "function"} for message in ask.messages)
    if answered and ask.tool_choice != "required":
        return []
    names = [str(tool["name"]) for tool in ask.tools]
    return [names[-1] if answered else next((name for name in names if word in name), names[0])]


def _hidden(tokens: int) -> list[Piece]:
    whole, rest = divmod(tokens, _REASONING_STRIDE)
    return [Piece(_REASONING_STRIDE, None)] * whole + ([Piece(rest, None)] if rest else [])


def _split(tokens: list[bytes], dice: Random, *, single: bool = False) -> list[tuple[int, str]]:
    """Tokens in groups of mostly one, sometimes up to four, never inside a character; `single`: one by one."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    groups: list[tuple[int, str]] = []
    text, count, wanted = "", 0, 1
    for token in tokens:
        text += decoder.decode(token)
        count += 1
        if count >= wanted and text:
            groups.append((count, text))
            text, count = "", 0
            wanted = 1 if single or dice.random() < 0.9 else dice.randint(2, 4)
    if count:
        groups.append((count, text + decoder.decode(b"", final=True)))
    return groups
