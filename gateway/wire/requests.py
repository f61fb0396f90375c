"""Requests of the OpenAI wire: read just enough to govern them, write them back with nothing else changed.

The top level of the body is kept as `name -> raw bytes of the value`, so that every field Farebox does not know travels
untouched and in its place. Reading a 1.4 kB chat request costs about 4 µs.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from gateway.errors import FareboxError, InvalidField, InvalidJson, MissingField
from gateway.pricing.estimate import estimate_input_tokens
from routing.profile import RequestProfile

CHAT: Final = "chat"
COMPLETIONS: Final = "completions"
EMBEDDINGS: Final = "embeddings"

MAX_MODEL_CHARS = 256
MAX_SERVICE_TIER_CHARS = 32

Fields = dict[str, msgspec.Raw]

_Answers = Annotated[int, msgspec.Meta(le=65_536)]
"""More answers than any provider gives; what they may cost still fits the journal's 64 bits."""
_Tokens = Annotated[int, msgspec.Meta(le=2**31 - 1)]

_fields_decoder = msgspec.json.Decoder(Fields)
_encode = msgspec.json.encode


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Part(msgspec.Struct):
    type: str = ""


class _ResponseFormat(msgspec.Struct):
    type: str | None = None


class _Common(msgspec.Struct):
    """What every endpoint may carry. Explicit nulls are as good as absent: some SDKs send them all."""

    model: str
    stream: bool | None = None
    stream_options: Fields | None = None
    n: _Answers | None = None
    max_tokens: _Tokens | None = None
    service_tier: str | None = None


class _Chat(_Common):
    messages: list[_Message] = msgspec.field(default_factory=list)
    max_completion_tokens: _Tokens | None = None
    tools: list[msgspec.Raw] | None = None
    response_format: _ResponseFormat | None = None


class _Completions(_Common):
    prompt: msgspec.Raw = msgspec.Raw(b"")
    best_of: _Answers | None = None


class _Embeddings(_Common):
    input: msgspec.Raw = msgspec.Raw(b"")


_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    CHAT: msgspec.json.Decoder(_Chat),
    COMPLETIONS: msgspec.json.Decoder(_Completions),
    EMBEDDINGS: msgspec.json.Decoder(_Embeddings),
}
_SPACES = b" \t\r\n"
_DATA_URL = re.compile(rb"data:[\w.+/-]*;base64,[A-Za-z0-9+/=]*")
IMAGE_TOKENS = 1_500
"""What an image is taken for when a provider sends no usage: more than most count for one."""
_required = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input"}
_parts_decoder = msgspec.json.Decoder(list[_Part])


class ModelRequest:
    """A request to a model: its fields as they came, and what the gateway needs to know of them."""

    __slots__ = ("_body", "_options", "api", "fields", "include_usage", "model", "profile", "stream")

    def __init__(self, api: str, body: bytes, fields: Fields, common: _Common, profile: RequestProfile) -> None:
        self.api = api
        self._body = body
        self.fields = fields
        self.model = common.model
        self.stream = profile.stream
        self._options = common.stream_options or {}
        self.include_usage = bytes(self._options.get("include_usage", b"")) == b"true"
        """Whether the client itself asked for usage in its stream."""
        self.profile = profile

    def upstream_body(self, upstream_model: str) -> bytes:
        """The body for the provider: `model` replaced, usage asked for when streaming, all else as the client wrote it.

        When nothing has to change the client's bytes are sent as they are, unless they repeat a top-level field: a
        provider might then read another model than the one that was governed.
        """
        fields = self.fields
        changed: Fields = {}
        if upstream_model != self.model:
            changed["model"] = msgspec.Raw(_encode(upstream_model))
        if self.stream and not self.include_usage:
            changed["stream_options"] = msgspec.Raw(_encode({**self._options, "include_usage": True}))
        if changed:
            return _encode({**fields, **changed})
        written = _encode(fields)
        return self._body if _same_but_for_spaces(self._body, written) else written


