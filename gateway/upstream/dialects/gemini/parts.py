"""Contents of messages as Gemini's parts."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.gemini.fields import unsayable

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^,]*?)?;base64,(?P<data>.*)", re.DOTALL)
_EXTENSION = re.compile(r"\.(\w+)(?:[?#]|$)")
_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "heic": "image/heic",
    "heif": "image/heif", "gif": "image/gif", "pdf": "application/pdf", "txt": "text/plain", "csv": "text/csv",
    "html": "text/html", "md": "text/markdown", "json": "application/json", "mp3": "audio/mp3", "wav": "audio/wav",
    "ogg": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac", "aiff": "audio/aiff", "mp4": "video/mp4",
    "mpeg": "video/mpeg", "mov": "video/mov", "webm": "video/webm",
}  # fmt: skip
_SKIPPED = frozenset(("thinking", "redacted_thinking", "reasoning"))
"""Thoughts of earlier answers: Gemini knows its own by their signatures only."""

Part = dict[str, Any]


class Url(msgspec.Struct):
    """An image or a video, as OpenAI's wire has it."""

    url: str


class Audio(msgspec.Struct):
    """Speech."""

    data: str
    format: str


class File(msgspec.Struct):
    """A document."""

    file_data: str | None = None
    file_id: str | None = None


class Content(msgspec.Struct):
    """One part of a message's content."""

    type: str = "text"
    text: str | None = None
    refusal: str | None = None
    image_url: str | Url | None = None
    video_url: str | Url | None = None
    input_audio: Audio | None = None
    file: File | None = None


Contents = str | list[str | Content] | None


def parts_of(content: Contents, field: str) -> list[Part]:
    """The parts of a message's content. Raises InvalidField for what cannot be a part."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}]
    found = []
    for index, item in enumerate(content):
        if isinstance(item, str):
            found.append({"text": item})
        elif item.type not in _SKIPPED:
            found.append(_part(item, f"{field}[{index}]"))
    return found


def texts_of(content: Contents, field: str) -> list[Part]:
    """As `parts_of`, for contents that can only be text."""
    found = parts_of(content, field)
    for index, part in enumerate(found):
        if "text" not in part:
            raise unsayable(f"{field}[{index}]", "only text can stand here")
    return found


def _part(item: Content, field: str) -> Part:
    if item.type in ("text", "input_text", "output_text") and item.text is not None:
        return {"text": item.text}
    if item.type == "refusal" and item.refusal is not None:
        return {"text": item.refusal}
    if item.type == "image_url" and item.image_url is not None:
        return _media(item.image_url, f"{field}.image_url.url")
    if item.type == "video_url" and item.video_url is not None:
        return _media(item.video_url, f"{field}.video_url.url")
    if item.type == "input_audio" and item.input_audio is not None:
        kind = _TYPES.get(item.input_audio.format, f"audio/{item.input_audio.format}")
        return {"inlineData": {"mimeType": kind, "data": item.input_audio.data}}
    if item.type == "file" and item.file is not None:
        return _file(item.file, f"{field}.file")
    raise unsayable(f"{field}.type", f"it is {item.type!r}, or what belongs to that is missing")


def _media(written: str | Url, field: str) -> Part:
    url = written if isinstance(written, str) else written.url
    if url.startswith("data:"):
        return _inline(url, field)
    if not url.startswith(("https://", "http://", "gs://")):
        raise InvalidField(f"`{field}` is neither a link nor a data URL with base64.", param=field)
    return _linked(url)


def _inline(url: str, field: str) -> Part:
    found = _DATA_URL.fullmatch(url)
    if found is None or not found["type"]:
        raise InvalidField(f"`{field}` is not a data URL with a type and base64.", param=field)
    return {"inlineData": {"mimeType": found["type"], "data": found["data"]}}


def _linked(uri: str) -> Part:
    extension = _EXTENSION.search(uri.rpartition("/")[2])
    kind = _TYPES.get(extension[1].lower()) if extension else None
    return {"fileData": {"fileUri": uri} if kind is None else {"mimeType": kind, "fileUri": uri}}


def _file(file: File, field: str) -> Part:
    if file.file_data is not None:
        return _media(file.file_data, f"{field}.file_data")
    if file.file_id is not None and file.file_id.startswith(("https://", "gs://")):
        return _linked(file.file_id)
    raise unsayable(f"{field}.file_id", "a file is either inside the request, or the URI that Gemini's Files API gave")
