"""The APIs beside chat that are passed through as they are: images, audio, reranking, moderation. Pure.

A request is read for what governs it, its model and its extent; the rest of it goes on untouched. What its answer says
of its bill (`usage`, a duration, `billed_units`) is read; the rest of it comes back untouched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.errors import InvalidField, MissingField
from gateway.pricing.estimate import estimate_input_tokens
from gateway.wire.extent import UNKNOWN, Extent, Images
from gateway.wire.requests import Common, Fields, ModelRequest, Tokens, read_common
from routing.money import Usage
from routing.profile import RequestProfile
from routing.tariff import OPEN

MODERATIONS: Final = "moderations"
IMAGES: Final = "images"
IMAGE_EDITS: Final = "image_edits"
IMAGE_VARIATIONS: Final = "image_variations"
SPEECH: Final = "speech"
TRANSCRIPTIONS: Final = "transcriptions"
TRANSLATIONS: Final = "translations"
RERANK: Final = "rerank"
OTHERS: Final = frozenset(
    (MODERATIONS, IMAGES, IMAGE_EDITS, IMAGE_VARIATIONS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS, RERANK)
)
UPLOADS: Final = frozenset((IMAGE_EDITS, IMAGE_VARIATIONS, TRANSCRIPTIONS, TRANSLATIONS))
"""Those that take files, as forms."""
OTHER_PATHS: Final[Mapping[str, bytes]] = {
    MODERATIONS: b"/moderations",
    IMAGES: b"/images/generations",
    IMAGE_EDITS: b"/images/edits",
    IMAGE_VARIATIONS: b"/images/variations",
    SPEECH: b"/audio/speech",
    TRANSCRIPTIONS: b"/audio/transcriptions",
    TRANSLATIONS: b"/audio/translations",
    RERANK: b"/rerank",
}

AUDIO_TOKENS_PER_S: Final = 17
"""OpenAI bills 1,000 tokens a minute of speech that it hears (gpt-4o-transcribe: 0.006 USD a minute at 6 USD per
million)."""
TEXT_TOKENS_PER_S: Final = 6
"""Of a transcription: 200 words a minute and more."""
SPOKEN_TOKENS_PER_CHARACTER: Final = 2
"""Audio tokens of speech: some 21 a second, at 12 characters a second or more."""
SPOKEN_TOKENS_PER_CHARACTER_MOST: Final = 32
"""Numbers, symbols and ideographs are spoken longer than they are written."""
SLOWEST: Final = 0.25
"""The lowest `speed` that OpenAI takes."""
CHUNK_BYTES: Final = 200
"""Reranking counts a long document as several, of some 500 tokens with the query: no chunk is as short as this."""
DOCUMENTS_PER_UNIT: Final = 100
"""A search unit: a query with up to so many documents (docs.cohere.com/docs/how-does-cohere-pricing-work)."""
BYTES_PER_S: Final = 4_000
"""Of audio: speech at 32 kbit/s. Less in a second is rare, so that an estimate by size is rather high."""
BYTES_PER_S_LEAST: Final = 500
"""4 kbit/s: below every codec that providers document."""

_encode = msgspec.json.encode


class Other(Common):
    """What the APIs' bodies and forms have in common with each other or with chat."""

    prompt: Any = None
    input: Any = None
    instructions: str | None = None
    size: str | None = None
    quality: str | None = None
    partial_images: Tokens | None = None
    speed: float | None = None
    stream_format: str | None = None
    query: msgspec.Raw = msgspec.Raw(b"")
    documents: list[msgspec.Raw] | None = None


GOVERNED: Final = frozenset((*Other.__struct_fields__, "max_tokens_per_doc"))
_decoder = msgspec.json.Decoder(Other)
_required: Final = {IMAGES: "prompt", SPEECH: "input", MODERATIONS: "input", RERANK: "documents"}


def read_other(api: str, body: bytes) -> ModelRequest:
    """Read the JSON body of a request to one of `OTHERS`. Raises BadRequest errors that name the field."""
    fields, common = read_common(body, _decoder)
    for name in fields:
        check_name(name)
    required = _required.get(api)
    if required is not None and required not in fields:
        raise MissingField(f"Missing required parameter: `{required}`.", param=required)
    return _request(api, body, fields, (common, len(body), None))


def read_form(api: str, form: Mapping[str, str], file_bytes: int, seconds: int | None = None) -> ModelRequest:
    """A request to one of `UPLOADS` from the fields of its form.

    `file_bytes` is no less than the size of its files; `seconds` how long its audio is, where that is known. Raises
    BadRequest errors that name the field.
    """
    if "model" not in form:
        raise MissingField("Missing required parameter: `model`. It has to come before the file.", param="model")
    governed: dict[str, Any] = {name: value for name, value in form.items() if name in Other.__struct_fields__}
    try:
        common = msgspec.convert(governed, Other, strict=False)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        param = path.rstrip("`")
        raise InvalidField(f"`{param}` is not valid: {problem}.", param=param or None) from None
    fields = {name: msgspec.Raw(_encode(value)) for name, value in form.items()}
    return _request(api, b"", fields, (common, file_bytes, seconds))


