"""The items of a request's `input`, checked as OpenAI checks them, and read as messages of a chat."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulator.errors import SimError, invalid, missing, wrong_type
from gateway.simulator.fields import Body
from gateway.simulator.responses.shelf import Shelf
from gateway.simulator.seals import is_sealed

_MESSAGE_PARTS = {
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "assistant": ("output_text", "refusal"),
}
_ROLES = ("assistant", "system", "developer", "user")
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
}
_CALLS = frozenset(("function_call", "custom_tool_call"))
_OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
_OTHERS = frozenset(
    (
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "computer_call"),
        *("local_shell_call", "shell_call", "apply_patch_call", "mcp_list_tools", "mcp_approval_request", "mcp_call"),
        *("tool_search_call", "additional_tools", "compaction", "compaction_trigger", "program"),
    )
)
_OTHER_OUTPUTS = frozenset(
    (
        *("computer_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output"),
        *("mcp_approval_response", "tool_search_output", "program_output"),
    )
)
_MAX_CALL_ID = 64


def as_items(value: Any) -> list[Body]:
    """The `input` field as items. Raises SimError (400)."""
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array of objects", value)
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong_type(f"input[{index}]", "an object", item)
    return [item if item.get("type") else {**item, "type": _implied(item)} for item in value]


def _implied(item: Body) -> str:
    """The type of an item that names none."""
    return "item_reference" if "role" not in item and "id" in item else "message"


def _kind(item: Body) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else str(kind)


class Reader:
    """Reads items one after the other. `shelf` knows the items of kept responses."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.messages: list[Body] = []
        """The items as messages of a chat."""
        self._calls: dict[str, str] = {}
        self._unanswered: dict[str, str] = {}
        self._trusted = False

    def read(self, items: list[Body], *, trusted: bool = False) -> None:
        """Read some more items. Raises SimError (400, 404). `trusted` ones were made here."""
        self._trusted = trusted
        for index, item in enumerate(items):
            self._read(item, f"input[{index}]")

    def finish(self) -> None:
        """There are no more items. Raises SimError (400) when a call has no output."""
        for call_id, kind in self._unanswered.items():
            name = "function call" if kind == "function_call" else "custom tool call"
            raise invalid(f"No tool output found for {name} {call_id}.", "input")

    def _read(self, item: Body, where: str) -> None:
        kind = _kind(item)
        if kind == "item_reference":
            item = self._referred(item)
            kind = _kind(item)
        _check_id(item, kind, where)
        if kind == "message":
            self._message(item, where)
        elif kind in _CALLS:
            self._call(item, kind, where)
        elif kind in _OUTPUTS:
            self._output(item, kind, where)
        elif kind == "reasoning":
            self._reasoning(item, where)
        elif kind in _OTHERS:
            self.messages.append({"role": "assistant", "content": _json(item)})
        elif kind in _OTHER_OUTPUTS:
            self.messages.append({"role": "tool", "content": _json(item)})
        else:
            supported = ", ".join(sorted({"message", "reasoning", "item_reference", *_CALLS, *_OUTPUTS, *_OTHERS}))
            raise invalid(f"Invalid value: '{kind}'. Supported values are: {supported}.", where, "invalid_value")

    def _referred(self, item: Body) -> Body:
        found = self._shelf.item(str(item.get("id")))
        if found is None:
            raise _not_kept(str(item.get("id")))
        return found

    def _message(self, item: Body, where: str) -> None:
        role = str(item.get("role"))
        if role not in _ROLES:
            supported = ", ".join(f"'{name}'" for name in _ROLES)
            raise invalid(f"Invalid value: {role!r}. Supported values are: {supported}.", where, "invalid_value")
        content = item.get("content")
        if isinstance(content, str):
            self.messages.append({"role": role, "content": content})
            return
        if not isinstance(content, list):
            raise wrong_type(f"{where}.content", "a string or an array of objects", content)
        allowed = _MESSAGE_PARTS.get(role, _MESSAGE_PARTS["user"])
        parts = [_part(part, allowed, f"{where}.content[{index}]") for index, part in enumerate(content)]
        self.messages.append({"role": role, "content": parts})

    def _call(self, item: Body, kind: str, where: str) -> None:
        call_id, name = _call_id(item, where), item.get("name")
        said = item.get("arguments" if kind == "function_call" else "input")
        if not isinstance(name, str):
            raise missing(f"{where}.name")
        if not isinstance(said, str):
            raise missing(f"{where}.{'arguments' if kind == 'function_call' else 'input'}")
        self._calls[call_id] = self._unanswered[call_id] = kind
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": said}}
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant" and "tool_calls" in last:
            last["tool_calls"].append(call)
        else:
            self.messages.append({"role": "assistant", "content": None, "tool_calls": [call]})

    def _output(self, item: Body, kind: str, where: str) -> None:
        call_id, output = _call_id(item, where), item.get("output")
        if self._calls.get(call_id) != _OUTPUTS[kind]:
            name = "function call" if kind == "function_call_output" else "custom tool call"
            raise invalid(f"No tool call found for {name} output with call_id {call_id}.", "input")
        self._unanswered.pop(call_id, None)
        if isinstance(output, list):
            allowed = _MESSAGE_PARTS["user"]
            output = [_part(part, allowed, f"{where}.output[{index}]") for index, part in enumerate(output)]
        elif not isinstance(output, str):
            raise wrong_type(f"{where}.output", "a string or an array of objects", output)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": output})

    def _reasoning(self, item: Body, where: str) -> None:
        sealed = item.get("encrypted_content")
        item_id = str(item.get("id", ""))
        if sealed is None or self._trusted:
            if not self._trusted and self._shelf.item(item_id) is None:
                raise _not_kept(item_id)
        elif not isinstance(sealed, str) or not is_sealed("", sealed):
            raise invalid(
                f"The encrypted content for item {item_id} could not be verified. Reason: Encrypted content could not "
                "be decrypted or parsed.",
                where,
                "invalid_encrypted_content",
            )
        summary = item.get("summary")
        if not isinstance(summary, list):
            raise missing(f"{where}.summary")
        text = " ".join(str(part.get("text")) for part in summary if isinstance(part, dict))
        self.messages.append({"role": "assistant", "content": text})


