"""Messages as Gemini's `contents` and `systemInstruction`."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.gemini.fields import read, unsayable
from gateway.upstream.dialects.gemini.models import needs_signatures
from gateway.upstream.dialects.gemini.parts import Contents, Part, parts_of, texts_of

NO_SIGNATURE = "skip_thought_signature_validator"
"""What stands in for a signature that the client lost, or that another model never gave.

ai.google.dev/gemini-api/docs/thought-signatures, "transferring history from a different model"."""


class _Google(msgspec.Struct):
    thought_signature: str | None = None


class _Extra(msgspec.Struct):
    google: _Google | None = None

    @property
    def signature(self) -> str | None:
        return None if self.google is None else self.google.thought_signature


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function | None = None
    id: str | None = None
    extra_content: _Extra | None = None


class _Message(msgspec.Struct):
    role: str
    content: Contents = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    extra_content: _Extra | None = None


_messages_decoder = msgspec.json.Decoder(list[_Message])
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def conversation(raw: msgspec.Raw, model: str) -> dict[str, Any]:
    """`contents`, and `systemInstruction` where there is one. Raises InvalidField."""
    writer = _Writer(needs_signatures(model))
    messages = read(_messages_decoder, raw, "messages")
    for index, message in enumerate(messages):
        writer.write(message, f"messages[{index}]")
    return writer.finish()


class _Writer:
    """Writes one conversation, message by message."""

    def __init__(self, signatures: bool) -> None:
        self._signatures = signatures
        self._system: list[Part] = []
        self._contents: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}
        """Of the functions that were called, by the calls' ids."""
        self._order: dict[str, int] = {}
        """The places of the latest answer's calls."""
        self._results: list[tuple[int, Part]] = []
        """Results of tools that wait to become one turn, with the places of their calls."""

    def write(self, message: _Message, field: str) -> None:
        """Add a message."""
        if message.role == "tool":
            self._result(message, field)
            return
        self._end_results()
        if message.role in ("system", "developer"):
            self._system += texts_of(message.content, f"{field}.content")
        elif message.role == "user":
            self._turn("user", parts_of(message.content, f"{field}.content"))
        elif message.role == "assistant":
            self._answer(message, field)
        else:
            raise unsayable(f"{field}.role", f"there is no role {message.role!r}")

    def finish(self) -> dict[str, Any]:
        """The whole of it."""
        self._end_results()
        if not self._contents:  # Gemini needs a turn: a lone system prompt is what the user says
            return {"contents": [{"role": "user", "parts": self._system}]}
        if not self._system:
            return {"contents": self._contents}
        return {"systemInstruction": {"parts": self._system}, "contents": self._contents}

    def _turn(self, role: str, parts: list[Part]) -> None:
        if parts:
            self._contents.append({"role": role, "parts": parts})

    def _answer(self, message: _Message, field: str) -> None:
        parts = [part for part in parts_of(message.content, f"{field}.content") if part.get("text") != ""]
        if message.refusal:
            parts.append({"text": message.refusal})
        signature = message.extra_content.signature if message.extra_content is not None else None
        if signature is not None and parts:
            parts[-1]["thoughtSignature"] = signature
        calls = message.tool_calls or []
        self._order = {}
        for index, call in enumerate(calls):
            parts.append(self._call(call, index, f"{field}.tool_calls[{index}]"))
        self._turn("model", parts)

    def _call(self, call: _Call, index: int, field: str) -> Part:
        if call.function is None:
            raise unsayable(field, "it calls no function")
        made: dict[str, Any] = {"name": call.function.name, "args": _arguments(call.function.arguments, field)}
        if call.id is not None:
            made["id"] = call.id
            self._names[call.id] = call.function.name
            self._order[call.id] = index
        part: Part = {"functionCall": made}
        signature = call.extra_content.signature if call.extra_content is not None else None
        if signature is not None:
            part["thoughtSignature"] = signature
        elif self._signatures and index == 0:  # of parallel calls the first alone is signed
            part["thoughtSignature"] = NO_SIGNATURE
        return part

    def _result(self, message: _Message, field: str) -> None:
        called = message.tool_call_id
        name = None if called is None else self._names.get(called)
        if called is None or name is None:
            param = f"{field}.tool_call_id"
            raise InvalidField(f"`{param}` names no tool call of an earlier message.", param=param)
        parts = parts_of(message.content, f"{field}.content")
        texts = [part["text"] for part in parts if "text" in part]
        made: dict[str, Any] = {"id": called, "name": name, "response": _response(texts)}
        if media := [part for part in parts if "text" not in part]:
            made["parts"] = media
        self._results.append((self._order.get(called, -1), {"functionResponse": made}))

    def _end_results(self) -> None:
        if self._results:
            self._turn("user", [part for _, part in sorted(self._results, key=_place)])
            self._results = []


def _place(result: tuple[int, Part]) -> int:
    return result[0]


def _arguments(written: str, field: str) -> dict[str, msgspec.Raw]:
    if not written.strip():
        return {}
    try:
        return _object_decoder.decode(written)
    except (msgspec.DecodeError, RecursionError):
        param = f"{field}.function.arguments"
        raise InvalidField(f"`{param}` is not a JSON object, which Gemini needs.", param=param) from None


def _response(texts: list[str]) -> dict[str, Any]:
    """A result as an object: its own where it is one."""
    if len(texts) == 1 and texts[0].lstrip().startswith("{"):
        try:
            return _object_decoder.decode(texts[0])
        except (msgspec.DecodeError, RecursionError):
            pass
    return {"output": "\n".join(texts)}
