"""A chat request as the body of `generateContent`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.gemini.contents import conversation
from gateway.upstream.dialects.gemini.fields import read, unsayable
from gateway.upstream.dialects.gemini.models import thinking
from gateway.upstream.dialects.gemini.tools import calling, declarations
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import Fields, ModelRequest

_encode = msgspec.json.encode

_AS_IT_IS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Numbers of the generation's configuration, by OpenAI's names."""
_HINTS = frozenset(
    (
        *("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
        *("session_id", "store", "stream_options", "user", "verbosity"),
    )
)
_ELSEWHERE = frozenset(("model", "messages", "stream", "max_tokens", "max_completion_tokens"))
_OWN = {
    "safety_settings": "safetySettings",
    "safetySettings": "safetySettings",
    "cached_content": "cachedContent",
    "cachedContent": "cachedContent",
}
_OWN_CONFIGURATION = {
    "thinking_config": "thinkingConfig",
    "thinkingConfig": "thinkingConfig",
    "media_resolution": "mediaResolution",
    "mediaResolution": "mediaResolution",
}
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_NOTHING = (b"null", b"[]", b"{}")
_PENALTIES = ("presence_penalty", "frequency_penalty")
_ZERO = (b"0", b"0.0", b"-0", b"-0.0")


class _Schema(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw(b"null")


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Extra(msgspec.Struct, forbid_unknown_fields=True):
    google: Fields | None = None


_format_decoder = msgspec.json.Decoder(_Format)
_extra_decoder = msgspec.json.Decoder(_Extra)
_text_decoder = msgspec.json.Decoder(str)
_flag_decoder = msgspec.json.Decoder(bool)
_stop_decoder = msgspec.json.Decoder(str | list[str])
_modalities_decoder = msgspec.json.Decoder(list[str])


def chat_body(request: ModelRequest, wish: Wish) -> bytes:
    """The body. Raises InvalidField for what Gemini has no words for."""
    body = conversation(request.fields["messages"], wish.upstream_model)
    configuration: dict[str, Any] = {}
    bound = _bound(request, wish)
    if bound is not None:
        configuration["maxOutputTokens"] = bound
    writer = _Writer(body, configuration, wish.upstream_model)
    for name, value in request.fields.items():
        if name not in _ELSEWHERE and name not in _HINTS and bytes(memoryview(value)[:5]) not in _NOTHING:
            writer.write(name, value, request)
    if configuration:
        body["generationConfig"] = configuration
    return _encode(body)


def _bound(request: ModelRequest, wish: Wish) -> int | None:
    """The longest answer: what the client allows, and what we do."""
    bounds = (request.max_tokens, request.max_completion_tokens, wish.max_tokens)
    return min((bound for bound in bounds if bound is not None and bound >= 0), default=None)


class _Writer:
    """Writes field by field."""

    def __init__(self, body: dict[str, Any], configuration: dict[str, Any], model: str) -> None:
        self._body = body
        self._configuration = configuration
        self._model = model

    def write(self, name: str, value: msgspec.Raw, request: ModelRequest) -> None:
        """Say one field. Raises InvalidField."""
        if name in _AS_IT_IS:
            if not (name in _PENALTIES and bytes(value) in _ZERO):  # some models refuse even that
                self._configuration[_AS_IT_IS[name]] = value
        elif name in _OWN:
            self._body[_OWN[name]] = value
        elif name in _OWN_CONFIGURATION:
            self._configuration[_OWN_CONFIGURATION[name]] = value
        elif name == "parallel_tool_calls":
            if len(request.tools) > 1 and not read(_flag_decoder, value, name):
                raise unsayable(name, "it may always call several functions at once")
        else:
            say = _SAYS.get(name)
            if say is None:
                raise unsayable(name)
            say(self, value)

    def say_tools(self, value: msgspec.Raw) -> None:
        self._body["tools"] = [{"functionDeclarations": declarations(value)}]

    def say_tool_choice(self, value: msgspec.Raw) -> None:
        self._body["toolConfig"] = {"functionCallingConfig": calling(value)}

    def say_stop(self, value: msgspec.Raw) -> None:
        stop = read(_stop_decoder, value, "stop")
        self._configuration["stopSequences"] = [stop] if isinstance(stop, str) else stop

    def say_response_format(self, value: msgspec.Raw) -> None:
        wanted = read(_format_decoder, value, "response_format")
        if wanted.type == "text":
            return
        if wanted.type not in ("json_object", "json_schema"):
            raise unsayable("response_format.type")
        self._configuration["responseMimeType"] = "application/json"
        if wanted.json_schema is not None and bytes(wanted.json_schema.schema) not in _NOTHING:
            self._configuration["responseJsonSchema"] = wanted.json_schema.schema

    def say_reasoning_effort(self, value: msgspec.Raw) -> None:
        made = thinking(self._model, read(_text_decoder, value, "reasoning_effort"))
        if made is None:
            known = "none, minimal, low, medium, high and xhigh"
            raise InvalidField(f"`reasoning_effort` should be one of {known}.", param="reasoning_effort")
        self._configuration.setdefault("thinkingConfig", made)

    def say_modalities(self, value: msgspec.Raw) -> None:
        wanted = read(_modalities_decoder, value, "modalities")
        if "audio" in wanted:
            raise unsayable("modalities", "its speech is not what OpenAI's is")
        if wanted != ["text"]:
            self._configuration["responseModalities"] = [modality.upper() for modality in wanted]

    def say_service_tier(self, value: msgspec.Raw) -> None:
        tier = read(_text_decoder, value, "service_tier")
        if tier != "auto":
            if tier not in _TIERS:
                raise unsayable("service_tier")
            self._body["serviceTier"] = _TIERS[tier]

    def say_extra_body(self, value: msgspec.Raw) -> None:
        """Where Google's own compatible endpoint expects Gemini's fields."""
        for name, inner in (read(_extra_decoder, value, "extra_body").google or {}).items():
            if name in _OWN:
                self._body[_OWN[name]] = inner
            elif name in _OWN_CONFIGURATION:
                self._configuration[_OWN_CONFIGURATION[name]] = inner
            else:
                raise unsayable(f"extra_body.google.{name}")


_SAYS: dict[str, Callable[[_Writer, msgspec.Raw], None]] = {
    "extra_body": _Writer.say_extra_body,
    "modalities": _Writer.say_modalities,
    "reasoning_effort": _Writer.say_reasoning_effort,
    "response_format": _Writer.say_response_format,
    "service_tier": _Writer.say_service_tier,
    "stop": _Writer.say_stop,
    "tool_choice": _Writer.say_tool_choice,
    "tools": _Writer.say_tools,
}