def read_request(api: str, body: bytes) -> ModelRequest:
    """Read the body of a request to `api`. Raises BadRequest errors that name the field."""
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(body, error) from None
    try:
        common = _decoders[api].decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(fields, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    _check_model(common.model, fields)
    required = _required[api]
    if required not in fields:
        raise MissingField(f"Missing required parameter: `{required}`.", param=required)
    return ModelRequest(api, body, fields, common, _profile(api, body, common))


def _check_model(model: str, fields: Fields) -> None:
    if not model:
        raise InvalidField("`model` is empty. Name one of the models that GET /v1/models lists.", param="model")
    if len(model) > MAX_MODEL_CHARS or not model.isprintable():  # it goes into headers, tables and caches
        raise InvalidField(f"`model` must be at most {MAX_MODEL_CHARS} printable characters.", param="model")
    for name in fields:
        if len(name) == 5 and name != "model" and name.lower() == "model":
            # Servers written in Go take it for `model`, and would serve another than the one that is governed.
            raise InvalidField(f"`{name}` must be written `model`.", param=name)


def _profile(api: str, body: bytes, common: _Common) -> RequestProfile:
    messages = tools = images = 0
    json_schema = False
    max_output = common.max_tokens
    answers = max(1, common.n or 1)
    if isinstance(common, _Chat):
        messages = len(common.messages)
        tools = len(common.tools) if common.tools else 0
        images = _images(common.messages)
        json_schema = common.response_format is not None and (common.response_format.type or "").startswith("json")
        if common.max_completion_tokens is not None:
            max_output = common.max_completion_tokens
    elif isinstance(common, _Completions):
        answers = max(answers, common.best_of or 1)
    else:
        max_output = 0
    if max_output is not None and max_output < 0:  # some servers take -1 for "no bound"
        max_output = None
    return RequestProfile(
        api,
        common.model,
        len(body),
        estimate_input_tokens(len(body) - _inline_bytes(body)) + images * IMAGE_TOKENS,
        max_output,
        answers,
        messages,
        tools,
        images,
        common.stream is True and api != EMBEDDINGS,
        json_schema,
        (common.service_tier or "default")[:MAX_SERVICE_TIER_CHARS],
    )


def _images(messages: list[_Message]) -> int:
    images = 0
    for message in messages:
        content = memoryview(message.content)
        if bytes(content[:1]) == b"[":
            try:
                parts = _parts_decoder.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # a shape we do not know: the provider judges it
            images += sum(part.type in ("image_url", "input_image", "image") for part in parts)
    return images


def _unreadable(body: bytes, error: Exception) -> FareboxError:
    if isinstance(error, msgspec.ValidationError):
        return InvalidJson('The request body must be a JSON object, such as {"model": ..., "messages": [...]}.')
    if not body.strip():
        return InvalidJson("The request body is empty; it must be a JSON object.")
    if isinstance(error, RecursionError):
        return InvalidJson("The request body is nested too deeply.")
    return InvalidJson(f"The request body is not valid JSON: {error}")


def _wrong_field(fields: Fields, error: msgspec.ValidationError) -> FareboxError:
    text = str(error)
    if "model" not in fields:
        return MissingField(
            "Missing required parameter: `model`. GET /v1/models lists the models you may name.", param="model"
        )
    problem, _, path = text.partition(" - at `$.")
    param = path.rstrip("`")
    return InvalidField(f"`{param}` is not valid: {problem[0].lower()}{problem[1:]}.", param=param or None)


def _inline_bytes(body: bytes) -> int:
    """Bytes of files inside the body, which are no text: images as data URLs."""
    if b";base64," not in body:
        return 0
    return sum(found.end() - found.start() for found in _DATA_URL.finditer(body))


def _same_but_for_spaces(body: bytes, written: bytes) -> bool:
    """Whether the body says the same as it does written again, and so repeats no field.

    Writing it again drops spaces between fields and all but the last of a repeated field. With every space of both
    taken out, inside strings too, a repeated field still makes the body the longer one.
    """
    return len(body) == len(written) or body.translate(None, _SPACES) == written.translate(None, _SPACES)
