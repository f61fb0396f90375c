"""Content of input items: parts of the Responses API as parts of a chat message."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import InvalidField
from gateway.wire.responses.raw import Fields, first, is_null, objects_of, raw_string, string_of
from gateway.wire.responses.reading import Reading

_TEXTS: Final = frozenset(("input_text", "output_text", "text", "summary_text", "reasoning_text"))
_WRITTEN_TEXTS: Final = frozenset(f'"{kind}"'.encode() for kind in _TEXTS)
_SAID: Final = {
    "text": frozenset(("type", "text", "annotations", "logprobs")),
    "image_url": frozenset(("type", "image_url", "file_id", "detail")),
    "file": frozenset(("type", "file_data", "file_id", "file_url", "filename", "detail")),
}
"""Fields of parts that the chat form says otherwise, or not at all; every other goes on beside it."""


def parts_of(content: msgspec.Raw, field: str, reading: Reading) -> list[dict[str, Any]]:
    """The chat parts of `content`, a list which `field` names. Raises InvalidField for a wrong shape."""
    parts = objects_of(content, field, "a string or a list of content parts")
    found = [_part(part, f"{field}[{index}]", reading) for index, part in enumerate(parts)]
    return [part for part in found if part is not None]


def plain(parts: list[dict[str, Any]]) -> msgspec.Raw | list[dict[str, Any]]:
    """The parts as a message's content: a text alone as a string, which every server takes."""
    if not parts:
        return msgspec.Raw(b'""')
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: msgspec.Raw = parts[0]["text"]
        return text
    return parts


def content_of(content: msgspec.Raw | None, field: str, reading: Reading) -> msgspec.Raw | list[dict[str, Any]]:
    """The content of a chat message. Raises InvalidField."""
    if content is None or is_null(content):
        raise InvalidField(f"Missing required parameter: `{field}`.", param=field)
    if first(content) == b'"':
        return content
    return plain(parts_of(content, field, reading))


def _part(part: Fields, field: str, reading: Reading) -> dict[str, Any] | None:
    """One part; None for what chat cannot say, which is noted."""
    written = bytes(part.get("type", b"")) in _WRITTEN_TEXTS
    kind = "text" if written else string_of(part, "type", field)
    if kind in _TEXTS:
        return {"type": "text", "text": raw_string(part, "text", field), **_others(part, "text")}
    if kind == "refusal":
        string_of(part, "refusal", field)
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image":
        return _image(part, field, reading)
    if kind == "input_file":
        return _file(part, field, reading)
    if kind == "input_audio":
        return {**part}
    reading.unsized(field)
    reading.refuse(f"{field}.type", f"`{field}.type` is {kind[:32]!r}, which this model has no words for.")
    return None


def _others(part: Fields, kind: str) -> Fields:
    said = _SAID[kind]
    return {name: value for name, value in part.items() if name not in said}


def _image(part: Fields, field: str, reading: Reading) -> dict[str, Any] | None:
    if "image_url" not in part:
        string_of(part, "file_id", field)
        reading.unsized(f"{field}.file_id")
        reading.refuse(
            f"{field}.file_id", f"`{field}.file_id`: this model cannot read a file by its id. Send the image."
        )
        return None
    string_of(part, "image_url", field)
    image: dict[str, Any] = {"url": part["image_url"]}
    if "detail" in part:
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image, **_others(part, "image_url")}


def _file(part: Fields, field: str, reading: Reading) -> dict[str, Any] | None:
    named = {name: part[name] for name in ("file_data", "file_id", "filename") if name in part}
    for name in ("file_data", "file_id", "file_url"):
        if name in part:
            string_of(part, name, field)
    if "file_data" not in part:
        by = "file_url" if "file_url" in part else "file_id"
        string_of(part, by, field)
        reading.unsized(f"{field}.{by}")
        if by == "file_url":
            reading.refuse(
                f"{field}.file_url", f"`{field}.file_url`: this model takes no links to files. Send the file."
            )
            return None
    else:
        reading.unsized(f"{field}.file_data")  # a document's pages may be counted as images
    return {"type": "file", "file": named, **_others(part, "file")}
