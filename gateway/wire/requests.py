"""Requests of the OpenAI wire: read just enough to govern them, write them back with nothing else changed.

The top level of the body is kept as `name -> raw bytes of the value`, so that every field Farebox does not know travels
untouched and in its place. Reading a 1.4 kB chat request costs about 4 µs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from gateway.errors import FareboxError, InvalidField, InvalidJson, MissingField
from gateway.pricing.estimate import estimate_input_tokens
from gateway.wire.extent import Extent
from gateway.wire.media import ABSENT, Media, read_media
from gateway.wire.native import Native
from gateway.wire.upload import Upload
from gateway.wire.writing import with_fields
from routing.profile import RequestProfile

CHAT: Final = "chat"
COMPLETIONS: Final = "completions"
EMBEDDINGS: Final = "embeddings"

MAX_MODEL_CHARS = 256
MAX_SERVICE_TIER_CHARS = 32

Fields = dict[str, msgspec.Raw]

_Answers = Annotated[int, msgspec.Meta(le=65_536)]
"""More answers than any provider gives; what they may cost still fits the journal's 64 bits."""
Tokens = Annotated[int, msgspec.Meta(le=2**31 - 1)]
"""A bound on an answer, as clients write it."""

_fields_decoder = msgspec.json.Decoder(Fields)
_encode = msgspec.json.encode


class Message(msgspec.Struct, gc=False):
    """One of `messages`, its content skipped: the only walk over them that a request costs."""

    role: Any = None
    """`user`, as a rule; a client may send anything."""
    content: msgspec.Raw = ABSENT
    audio: msgspec.Raw = ABSENT
    """An assistant's: the id of an earlier answer's speech, which the provider reads again."""


class Tool(msgspec.Struct):
    """One of `tools`, as far as it tells who runs it."""

    type: msgspec.Raw = msgspec.Raw(b"null")
    function: msgspec.Raw = msgspec.Raw(b"null")
    name: msgspec.Raw = msgspec.Raw(b"null")


class _ResponseFormat(msgspec.Struct):
    type: str | None = None


class Common(msgspec.Struct):
    """What every endpoint may carry. Explicit nulls are as good as absent: some SDKs send them all."""

    model: str
    stream: bool | None = None
    stream_options: Fields | None = None
    n: _Answers | None = None
    max_tokens: Tokens | None = None
    best_of: _Answers | None = None
    service_tier: str | None = None


class _Chat(Common):
    messages: list[Message] = msgspec.field(default_factory=list)
    max_completion_tokens: Tokens | None = None
    tools: list[Tool] | None = None
    response_format: _ResponseFormat | None = None


class _Completions(Common):
    prompt: msgspec.Raw = msgspec.Raw(b"")


class _Embeddings(Common):
    input: msgspec.Raw = msgspec.Raw(b"")


_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    CHAT: msgspec.json.Decoder(_Chat),
    COMPLETIONS: msgspec.json.Decoder(_Completions),
    EMBEDDINGS: msgspec.json.Decoder(_Embeddings),
}
_DATA_URL = re.compile(rb"data:[\w.+/-]*;base64,[A-Za-z0-9+/=]*")
IMAGE_TOKENS = 1_500
"""What an image is taken for when a provider sends no usage: more than most count for one."""
_required = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input"}
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])

_GOVERNED = frozenset(
    (
        *("audio", "best_of", "functions", "input", "max_completion_tokens", "max_tokens", "messages", "modalities"),
        *("model", "n", "prediction", "prompt", "response_format", "service_tier", "stream", "stream_options", "tools"),
    )
)
"""Fields that what a request may cost depends on."""
_UNSEEN = frozenset(("audio", "best_of", "modalities", "prediction"))


AnyCommon = TypeVar("AnyCommon", bound=Common)


