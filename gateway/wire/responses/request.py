"""A request to the Responses API: read, checked, and said in the words of chat.

Chat has other words for the same: `input` and `instructions` are `messages`, `text.format` is `response_format`. What
it has no words for is told apart: mere hints (`truncation`, `include`) are left out, what changes the answer is noted
as refused, and what nobody can tell the size of as unknown. Fields that Farebox does not know go on in both forms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec

from gateway.errors import FareboxError, InvalidField, InvalidJson, MissingField
from gateway.wire.native import RESPONSES, Gist, Native, Service
from gateway.wire.responses.ids import REASONING
from gateway.wire.responses.items import items_of, read_items
from gateway.wire.responses.raw import (
    MALFORMED,
    Fields,
    encode,
    first,
    given,
    is_null,
    object_of,
    read_fields,
    string_of,
    text,
)
from gateway.wire.responses.reading import Reading
from gateway.wire.responses.tools import read_choice, read_tools

_Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Conversation(msgspec.Struct):
    id: str


class _Settings(msgspec.Struct):
    """The fields that are read. An explicit null is as good as absent."""

    model: str
    stream: bool | None = None
    stream_options: Fields | None = None
    max_output_tokens: _Tokens | None = None
    max_tool_calls: _Count | None = None
    top_logprobs: _Count | None = None
    parallel_tool_calls: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | _Conversation | None = None
    service_tier: str | None = None
    instructions: str | None = None
    include: list[str] | None = None


_settings_decoder = msgspec.json.Decoder(_Settings)

_SAID: Final = frozenset(
    (
        *("input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "max_tool_calls"),
        *("truncation", "include", "store", "stream_options", "background", "previous_response_id", "conversation"),
        *("prompt", "top_logprobs", "context_management", "access_programs", "image", "parallel_tool_calls"),
    )
)
"""Fields that chat says otherwise, or not at all."""
_OF_CHAT: Final = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
"""Chat's words, and what the Responses API says instead."""
_NOT_HERE: Final = frozenset(("n", "best_of", "audio", "modalities", "prediction", "functions", "function_call"))
"""Chat's words that would change what a request may cost."""
_GOVERNED: Final = frozenset(
    (
        *("background", "conversation", "include", "input", "instructions", "max_output_tokens", "max_tool_calls"),
        *("model", "previous_response_id", "prompt", "reasoning", "service_tier", "store", "stream", "text", "tools"),
    )
)
"""Fields that what a request may cost depends on, or what it does."""


class ResponsesNative(Native):
    """A request to the Responses API as it came, with what the gateway does for it beside asking a model."""

    __slots__ = ("background", "conversation", "previous_response_id", "references", "store")

    store: bool
    """Whether the response is kept; true unless the client says otherwise."""
    background: bool
    """Whether it is answered at once, and made in the background."""
    previous_response_id: str | None
    """The response that it continues."""
    conversation: str | None
    """The id of the conversation that it belongs to."""
    references: tuple[str, ...]
    """Ids of earlier items that its input refers to (`item_reference`): see `resolved`."""

    def upstream_body(self, upstream_model: str, *, max_tokens: int | None = None, stream: bool = False) -> bytes:
        """The body for a provider that speaks the Responses API: `model` replaced, all else as the client wrote it.

        But for thoughts of another provider that came back with our ids: they are left out, it would refuse them.
        """
        if REASONING.encode() not in self.body:
            return super().upstream_body(upstream_model, max_tokens=max_tokens, stream=stream)
        fields = {**self.fields, "input": _without_ours(self.fields.get("input", msgspec.Raw(b"null")))}
        native = Native(self.api, encode(fields), fields, Gist(self.model, self.stream, self.bound_fields))
        return native.upstream_body(upstream_model, max_tokens=max_tokens, stream=stream)


def _without_ours(given_input: msgspec.Raw) -> msgspec.Raw:
    """`input` without the reasoning items that are ours."""
    if first(given_input) != b"[":
        return given_input
    return msgspec.Raw(encode([item for item in items_of(given_input) if not _is_ours(item)]))


def _is_ours(item: msgspec.Raw) -> bool:
    return bytes(read_fields(item).get("id", b"")).startswith(b'"' + REASONING.encode())


def read(body: bytes) -> tuple[bytes, ResponsesNative]:
    """Read a request: what it says in chat, without the history that it may name, and as it came.

    Raises BadRequest errors that name the field in the Responses API's own words.
    """
    try:
        fields = read_fields(body)
    except MALFORMED as error:
        raise _unreadable(body, error) from None
    return _read(body, fields)


def _read(body: bytes, fields: Fields) -> tuple[bytes, ResponsesNative]:
    _check_names(fields)
    settings = _read_settings(body, fields)
    if all(is_null(fields.get(name)) for name in ("input", "previous_response_id", "conversation", "prompt")):
        raise MissingField("Missing required parameter: `input`.", param="input")
    reading = Reading()
    chat = _chat_body(fields, (), reading)
    gist = Gist(
        settings.model,
        settings.stream is True,
        {} if settings.max_output_tokens is None else {"max_output_tokens": settings.max_output_tokens},
        reading.refused,
        reading.unknown,
        tuple(reading.services),
    )
    native = ResponsesNative(RESPONSES, body, fields, gist)
    native.store = settings.store is not False
    native.background = settings.background is True
    native.previous_response_id = settings.previous_response_id or None
    conversation = settings.conversation
    native.conversation = (conversation.id if isinstance(conversation, _Conversation) else conversation) or None
    native.references = tuple(reading.references)
    if native.previous_response_id and native.conversation:
        raise InvalidField("Send either `previous_response_id` or `conversation`, not both.", param="conversation")
    return chat, native


