"""What the messages of a chat request hold besides text: images, speech, files. Just enough to bound their cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

TEXT_TYPES = frozenset(("text", "refusal", "input_text", "output_text", "thinking", "reasoning"))
"""Parts that are billed as the text that they carry."""
_IMAGE_TYPES = frozenset(("image_url", "input_image", "image"))
_AUDIO_TYPES = frozenset(("input_audio", "audio_url", "audio"))
_NULL = (b"", b"null")
_PLAIN = b'"n'
"""First bytes of content without parts: text, and null."""
_LIST = ord("[")
ABSENT = msgspec.Raw(b"null")
"""What a message that does not have a field has in it."""


class Media(NamedTuple):
    """A part of a message that is no text."""

    kind: Literal["image", "audio", "other"]
    """`other` is whatever Farebox does not know: a file, a video, an id."""
    field: str
    """Where it is: `messages[0].content[1]`."""
    inline_bytes: int
    """What an image's content takes of the body; 0 for a link."""


class Message(Protocol):
    """A message as it was decoded."""

    content: msgspec.Raw
    audio: msgspec.Raw


class _Typed(msgspec.Struct):
    type: str = ""


class _Part(msgspec.Struct):
    type: str = ""
    image_url: msgspec.Raw = msgspec.Raw(b"")


class _ImageUrl(msgspec.Struct):
    url: msgspec.Raw = msgspec.Raw(b"")


_types_decoder = msgspec.json.Decoder(list[_Typed])
_parts_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_part_decoder = msgspec.json.Decoder(_Part)
_url_decoder = msgspec.json.Decoder(_ImageUrl)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_media(messages: Sequence[Message]) -> list[Media]:
    """Everything in `messages` that is no text."""
    found: list[Media] = []
    for index, message in enumerate(messages):
        if memoryview(message.content)[0] not in _PLAIN:
            found += _of_content(message.content, f"messages[{index}].content")
        if message.audio is not ABSENT and bytes(message.audio) not in _NULL:
            found.append(Media("audio", f"messages[{index}].audio", 0))
    return found


def _of_content(content: msgspec.Raw, field: str) -> Iterator[Media]:
    if memoryview(content)[0] == _LIST:
        return _of_parts(content, field)
    return iter((Media("other", field, 0),))  # a part that stands alone, which some servers take


def _of_parts(content: msgspec.Raw, field: str) -> Iterator[Media]:
    try:
        if all(part.type in TEXT_TYPES for part in _types_decoder.decode(content)):
            return
    except _MALFORMED:
        pass  # a text without a type, or a shape we do not know
    for index, raw in enumerate(_parts_decoder.decode(content)):
        if bytes(memoryview(raw)[:1]) != b'"' and (media := _of_part(raw, f"{field}[{index}]")) is not None:
            yield media


def _of_part(raw: msgspec.Raw, field: str) -> Media | None:
    try:
        part = _part_decoder.decode(raw)
    except _MALFORMED:
        return Media("other", field, 0)
    if part.type in TEXT_TYPES:
        return None
    if part.type in _IMAGE_TYPES or (not part.type and memoryview(part.image_url)):
        return Media("image", field, _inline_bytes(part.image_url))
    return Media("audio" if part.type in _AUDIO_TYPES else "other", field, 0)


def _inline_bytes(image_url: msgspec.Raw) -> int:
    """The size of an image inside the body."""
    url = image_url
    if bytes(memoryview(image_url)[:1]) == b"{":
        try:
            url = _url_decoder.decode(image_url).url
        except _MALFORMED:  # pragma: no cover -- it was decoded before
            return 0
    text = memoryview(url)
    return len(text) if bytes(text[:6]) == b'"data:' else 0
