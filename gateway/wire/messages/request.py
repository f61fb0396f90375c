"""Requests of the Messages API, read: what they mean in chat, and beside it as they came.

What becomes of the fields:

    model, stream, temperature, top_p, top_k, max_tokens    as they are
    system, messages             `messages`: see `turns` and `content`
    tools, tool_choice           the same: see `tools`
    stop_sequences               `stop`
    service_tier                 `standard_only` is `default`
    metadata                     as it is: attribution reads it
    output_config, output_format `response_format`, as far as they say a schema; the rest as it is
    thinking                     as it is: Farebox's Anthropic dialect takes it; `plain` makes it an effort for others
    context_management           left out where it only clears; else as it is, for what it costs cannot be bounded
    mcp_servers, container       as they are, and refused: only Anthropic runs them
    fallbacks                    refused: the gateway decides which model answers
    thread                       refused, in words that SDKs heed: they send the whole conversation then
    diagnostics and the like     left out
    others                       as they are, unless they mean something else in chat

Fields that are null are left out.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import InvalidField, InvalidJson, MissingField
from gateway.wire.messages.notes import ABSENT, MALFORMED, Notes, is_null, misshapen, missing, wrong
from gateway.wire.messages.output import read_output
from gateway.wire.messages.thoughts import without_ours
from gateway.wire.messages.tools import read_tools
from gateway.wire.messages.turns import read_turns, system_messages
from gateway.wire.native import MESSAGES, Gist, Native

_encode = msgspec.json.encode
Fields = dict[str, msgspec.Raw]

_SAME: Final = ("temperature", "top_p", "top_k", "metadata", "thinking", "cache_control")
_ONLY_NATIVE: Final = {
    "container": "containers are Anthropic's own.",
    "mcp_servers": "only Anthropic's own API calls MCP servers.",
    "inference_geo": "only Anthropic's own API can promise where it runs.",
}
"""What no other provider does, and the answer would be another without it."""
_OTHER_MODELS: Final = "fallbacks"
"""Lets the provider answer with another model than the one that was admitted."""
_KEPT_THERE: Final = "thread"
"""Keeps the conversation at one provider, in an account that orgs share; the next turn may be answered by another."""
_SILENT: Final = ("diagnostics", "user_profile_id", "workspace_id")
"""Of meaning at Anthropic only, and of no consequence for what the request costs."""
_READ: Final = frozenset(
    (
        *("model", "max_tokens", "messages", "system", "stream", "tools", "tool_choice", "stop_sequences"),
        *("service_tier", "output_config", "output_format", "context_management", "speed"),
        *_SAME,
        *_SILENT,
        _OTHER_MODELS,
        _KEPT_THERE,
    )
)
_CHATS_OWN: Final = frozenset(
    (
        *("audio", "best_of", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
        *("max_completion_tokens", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt", "input", "reasoning_effort", "response_format", "seed", "stop", "store", "stream_options"),
        *("top_logprobs", "user", "verbosity", "web_search_options", "safety_identifier", "prompt_cache_key"),
    )
)
"""Fields of chat, which the Messages API does not have: from there they must not become governed ones."""
_GOVERNED: Final = frozenset(("model", "max_tokens", "messages", "system", "stream", "tools", *_ONLY_NATIVE))
"""Fields that what a request may cost depends on."""
_TIERS: Final = {b'"auto"': msgspec.Raw(b'"auto"'), b'"standard_only"': msgspec.Raw(b'"default"')}
_CLEARING: Final = "clear_"

_fields_decoder = msgspec.json.Decoder(Fields)


class _Bounds(msgspec.Struct):
    model: str
    max_tokens: int | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None


class _Edit(msgspec.Struct):
    type: str


class _ContextManagement(msgspec.Struct):
    edits: list[_Edit] | None = None


_bounds_decoder = msgspec.json.Decoder(_Bounds)
_management_decoder = msgspec.json.Decoder(_ContextManagement)


def read(body: bytes, *, bounded: bool = True) -> tuple[bytes, Native]:
    """The chat request that a request of the Messages API means, and the request as it came.

    `bounded` is false for a request whose tokens are to be counted only: it needs no `max_tokens`. Raises BadRequest
    errors that name the field.
    """
    fields = _read_fields(body)
    try:
        bounds = _bounds_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise misshapen("", error) from None
    except MALFORMED as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    if bounds.max_tokens is None and bounded:
        raise MissingField("`max_tokens` is missing: the Messages API wants a bound on the answer.", param="max_tokens")
    if bounds.max_tokens is not None and not 0 <= bounds.max_tokens < 2**31:
        raise wrong("max_tokens", "must be a whole number from 0 on")
    notes = Notes()
    try:
        chat = _chat(fields, bounds, notes)
    except MALFORMED as error:  # texts that are no UTF-8: they are looked into here first
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    if notes.signed_here:
        fields["messages"] = without_ours(fields["messages"])
        body = _encode(fields)
    gist = Gist(
        bounds.model,
        bounds.stream is True,
        {} if bounds.max_tokens is None else {"max_tokens": bounds.max_tokens},
        notes.refused,
        notes.unknown,
        tuple(notes.services),
    )
    return _encode(chat), Native(MESSAGES, body, fields, gist)


def _read_fields(body: bytes) -> Fields:
    try:
        fields = _fields_decoder.decode(body)
    except msgspec.ValidationError:
        raise InvalidJson(
            'The request body must be a JSON object, such as {"model": ..., "messages": [...]}.'
        ) from None
    except RecursionError:
        raise InvalidJson("The request body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if not body.strip():
            raise InvalidJson("The request body is empty; it must be a JSON object.") from None
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    for name in fields:
        plain = name.casefold()
        if plain != name and plain in _GOVERNED:
            # Servers written in Go take it for the field, and would serve another request than the governed one.
            raise InvalidField(f"`{name}` must be written `{plain}`.", param=name)
    return fields


def _chat(fields: Fields, bounds: _Bounds, notes: Notes) -> dict[str, Any]:
    """The chat request's fields."""
    said = {name: raw for name, raw in fields.items() if not is_null(raw)}
    if "messages" not in said:
        raise missing("messages")
    messages = system_messages(said["system"], "system", notes) if "system" in said else []
    messages += read_turns(said["messages"], notes)
    chat: dict[str, Any] = {"model": said["model"], "messages": msgspec.Raw(b"[" + b",".join(messages) + b"]")}
    if bounds.max_tokens is not None:
        chat["max_tokens"] = bounds.max_tokens
    if bounds.stream is not None:
        chat["stream"] = bounds.stream
    chat |= read_tools(said, notes)
    chat |= read_output(said)
    if bounds.stop_sequences:
        chat["stop"] = bounds.stop_sequences
    if "service_tier" in said:
        chat["service_tier"] = _TIERS.get(bytes(said["service_tier"]), said["service_tier"])
    chat |= {name: said[name] for name in _SAME if name in said}
    _put_rest(chat, said, notes)
    return chat