def _part(part: Any, allowed: tuple[str, ...], where: str) -> Body:
    """A content part as one of a chat."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in allowed:
        supported = ", ".join(f"'{name}'" for name in allowed)
        raise invalid(f"Invalid value: {kind!r}. Supported values are: {supported}.", where, "invalid_value")
    if kind == "input_image":
        url = part.get("image_url") or part.get("file_id")
        if not isinstance(url, str):
            raise missing(f"{where}.image_url")
        return {"type": "image_url", "image_url": {"url": url, "detail": part.get("detail") or "auto"}}
    if kind in {"input_file", "input_audio"}:
        return {"type": "text", "text": _json(part)}
    text = part.get("refusal" if kind == "refusal" else "text")
    if not isinstance(text, str):
        raise missing(f"{where}.text")
    return {"type": "text", "text": text}


def _call_id(item: Body, where: str) -> str:
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or not call_id:
        raise missing(f"{where}.call_id")
    if len(call_id) > _MAX_CALL_ID:
        raise invalid(
            f"Invalid '{where}.call_id': string too long. Expected a string with maximum length {_MAX_CALL_ID}, "
            f"but got a string with length {len(call_id)} instead.",
            f"{where}.call_id",
            "string_above_max_length",
        )
    return call_id


def _check_id(item: Body, kind: str, where: str) -> None:
    prefix, item_id = _PREFIXES.get(kind), item.get("id")
    if prefix is None or item_id is None:
        return
    if not isinstance(item_id, str) or not item_id.startswith(prefix):
        message = f"Invalid '{where}.id': {str(item_id)!r}. Expected an ID that begins with '{prefix}'."
        raise invalid(message, f"{where}.id", "invalid_value")


def _not_kept(item_id: str) -> SimError:
    message = (
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. Try again with "
        "`store` set to true, or remove this item from your input."
    )
    return SimError(404, message, param="input")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