def chat_body(native: Native, history: Iterable[msgspec.Raw]) -> bytes:
    """What a request says in chat, with the items of `history` before its own input. Raises InvalidField."""
    return _chat_body(native.fields, history, Reading())


def _chat_body(fields: Fields, history: Iterable[msgspec.Raw], reading: Reading) -> bytes:
    chat: dict[str, Any] = {"model": fields["model"], "messages": read_items(fields, history, reading)}
    tools = read_tools(fields, reading)
    choice = read_choice(fields, reading)
    if tools:
        chat["tools"] = tools
        if choice is not None:
            chat["tool_choice"] = choice
        if not is_null(fields.get("parallel_tool_calls")):  # without tools, OpenAI's chat refuses it
            chat["parallel_tool_calls"] = fields["parallel_tool_calls"]
    if not is_null(fields.get("prompt")):
        reading.unsized("prompt")
        reading.refuse("prompt", "`prompt`: templates are kept at their provider; this model does not know them.")
    if not is_null(fields.get("context_management")) and bytes(fields["context_management"]) != b"[]":
        reading.services.append(Service("compaction", "context_management", None))  # a model's own pass, without bound
    _put_text(chat, fields, reading)
    _put_reasoning(chat, fields)
    _put_logprobs(chat, fields)
    if "max_output_tokens" in fields:
        chat["max_completion_tokens"] = fields["max_output_tokens"]
    if bytes(fields.get("stream", b"")) == b"true":
        options = {} if is_null(fields.get("stream_options")) else read_fields(fields["stream_options"])
        chat["stream_options"] = {**options, "include_usage": True}
    for name, raw in fields.items():
        if name not in _SAID and name not in chat and not is_null(raw):
            chat[name] = raw
    return encode(chat)


def _put_text(chat: dict[str, Any], fields: Fields, reading: Reading) -> None:
    """The form of the answer's text."""
    if is_null(fields.get("text")):
        return
    said = given(object_of(fields["text"], "text"))
    if "verbosity" in said:
        chat["verbosity"] = said["verbosity"]
    if "format" not in said:
        return
    form = given(object_of(said["format"], "text.format"))
    kind = string_of(form, "type", "text.format")
    if kind == "json_schema":
        string_of(form, "name", "text.format")
        object_of(form.get("schema", msgspec.Raw(b"null")), "text.format.schema")
        schema = {name: value for name, value in form.items() if name != "type"}
        chat["response_format"] = {"type": kind, "json_schema": schema}
    elif kind == "json_object":
        chat["response_format"] = {"type": kind}
    elif kind != "text":
        reading.refuse("text.format.type", f"`text.format.type` is {kind[:32]!r}, which this model does not know.")


def _put_reasoning(chat: dict[str, Any], fields: Fields) -> None:
    """How much to think. How to tell of it, chat has no words for: what the model tells is passed on."""
    if is_null(fields.get("reasoning")):
        return
    said = given(object_of(fields["reasoning"], "reasoning"))
    if "effort" in said:
        chat["reasoning_effort"] = text(string_of(said, "effort", "reasoning"))


def _put_logprobs(chat: dict[str, Any], fields: Fields) -> None:
    top = bytes(fields.get("top_logprobs", b"null"))
    asked = b'"message.output_text.logprobs"' in bytes(fields.get("include", b""))
    if asked or (top not in (b"null", b"0")):
        chat["logprobs"] = True
        if top not in (b"null", b"0"):
            chat["top_logprobs"] = fields["top_logprobs"]


# --- what is wrong ---


def _check_names(fields: Fields) -> None:
    names = "".join(fields)
    if not (names.isascii() and names.islower()):
        for name in fields:
            plain = name.casefold()
            if plain != name and plain in _GOVERNED:
                # Servers written in Go take it for the field, and would serve another request than the governed one.
                raise InvalidField(f"`{name}` must be written `{plain}`.", param=name)
    for name, theirs in _OF_CHAT.items():
        if not is_null(fields.get(name)):
            raise InvalidField(f"`{name}` is a field of chat completions. Here it is `{theirs}`.", param=name)
    for name in _NOT_HERE:
        if not is_null(fields.get(name)):
            raise InvalidField(f"`{name}` is a field of chat completions, which responses do not have.", param=name)


def _read_settings(body: bytes, fields: Fields) -> _Settings:
    try:
        settings = _settings_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(fields, error) from None
    except MALFORMED as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    if not is_null(fields.get("input")) and first(fields["input"]) != b'"':
        items_of(fields["input"])
    return settings


def _wrong_field(fields: Fields, error: msgspec.ValidationError) -> FareboxError:
    if is_null(fields.get("model")):
        return MissingField(
            "Missing required parameter: `model`. GET /v1/models lists the models you may name.", param="model"
        )
    problem, _, path = str(error).partition(" - at `$.")
    param = path.rstrip("`")
    return InvalidField(f"`{param}` is not valid: {problem[0].lower()}{problem[1:]}.", param=param or None)


def _unreadable(body: bytes, error: Exception) -> FareboxError:
    if isinstance(error, msgspec.ValidationError):
        return InvalidJson('The request body must be a JSON object, such as {"model": ..., "input": ...}.')
    if not body.strip():
        return InvalidJson("The request body is empty; it must be a JSON object.")
    if isinstance(error, RecursionError):
        return InvalidJson("The request body is nested too deeply.")
    return InvalidJson(f"The request body is not valid JSON: {error}")
