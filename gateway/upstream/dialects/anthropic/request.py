"""A chat request in Anthropic's words. The package's docstring has the table of what becomes of each field."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic.abilities import Abilities, abilities_of
from gateway.upstream.dialects.anthropic.content import NULL
from gateway.upstream.dialects.anthropic.messages import Conversation, read_conversation
from gateway.upstream.dialects.anthropic.schema import adapted
from gateway.upstream.dialects.anthropic.thinking import Thinking, read_thinking
from gateway.upstream.dialects.anthropic.tools import Tools, read_tools
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import ModelRequest

DEFAULT_MAX_TOKENS: Final = 4_096
"""When nobody bounds the answer: the API demands a bound."""

_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOTHING: Final = (*NULL, b"false", b"0", b"{}", b"[]", b'""')

_REFUSED: Final = {
    "audio": "Claude does not speak.",
    "function_call": "Send `tool_choice` in its place.",
    "functions": "Send `tools` in their place.",
    "logit_bias": "Claude's tokens are other ones.",
    "logprobs": "Claude gives no log probabilities.",
    "moderation": "Claude moderates nothing on request.",
    "top_logprobs": "Claude gives no log probabilities.",
    "web_search_options": "Send Anthropic's web search as one of `tools`.",
}
"""Fields that would change the answer, and why they cannot."""

_TRANSLATED: Final = (
    *("max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "n", "output_config"),
    *("parallel_tool_calls", "reasoning_effort", "response_format", "safety_identifier", "service_tier", "stop"),
    *("stream", "system", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p", "user"),
)
_HINTS: Final = (
    *("frequency_penalty", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options"),
    *("prompt_cache_retention", "seed", "store", "stream_options", "verbosity"),
)
_NOT_PASSED: Final = frozenset((*_REFUSED, *_TRANSLATED, *_HINTS))
_TIERS: Final = {
    "auto": "auto",
    "default": "standard_only",
    "fast": "auto",
    "flex": "standard_only",
    "priority": "auto",
    "scale": "auto",
}

Fields = dict[str, msgspec.Raw]

_fields_decoder = msgspec.json.Decoder(Fields)


class _SchemaFormat(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw(b"")


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _SchemaFormat | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


def wants_json_object(request: ModelRequest) -> bool:
    """Whether the answer is to be JSON of no schema, which a tool has to stand in for."""
    raw = request.fields.get("response_format")
    return raw is not None and b"json_object" in bytes(raw) and _response_format(request.fields) == "json_object"


def provider_body(request: ModelRequest, wish: Wish, *, sampling: bool) -> bytes:
    """The request's body. `sampling` is false where the API's version knows no `temperature`. Raises InvalidField."""
    fields = {name: raw for name, raw in request.fields.items() if bytes(memoryview(raw)[:5]) != b"null"}
    _refuse(fields)
    abilities = abilities_of(wish.upstream_model)
    max_tokens = bound_of(request, wish)
    conversation = read_conversation(fields["messages"], system_turns=abilities.system_turns)
    tools = read_tools(fields, abilities, json_tool=wants_json_object(request))
    thinking = read_thinking(fields, abilities, max_tokens, impossible=_cannot_think(conversation, tools, abilities))
    body: dict[str, Any] = {"model": wish.upstream_model, "max_tokens": max_tokens}
    _put_conversation(body, conversation, fields)
    if tools.tools:
        body["tools"] = tools.tools
        if tools.choice is not None:
            body["tool_choice"] = tools.choice
    if thinking.thinking is not None:
        body["thinking"] = thinking.thinking
    _put_output(body, fields, thinking.effort, abilities)
    if sampling and abilities.sampling:
        _put_sampling(body, fields, thinking, abilities)
    _put_rest(body, fields)
    if wish.stream:
        body["stream"] = True
    return _encode(body)


def _refuse(fields: Fields) -> None:
    """Raise InvalidField for what cannot be said and is no mere hint."""
    for name, why in _REFUSED.items():
        if name in fields and bytes(fields[name]) not in _NOTHING:
            raise InvalidField(f"`{name}` cannot be used with this model. {why}", param=name)
    if bytes(fields.get("n", b"1")) not in (b"1", b"1.0"):
        raise InvalidField("`n` must be 1: this model gives one answer.", param="n")
    if b'"audio"' in bytes(fields.get("modalities", b"")):
        raise InvalidField("`modalities`: Claude does not speak.", param="modalities")


def bound_of(request: ModelRequest, wish: Wish) -> int:
    """`max_tokens` of the request: the client's, at most the wish's and the model's; else theirs."""
    own = request.max_completion_tokens
    if own is None or own < 0:
        own = request.max_tokens
    if own is not None and own < 0:
        own = None
    bounds = [each for each in (own, wish.max_tokens, wish.model_max_output_tokens) if each is not None]
    return min(bounds) if bounds else DEFAULT_MAX_TOKENS