class ModelRequest:
    """A request to a model: its fields as they came, and what the gateway needs to know of them."""

    __slots__ = (
        "_options",
        "api",
        "body",
        "extent",
        "fields",
        "include_usage",
        "max_completion_tokens",
        "max_tokens",
        "media",
        "messages",
        "model",
        "native",
        "profile",
        "running_usage",
        "stream",
        "tools",
        "upload",
    )

    def __init__(
        self, body: bytes, fields: Fields, common: Common, profile: RequestProfile, media: list[Media]
    ) -> None:
        self.api = profile.api
        self.body = body
        """As the client sent it."""
        self.fields = fields
        self.model = common.model
        self.stream = profile.stream
        self._options = common.stream_options or {}
        self.include_usage = bytes(self._options.get("include_usage", b"")) == b"true"
        """Whether the client itself asked for usage in its stream."""
        self.running_usage = bytes(self._options.get("continuous_usage_stats", b"")) == b"true"
        """Whether it asked for it in every event."""
        self.profile = profile
        self.max_tokens = common.max_tokens
        """As the client wrote it: below zero is no bound."""
        self.max_completion_tokens: int | None = None
        self.tools: list[Tool] = []
        self.messages: Sequence[Message] = ()
        """A chat's."""
        self.media = media
        """What the messages hold besides text."""
        self.extent: Extent | None = None
        """How large it may come out, for an API other than chat, completions and embeddings; None for these."""
        self.upload: Upload | None = None
        """Its body, where that is a form with files."""
        self.native: Native | None = None
        """As it came, where its client speaks another API than OpenAI's: this is then what it means in chat."""
        if isinstance(common, _Chat):
            self.messages = common.messages
            self.max_completion_tokens = common.max_completion_tokens
            self.tools = common.tools or []

    @property
    def countable(self) -> bool:
        """Whether a stream of its answer shows all that is billed: no speech, no candidates or predictions rejected."""
        fields, native = self.fields, self.native
        if native is not None and native.services:  # what they find is read again, unseen
            return False
        return _UNSEEN.isdisjoint(fields) or all(bytes(fields[name]) == b"null" for name in _UNSEEN if name in fields)

    @property
    def is_free(self) -> bool:
        """Whether nobody bills it."""
        return self.native is not None and self.native.counts

    @property
    def parallel_tools(self) -> bool:
        """Whether the client insists on several tool calls in one answer."""
        return b"true" in bytes(self.fields.get("parallel_tool_calls", b""))

    def upstream_body(
        self,
        upstream_model: str,
        *,
        max_tokens: int | None = None,
        max_tokens_field: str = "max_tokens",
        stream: bool = False,
        running_usage: bool = False,
    ) -> bytes:
        """The body for the provider: `model` replaced, usage asked for when streaming, all else as the client wrote it.

        `max_tokens` lowers the bound on the answer, in whichever fields the client bounded it, else in
        `max_tokens_field`. `stream` asks for a stream though the client did not, `running_usage` for usage in each of
        its events. When nothing has to change the client's bytes are sent as they are (`gateway.wire.writing`).
        """
        fields = self.fields
        changed: Fields = {}
        if upstream_model != self.model:
            changed["model"] = msgspec.Raw(_encode(upstream_model))
        if stream and not self.stream:
            changed["stream"] = msgspec.Raw(b"true")
        if (stream or self.stream) and (running_usage or not self.include_usage):
            asked = (
                {"include_usage": True, "continuous_usage_stats": True} if running_usage else {"include_usage": True}
            )
            changed["stream_options"] = msgspec.Raw(_encode({**self._options, **asked}))
        if max_tokens is not None:
            changed.update(self._bounded(max_tokens, max_tokens_field))
        return with_fields(self.body, fields, changed)

    def _bounded(self, bound: int, default_field: str) -> Fields:
        """The fields that bound the answer, each at most `bound`."""
        theirs = {"max_tokens": self.max_tokens, "max_completion_tokens": self.max_completion_tokens}
        used = {name: value for name, value in theirs.items() if value is not None}
        if not used:
            used = {"max_tokens" if self.api == COMPLETIONS else default_field: -1}
        return {name: msgspec.Raw(b"%d" % (bound if value < 0 else min(bound, value))) for name, value in used.items()}


def read_request(api: str, body: bytes) -> ModelRequest:
    """Read the body of a request to `api`. Raises BadRequest errors that name the field."""
    fields, common = read_common(body, _decoders[api])
    required = _required[api]
    if required not in fields:
        raise MissingField(f"Missing required parameter: `{required}`.", param=required)
    media = read_media(common.messages) if isinstance(common, _Chat) else []
    return ModelRequest(body, fields, common, _profile(api, body, common, media), media)


def read_common(body: bytes, decoder: msgspec.json.Decoder[AnyCommon]) -> tuple[Fields, AnyCommon]:
    """A body's top level, and what `decoder` reads of it. Raises BadRequest errors that name the field."""
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(body, error) from None
    try:
        common = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(fields, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    check_model(common.model, fields)
    return fields, common


def check_model(model: str, fields: Fields) -> None:
    """Refuse a model that no name can be, and fields that some servers take for governed ones."""
    if not model:
        raise InvalidField("`model` is empty. Name one of the models that GET /v1/models lists.", param="model")
    if len(model) > MAX_MODEL_CHARS or not model.isprintable():  # it goes into headers, tables and caches
        raise InvalidField(f"`model` must be at most {MAX_MODEL_CHARS} printable characters.", param="model")
    names = "".join(fields)
    if names.isascii() and names.islower():  # the usual request
        return
    for name in fields:
        plain = name.casefold()
        if plain != name and plain in _GOVERNED:
            # Servers written in Go take it for the field, and would serve another request than the governed one.
            raise InvalidField(f"`{name}` must be written `{plain}`.", param=name)


def _profile(api: str, body: bytes, common: Common, media: list[Media]) -> RequestProfile:
    messages = tools = images = 0
    json_schema = False
    max_output = common.max_tokens
    answers = max(1, common.n or 1, common.best_of or 1)
    if isinstance(common, _Chat):
        messages = len(common.messages)
        tools = len(common.tools) if common.tools else 0
        images = sum(part.kind == "image" for part in media) if media else 0
        json_schema = common.response_format is not None and common.response_format.type == "json_schema"
        if common.max_completion_tokens is not None:
            max_output = common.max_completion_tokens
    elif isinstance(common, _Completions):
        answers *= _prompts(common.prompt)
    else:
        max_output, answers = 0, 1
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


def _prompts(prompt: msgspec.Raw) -> int:
    """How many prompts a completion has: each is answered `n` times. Token ids are one prompt together."""
    items = _items(prompt)
    return max(1, len(items)) if items and bytes(memoryview(items[0])[:1]) in (b'"', b"[") else 1


def _items(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a JSON array; none for anything else."""
    if bytes(memoryview(raw)[:1]) != b"[":
        return []
    try:
        return _items_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # pragma: no cover -- it was decoded before
        return []


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
    if body.find(b";") < 0 or body.find(b";base64,") < 0:  # the first takes a hundredth of the time
        return 0
    return sum(found.end() - found.start() for found in _DATA_URL.finditer(body))