def check_name(name: str) -> None:
    """Refuse a field that some servers take for another: they would serve another request than the governed one."""
    plain = name.casefold()
    if plain != name and plain in GOVERNED:
        raise InvalidField(f"`{name}` must be written `{plain}`.", param=name)


def _request(api: str, body: bytes, fields: Fields, said: tuple[Other, int, int | None]) -> ModelRequest:
    """The request that these fields make, with its extent: what was `said`, in how many bytes, of how many seconds."""
    common, size, seconds = said
    extent = _extent(api, common, size, seconds)
    stream = common.stream is True or common.stream_format == "sse"
    # A file may count for anything, so no model's window is too short for it before its provider says so.
    known = 0 if api in UPLOADS else extent.estimate.input_tokens
    profile = RequestProfile(api, common.model, size, known, None, 1, 0, 0, 0, stream, False, "default")
    request = ModelRequest(body, fields, common, profile, [])
    request.extent = extent
    return request


def _extent(api: str, common: Other, size: int, seconds: int | None) -> Extent:
    if api in (IMAGES, IMAGE_EDITS, IMAGE_VARIATIONS):
        return _images(api, common, size)
    if api == SPEECH:
        return _speech(common)
    if api in (TRANSCRIPTIONS, TRANSLATIONS):
        return _heard(size, seconds)
    if api == RERANK:
        return _reranked(common, size)
    return Extent(Usage(estimate_input_tokens(size)), Usage(size), {}, {}, "input", exact=True)


def _images(api: str, common: Other, size: int) -> Extent:
    count = max(1, common.n or 1)
    said, quality, partial = common.size or "", common.quality or "", common.partial_images or 0
    unit = "image"
    if said or quality:
        unit = f"image:{said or OPEN}" + (f":{quality}" if quality else "")
    units = {unit: count}
    text = len(_text(common.prompt).encode())
    given = UNKNOWN if api != IMAGES else text + 64
    estimated = estimate_input_tokens(text) + (0 if api == IMAGES else _IMAGE_GIVEN)
    output = count * (_IMAGE_MADE + partial * PARTIAL_TOKENS)
    return Extent(
        Usage(estimated, output, input_image_tokens=estimated if api != IMAGES else 0, output_image_tokens=output),
        Usage(given, UNKNOWN, input_image_tokens=given if api != IMAGES else 0, output_image_tokens=UNKNOWN),
        units,
        units,
        "n",
        images=Images(count, said, quality, partial),
    )


PARTIAL_TOKENS: Final = 100
"""Of each partial image (platform.openai.com/docs/guides/image-generation, "Cost and latency")."""
_IMAGE_MADE: Final = 6_240
"""The dearest size and quality of the first models that bill images by tokens."""
_IMAGE_GIVEN: Final = 1_000


def _speech(common: Other) -> Extent:
    text = _text(common.input)
    if not text:
        raise InvalidField("`input` must be the text to be spoken.", param="input")
    characters = len(text)
    slower = 1 / max(SLOWEST, min(1.0, common.speed or 1.0))
    read = len(text.encode()) + len((common.instructions or "").encode())
    spoken = math.ceil(characters * SPOKEN_TOKENS_PER_CHARACTER * slower)
    most = math.ceil(characters * SPOKEN_TOKENS_PER_CHARACTER_MOST * slower)
    units = {"character": characters}
    return Extent(
        Usage(estimate_input_tokens(read), spoken, output_audio_tokens=spoken),
        Usage(read + 64, most, output_audio_tokens=most),
        units,
        units,
        "input",
        exact=True,
    )


def _heard(size: int, seconds: int | None) -> Extent:
    long = -(-size // BYTES_PER_S) if seconds is None else seconds
    most = -(-size // BYTES_PER_S_LEAST) if seconds is None else seconds
    heard = long * AUDIO_TOKENS_PER_S
    return Extent(
        Usage(heard, long * TEXT_TOKENS_PER_S, input_audio_tokens=heard),
        Usage(UNKNOWN, UNKNOWN, input_audio_tokens=UNKNOWN),
        {"second": long},
        {"second": most},
        "file",
    )


def _reranked(common: Other, size: int) -> Extent:
    documents = common.documents or []
    query = len(memoryview(common.query))
    chunks = sum(max(1, -(-len(memoryview(document)) // CHUNK_BYTES)) for document in documents)
    units = {"search_unit": max(1, -(-chunks // DOCUMENTS_PER_UNIT))}
    read = size + query * chunks  # the query is read again with each of them
    return Extent(Usage(estimate_input_tokens(read)), Usage(read), units, units, "documents")


def _text(value: Any) -> str:
    """A field's text; anything else as JSON, which is no shorter than what is in it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _encode(value).decode()