def _cannot_think(conversation: Conversation, tools: Tools, abilities: Abilities) -> bool:
    return tools.forced or (conversation.thoughtless_calls and abilities.thinking == "budget")


def _put_conversation(body: dict[str, Any], conversation: Conversation, fields: Fields) -> None:
    system = conversation.system_json()
    if "system" in fields:  # Anthropic's own field
        if system:
            raise InvalidField("Send either `system` or messages with the role `system`.", param="system")
        body["system"] = fields["system"]
    elif system:
        body["system"] = msgspec.Raw(system)
    body["messages"] = msgspec.Raw(conversation.messages_json())


def _put_output(body: dict[str, Any], fields: Fields, effort: str | None, abilities: Abilities) -> None:
    """`output_config`: the client's own, the effort and the schema of the answer."""
    config: dict[str, Any] = {}
    if "output_config" in fields:
        try:
            config = dict(_fields_decoder.decode(fields["output_config"]))
        except _MALFORMED:
            raise InvalidField("`output_config` must be an object.", param="output_config") from None
    if effort is not None:
        config.setdefault("effort", effort)
    found = _response_format(fields)
    if isinstance(found, msgspec.Raw):
        if not abilities.formats:
            raise InvalidField("`response_format`: this model knows no schemas for answers.", param="response_format")
        config.setdefault("format", {"type": "json_schema", "schema": adapted(found)})
    if config:
        body["output_config"] = config


def _response_format(fields: Fields) -> str | msgspec.Raw | None:
    """The schema of `json_schema`; the type of any other format. Raises InvalidField for one that is not known."""
    raw = fields.get("response_format")
    if raw is None or bytes(raw) in NULL:
        return None
    try:
        read = msgspec.json.decode(raw, type=_ResponseFormat)
    except _MALFORMED:
        raise InvalidField("`response_format` is not valid.", param="response_format") from None
    if read.type in ("text", "json_object"):
        return read.type
    if read.type != "json_schema":
        raise InvalidField(f"`response_format.type` {read.type[:32]!r} is not known.", param="response_format.type")
    if read.json_schema is None or bytes(memoryview(read.json_schema.schema)[:1]) != b"{":
        param = "response_format.json_schema.schema"
        raise InvalidField(f"`{param}` is missing.", param=param)
    return read.json_schema.schema


def _put_sampling(body: dict[str, Any], fields: Fields, thinking: Thinking, abilities: Abilities) -> None:
    """What models up to 4.6 take of it: nothing while they think, and only one of two from 4.1 on."""
    if thinking.on:
        return
    temperature = fields.get("temperature")
    if temperature is not None:
        body["temperature"] = _at_most_one(temperature)
    if "top_p" in fields and not (abilities.one_sampler and temperature is not None):
        body["top_p"] = fields["top_p"]
    if "top_k" in fields:
        body["top_k"] = fields["top_k"]


def _at_most_one(temperature: msgspec.Raw) -> float | msgspec.Raw:
    """OpenAI's scale goes to 2, Anthropic's to 1: as in Anthropic's own OpenAI endpoint it is cut, not stretched."""
    try:
        return 1 if msgspec.json.decode(temperature, type=float) > 1 else temperature
    except _MALFORMED:
        raise InvalidField("`temperature` must be a number.", param="temperature") from None


def _put_rest(body: dict[str, Any], fields: Fields) -> None:
    """Stop sequences, the user, the service tier; and all that OpenAI does not know, as it came."""
    stop = _stop_sequences(fields)
    if stop:
        body["stop_sequences"] = stop
    user = _user_id(fields)
    if user is not None:
        body["metadata"] = {"user_id": user}
    if "service_tier" in fields:
        tier = fields["service_tier"]
        name = bytes(tier)[1:-1].decode(errors="replace")
        body["service_tier"] = _TIERS.get(name, tier)
    for name, raw in fields.items():
        if name not in _NOT_PASSED:
            body[name] = raw


def _stop_sequences(fields: Fields) -> list[str] | None:
    if "stop" not in fields:
        return None
    try:
        read = msgspec.json.decode(fields["stop"], type=str | list[str])
    except _MALFORMED:
        raise InvalidField("`stop` must be a text or a list of texts.", param="stop") from None
    stop = [each for each in ([read] if isinstance(read, str) else read) if each]
    if not all(each.strip() for each in stop):
        raise InvalidField("`stop`: Claude does not stop at white space alone.", param="stop")
    return stop


def _user_id(fields: Fields) -> str | None:
    """Who asks: `safety_identifier`, else `user`, else `metadata.user_id`."""
    try:
        for name in ("safety_identifier", "user"):
            if name in fields:
                return msgspec.json.decode(fields[name], type=str)
        return msgspec.json.decode(fields["metadata"], type=_Metadata).user_id if "metadata" in fields else None
    except _MALFORMED:
        raise InvalidField("`user`, `safety_identifier` and `metadata.user_id` must be texts.", param="user") from None