def _put_rest(chat: dict[str, Any], said: Fields, notes: Notes) -> None:
    """What else is Anthropic's: kept where it may cost something, so that it is bounded, or refused under a budget."""
    if _OTHER_MODELS in said and bytes(said[_OTHER_MODELS]) != b"[]":
        raise InvalidField(
            f"`{_OTHER_MODELS}` would let the provider answer with another model, at another price, than the one that "
            "this request was admitted for. Leave it out.",
            param=_OTHER_MODELS,
        )
    if _KEPT_THERE in said:
        raise InvalidField(
            f"`{_KEPT_THERE}` keeps the conversation at one provider, and any may answer the next turn. Send the whole "
            "conversation without it.",
            param=_KEPT_THERE,
        )
    for name, why in _ONLY_NATIVE.items():
        if name in said and bytes(said[name]) not in (b"[]", b"{}", b'""'):
            notes.refuse(name, why)
    if not _only_clears(said.get("context_management", ABSENT)):
        chat["context_management"] = said["context_management"]
    if bytes(said.get("speed", b"")) not in (b"", b'"standard"'):
        chat["speed"] = said["speed"]
    for name, raw in said.items():
        if name not in _READ and name not in _CHATS_OWN:
            chat[name] = raw


def _only_clears(raw: msgspec.Raw) -> bool:
    """Whether `context_management` makes the context smaller, and nothing else."""
    if is_null(raw):
        return True
    try:
        edits = _management_decoder.decode(raw).edits
    except MALFORMED as error:
        raise misshapen("context_management", error) from None
    return all(edit.type.startswith(_CLEARING) for edit in edits or ())
