"""What messages hold: OpenAI's content parts become Anthropic's blocks, each as bytes of JSON.

Text and whatever OpenAI does not know (Anthropic's own blocks, `cache_control`) goes through as it came. Texts without
anything in them are left out: Anthropic refuses them, and OpenAI's clients send them beside tool calls.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from gateway.errors import InvalidField

_encode = msgspec.json.encode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

NULL: Final = (b"", b"null")
ABSENT: Final = msgspec.Raw(b"")

_BLANK: Final = re.compile(rb'"(?:\s|\\[nrtbf])*"')
_DATA_URL: Final = re.compile(rb"[dD][aA][tT][aA]:(?P<type>[\w.+/-]*)(?:;[\w.+/=-]+)*?;base64,(?P<data>.*)", re.S)
_IMAGES: Final = {b"image/jpg": b"image/jpeg"} | {
    kind: kind for kind in (b"image/jpeg", b"image/png", b"image/gif", b"image/webp")
}
_PDF: Final = b"application/pdf"
_TEXTS: Final = ("text", "input_text", "output_text", "refusal")
_UNHEARD: Final = ("input_audio", "audio", "audio_url", "video_url", "input_video")


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    image_url: msgspec.Raw = ABSENT
    file: msgspec.Raw = ABSENT
    cache_control: msgspec.Raw = ABSENT


class _ImageUrl(msgspec.Struct):
    url: msgspec.Raw


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


_parts_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_part_decoder = msgspec.json.Decoder(_Part)
_url_decoder = msgspec.json.Decoder(_ImageUrl)
_file_decoder = msgspec.json.Decoder(_File)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_string(raw: msgspec.Raw) -> bool:
    """Whether a raw value is a JSON string."""
    return bytes(memoryview(raw)[:1]) == b'"'


def is_blank(text: bytes) -> bool:
    """Whether a JSON string has nothing in it but white space."""
    return _BLANK.fullmatch(text) is not None


def text_block(text: bytes) -> bytes:
    """A block of the JSON string `text`."""
    return b'{"type":"text","text":' + text + b"}"


def with_cache_control(block: bytes, cache_control: msgspec.Raw) -> bytes:
    """The block with the client's mark, unless it has one of its own."""
    return block if b'"cache_control"' in block else marked(block, cache_control)


def marked(block: bytes, cache_control: msgspec.Raw) -> bytes:
    """A block of our own making with the client's mark, whatever is marked inside of it."""
    if bytes(cache_control) in NULL:
        return block
    return block[:-1] + b',"cache_control":' + bytes(cache_control) + b"}"


def blocks_of(content: msgspec.Raw, field: str) -> list[bytes]:
    """The blocks of a message's `content`, which `field` names. Raises InvalidField."""
    raw = bytes(content)
    if raw in NULL:
        return []
    if raw[:1] == b'"':
        return [] if is_blank(raw) else [text_block(raw)]
    if raw[:1] == b"{":
        return _block(content, field)
    try:
        parts = _parts_decoder.decode(raw)
    except _MALFORMED:
        raise InvalidField(f"`{field}` must be a text or a list of content parts.", param=field) from None
    return [block for index, part in enumerate(parts) for block in _block(part, f"{field}[{index}]")]


def _block(raw: msgspec.Raw, field: str) -> list[bytes]:
    """One block, or none for an empty text."""
    if is_string(raw):
        return [] if is_blank(bytes(raw)) else [text_block(bytes(raw))]
    try:
        part = _part_decoder.decode(raw)
    except _MALFORMED:
        raise InvalidField(f"`{field}` is no content part: an object with a `type`.", param=field) from None
    kind = part.type or ("text" if memoryview(part.text) else "image_url" if memoryview(part.image_url) else "")
    if kind in _TEXTS:
        return _text(raw, part, field)
    if kind == "image_url":
        return [with_cache_control(_image(part.image_url, field), part.cache_control)]
    if kind == "file":
        return [with_cache_control(_file(part.file, field), part.cache_control)]
    if kind in _UNHEARD:
        raise InvalidField(f"`{field}`: Claude takes no speech and no video. Leave it out.", param=field)
    return [bytes(raw)]


