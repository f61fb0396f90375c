"""What turns hold: Anthropic's blocks become parts of chat messages, each as bytes of JSON.

Text goes through as it came, with its `cache_control` and citations: parts that OpenAI would not take are made plain
where a deployment needs it (`gateway.wire.messages.plain`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.messages.notes import ABSENT, MALFORMED, NULL, Notes, is_null, misshapen, missing, starts_with, wrong

_encode = msgspec.json.encode
_ELSEWHERE: Final = "only a model behind Anthropic's own API can read it."
_KEPT_THERE: Final = "it is not in the request, and only a model behind Anthropic's own API can get it."


class Block(msgspec.Struct):
    """A block of a turn, of whatever type."""

    type: str
    text: msgspec.Raw = ABSENT
    source: msgspec.Raw = ABSENT
    title: msgspec.Raw = ABSENT
    context: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    cache_control: msgspec.Raw = ABSENT
    tool_name: msgspec.Raw = ABSENT


class _Source(msgspec.Struct):
    type: str
    media_type: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    url: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


_blocks_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_block_decoder = msgspec.json.Decoder(Block)
_source_decoder = msgspec.json.Decoder(_Source)


def blocks_in(content: msgspec.Raw, field: str) -> list[msgspec.Raw]:
    """The blocks of a content that is a list. Raises InvalidField."""
    if not starts_with(content, b"["):
        raise wrong(field, "must be a string or a list of content blocks")
    return _blocks_decoder.decode(content)


def text_part(text: bytes) -> bytes:
    """A part of the JSON string `text`."""
    return b'{"type":"text","text":' + text + b"}"


def marked(part: bytes, cache_control: msgspec.Raw) -> bytes:
    """The part, or message, with the client's mark for the prompt cache."""
    if is_null(cache_control):
        return part
    return part[:-1] + b',"cache_control":' + bytes(cache_control) + b"}"


def string(raw: msgspec.Raw, field: str) -> bytes:
    """A field that must be a string, as JSON. Raises InvalidField, MissingField."""
    text = bytes(raw)
    if text[:1] == b'"':
        return text
    raise missing(field) if text in NULL else wrong(field, "must be a string")


def parts_of(raw: msgspec.Raw, field: str, notes: Notes) -> list[bytes]:
    """The parts that a block of a user's turn, or of a tool's result, becomes."""
    try:
        block = _block_decoder.decode(raw)
    except MALFORMED as error:
        raise misshapen(field, error) from None
    kind = block.type
    if kind == "text":
        string(block.text, f"{field}.text")
        return [bytes(raw)]
    if kind == "image":
        return [_image(raw, block, field, notes)]
    if kind == "document":
        return _document(raw, block, field, notes)
    if kind == "search_result":
        return [_search_result(block, field)]
    if kind == "tool_reference":
        return [marked(text_part(string(block.tool_name, f"{field}.tool_name")), block.cache_control)]
    notes.refuse(field, f"it is a block of the type {kind[:64]!r}, and {_ELSEWHERE}")
    return [bytes(raw)]


def _source_of(block: Block, field: str) -> _Source:
    if is_null(block.source):
        raise missing(f"{field}.source")
    try:
        return _source_decoder.decode(block.source)
    except MALFORMED as error:
        raise misshapen(f"{field}.source", error) from None


def _image(raw: msgspec.Raw, block: Block, field: str, notes: Notes) -> bytes:
    source = _source_of(block, field)
    if source.type == "base64":
        url = _data_url(source, f"{field}.source")
    elif source.type == "url":
        url = string(source.url, f"{field}.source.url")
    else:
        notes.refuse(f"{field}.source", _KEPT_THERE)
        return bytes(raw)
    return marked(b'{"type":"image_url","image_url":{"url":' + url + b"}}", block.cache_control)


def _data_url(source: _Source, field: str) -> bytes:
    """The source as a data URL, a JSON string: its own strings put together as they are written."""
    kind, data = string(source.media_type, f"{field}.media_type"), string(source.data, f"{field}.data")
    return b'"data:' + kind[1:-1] + b";base64," + data[1:]


def _document(raw: msgspec.Raw, block: Block, field: str, notes: Notes) -> list[bytes]:
    """A file as a file; a text as a text, with its title; a list of blocks as its parts."""
    source = _source_of(block, field)
    kind = source.type
    if kind == "base64":
        name = b"" if is_null(block.title) else b',"filename":' + string(block.title, f"{field}.title")
        file = b'{"file_data":' + _data_url(source, f"{field}.source") + name + b"}"
        return [marked(b'{"type":"file","file":' + file + b"}", block.cache_control)]
    heading = [_decoded(each, field) for each in (block.title, block.context) if not is_null(each)]
    if kind == "text":
        heading.append(_decoded(source.data, f"{field}.source.data"))
        return [marked(text_part(_encode("\n\n".join(heading))), block.cache_control)]
    if kind == "content":
        parts = [text_part(_encode("\n\n".join(heading)))] if heading else []
        parts += _inner(source.content, f"{field}.source.content", notes)
        if parts:
            parts[-1] = marked(parts[-1], block.cache_control)
        return parts
    notes.refuse(f"{field}.source", _KEPT_THERE)
    return [bytes(raw)]


def _inner(content: msgspec.Raw, field: str, notes: Notes) -> list[bytes]:
    if starts_with(content, b'"'):
        return [text_part(bytes(content))]
    blocks = blocks_in(content, field)
    return [part for index, raw in enumerate(blocks) for part in parts_of(raw, f"{field}.{index}", notes)]


def _search_result(block: Block, field: str) -> bytes:
    """What was found, as a text: title, source, and what it says."""
    texts = [_decoded(block.title, f"{field}.title"), _decoded(block.source, f"{field}.source")]
    for index, raw in enumerate(blocks_in(block.content, f"{field}.content")):
        place = f"{field}.content.{index}"
        try:
            inner = _block_decoder.decode(raw)
        except MALFORMED as error:
            raise misshapen(place, error) from None
        texts.append(_decoded(inner.text, f"{place}.text"))
    return marked(text_part(_encode("\n".join(texts))), block.cache_control)


def _decoded(raw: msgspec.Raw, field: str) -> str:
    text: Any = msgspec.json.decode(string(raw, field))
    return str(text)
