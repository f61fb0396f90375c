"""Whether a whole answer will do: the checks that a policy's rule asks for. Pure.

`schema`      the answer is JSON that fits the request's `response_format`
`tool_calls`  it calls tools of the request, with arguments that fit; and one at all where `tool_choice` demands it
`refusal`     the model does not refuse: by the wire's own field or finish reason, or in the words models refuse in
`empty`       there is a text or a tool call

All choices of an answer have to pass. What cannot be read of a request is not held against an answer.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from gateway.wire.json_schema import fits
from gateway.wire.requests import ModelRequest
from routing.rules import Answer, Verify

_REFUSAL: Final = re.compile(
    r"\W*(?:(?:i['\u2019]?m |i am )?(?:really |very |so )?sorry|unfortunately|i apologi[sz]e)?"
    r"\W*(?:but )?\W*(?:i|we) (?:can ?not|can['\u2019]?t|am unable to|['\u2019]?m unable to|am not able to|"
    r"['\u2019]?m not able to|won['\u2019]?t|will not|must decline to) (?:be able to )?"
    r"(?:assist|help|comply|provide|fulfil|answer|do that|do this|support|engage|share|discuss|create|generate)",
    re.IGNORECASE,
)
_LOOKED_AT: Final = 200
"""Characters of an answer: who refuses does so at once."""
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_Json = dict[str, Any]


def unmet(verify: Verify, request: ModelRequest, body: bytes, output_tokens: int) -> str:
    """The first check that an answer fails; `condition` for the rule's own; empty when it will do."""
    choices = _choices(body)
    for check in verify.checks:
        if not choices or not all(_CHECKS[check](choice, request) for choice in choices):
            return check
    if verify.condition is not None and not verify.condition.matches(_answer(choices, output_tokens)):
        return "condition"
    return ""


def _choices(body: bytes) -> list[_Json]:
    found = _decoded(body)
    choices = found.get("choices") if isinstance(found, dict) else None
    return [each for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []


def _decoded(raw: bytes | str | None) -> Any:
    """A JSON value; None for what is none."""
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except _MALFORMED:
        return None


def _message(choice: _Json) -> _Json:
    message = choice.get("message")
    return message if isinstance(message, dict) else {}


def _text(choice: _Json) -> str:
    for text in (choice.get("text"), _message(choice).get("content")):
        if isinstance(text, str):
            return text
    return ""


def _calls(choice: _Json) -> list[_Json]:
    calls = _message(choice).get("tool_calls")
    return [each for each in calls if isinstance(each, dict)] if isinstance(calls, list) else []


def _answer(choices: list[_Json], output_tokens: int) -> Answer:
    if not choices:
        return Answer("", "", 0, output_tokens)
    first = choices[0]
    reason = first.get("finish_reason")
    return Answer(_text(first), reason if isinstance(reason, str) else "", len(_calls(first)), output_tokens)


def _is_there(choice: _Json, _request: ModelRequest) -> bool:
    return bool(_text(choice).strip() or _calls(choice))


def _is_willing(choice: _Json, _request: ModelRequest) -> bool:
    if _message(choice).get("refusal") or choice.get("finish_reason") == "content_filter":
        return False
    return _REFUSAL.match(_text(choice)[:_LOOKED_AT]) is None


def _keeps_to_schema(choice: _Json, request: ModelRequest) -> bool:
    wanted = _decoded(bytes(request.fields.get("response_format", b"null")))
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("json_schema", "json_object") or _calls(choice):
        return True
    try:
        value = msgspec.json.decode(_text(choice))
    except _MALFORMED:
        return False
    if kind == "json_object":
        return isinstance(value, dict)
    described = wanted.get("json_schema")
    return fits(value, described.get("schema", True)) if isinstance(described, dict) else True


def _calls_well(choice: _Json, request: ModelRequest) -> bool:
    calls = _calls(choice)
    if not calls:
        return not _demands_a_call(request)
    tools = _tools(request)
    for call in calls:
        function = call.get("function")
        if not isinstance(function, dict):  # a kind of tool that is not known here
            continue
        if function.get("name") not in tools:
            return False
        written = function.get("arguments")
        try:
            arguments = msgspec.json.decode(written) if written else {}
        except _MALFORMED:
            return False
        if not fits(arguments, tools[function["name"]]):
            return False
    return True


def _tools(request: ModelRequest) -> dict[Any, Any]:
    """The schemas of the request's tools, by name."""
    written = _decoded(bytes(request.fields.get("tools", b"null")))
    functions = (
        [each.get("function") for each in written if isinstance(each, dict)] if isinstance(written, list) else []
    )
    return {each.get("name"): each.get("parameters", True) for each in functions if isinstance(each, dict)}


def _demands_a_call(request: ModelRequest) -> bool:
    choice = _decoded(bytes(request.fields.get("tool_choice", b"null")))
    return choice == "required" or (isinstance(choice, dict) and choice.get("type") == "function")


_CHECKS: Final = {
    "schema": _keeps_to_schema,
    "tool_calls": _calls_well,
    "refusal": _is_willing,
    "empty": _is_there,
}