def _text(raw: msgspec.Raw, part: _Part, field: str) -> list[bytes]:
    text = bytes(part.text if part.type != "refusal" else part.refusal)
    if text[:1] != b'"':
        raise InvalidField(f"`{field}` must have a `{part.type or 'text'}` that is a string.", param=field)
    if is_blank(text):
        return []
    whole = bytes(raw)
    if part.type == "text" and b'"prompt_cache_breakpoint"' not in whole:
        return [whole]
    others = _fields_decoder.decode(whole)
    for name in ("type", "text", "refusal", "prompt_cache_breakpoint"):
        others.pop(name, None)
    return [_encode({"type": "text", "text": msgspec.Raw(text), **others})]


def _image(image_url: msgspec.Raw, field: str) -> bytes:
    url = image_url
    if not is_string(url):
        try:
            url = _url_decoder.decode(image_url).url
        except _MALFORMED:
            raise InvalidField(f"`{field}.image_url` has no `url`.", param=f"{field}.image_url") from None
    if not is_string(url):
        raise InvalidField(f"`{field}.image_url.url` must be a string.", param=f"{field}.image_url.url")
    text = bytes(url)
    if b"\\" in text[:64] or (text[1:5] == b"data" and b"\\" in text):  # escaped slashes, say
        try:
            text = _encode(msgspec.json.decode(text, type=str))
        except _MALFORMED:
            raise InvalidField(f"`{field}.image_url.url` is not valid.", param=f"{field}.image_url.url") from None
    return _picture(text[1:-1], f"{field}.image_url.url")


def _file(raw: msgspec.Raw, field: str) -> bytes:
    try:
        file = _file_decoder.decode(raw)
    except _MALFORMED:
        raise InvalidField(f"`{field}.file` is no file.", param=f"{field}.file") from None
    if file.file_id:
        return _titled(b'{"type":"file","file_id":' + _encode(file.file_id) + b"}", file.filename)
    if not file.file_data:
        raise InvalidField(f"`{field}.file` needs `file_data` or `file_id`.", param=f"{field}.file")
    data = file.file_data
    if not data.startswith(("data:", "http:", "https:")):
        data = "data:application/pdf;base64," + data
    return _document(_encode(data)[1:-1], f"{field}.file.file_data", file.filename)


def _picture(url: bytes, field: str) -> bytes:
    """An image of a data URL or link: the inside of a JSON string without escapes.

    Nothing else is taken for one, a PDF say: what it may cost is reckoned as an image's.
    """
    if _is_link(url, field):
        return b'{"type":"image","source":{"type":"url","url":"' + url + b'"}}'
    kind, data = _data_of(url, field)
    if kind not in _IMAGES:
        shown = kind.decode()[:64] or "nothing"
        raise InvalidField(f"`{field}` is of the type {shown}: Claude takes JPEG, PNG, GIF and WebP.", param=field)
    return b'{"type":"image","source":' + _base64_source(_IMAGES[kind], data) + b"}"


def _document(url: bytes, field: str, title: str | None) -> bytes:
    """A file of a data URL or link; images among them."""
    if _is_link(url, field):
        return _titled(b'{"type":"url","url":"' + url + b'"}', title)
    kind, data = _data_of(url, field)
    if kind in _IMAGES:
        return _picture(url, field)
    if kind == _PDF:
        return _titled(_base64_source(kind, data), title)
    if kind.startswith(b"text/") or kind == b"application/json":
        return _titled(_text_source(data, field), title)
    shown = kind.decode()[:64] or "nothing"
    raise InvalidField(f"`{field}` is of the type {shown}: Claude takes PDF, text and images.", param=field)


def _is_link(url: bytes, field: str) -> bool:
    """Whether it is a link, and no data URL. Raises InvalidField when it is neither."""
    start = url[:8].lower()
    if start.startswith((b"https://", b"http://")):
        return True
    if not start.startswith(b"data:"):
        raise InvalidField(f"`{field}` must be a data URL or a link.", param=field)
    return False


def _data_of(url: bytes, field: str) -> tuple[bytes, bytes]:
    """Type and base64 of a data URL."""
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise InvalidField(f"`{field}` must be encoded as base64.", param=field)
    return found["type"].lower(), found["data"]


def _base64_source(kind: bytes, data: bytes) -> bytes:
    return b'{"type":"base64","media_type":"' + kind + b'","data":"' + data + b'"}'


def _text_source(data: bytes, field: str) -> bytes:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidField(f"`{field}` must be text in UTF-8, encoded as base64.", param=field) from None
    return b'{"type":"text","media_type":"text/plain","data":' + _encode(text) + b"}"


def _titled(source: bytes, title: str | None) -> bytes:
    named = b',"title":' + _encode(title) if title else b""
    return b'{"type":"document","source":' + source + named + b"}"
