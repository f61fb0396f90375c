"""Forms with files: read far enough to govern them, the rest passed on as it comes.

What is held is `HELD_BYTES` at most; a form that is no larger is held whole and is a request like any other. Of a
larger one all governed fields have to come by then. The rest is fetched from its client as the provider takes it, so
that neither can make the gateway keep it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

from gateway.errors import FareboxError, InvalidField, InvalidForm
from gateway.reply import ClientGone, UploadingCall
from gateway.upstream.transport import BodyBroken
from gateway.wire.multipart import FormReader, boundary_of
from gateway.wire.others import read_form
from gateway.wire.requests import ModelRequest
from gateway.wire.upload import Upload

HELD_BYTES: Final = 524_288
_WAV: Final = re.compile(rb"RIFF.{4}WAVEfmt .{4}\x01\x00(.{2})(.{4}).{6}(.{2})", re.DOTALL)
"""PCM: channels, samples a second, bits a sample."""


class ComingRest:
    """What is still to come of a form."""

    __slots__ = ("_chunks", "_reader", "begun", "failure")

    def __init__(self, chunks: AsyncIterator[bytes], reader: FormReader) -> None:
        self._chunks = chunks
        self._reader = reader
        self.begun = False
        self.failure: FareboxError | ClientGone | None = None
        """Why it did not come whole."""

    async def next_chunk(self) -> bytes:
        """The next bytes; `b""` at the end. Raises BodyBroken, and keeps the reason."""
        self.begun = True
        try:
            async for chunk in self._chunks:
                self._reader.feed(chunk)
                return chunk
            _check_end(self._reader)
        except (FareboxError, ClientGone) as error:
            self.failure = error
            raise BodyBroken("the client's body broke off", sent=False) from None
        return b""


async def read_upload(call: UploadingCall, max_bytes: int) -> ModelRequest:
    """The request that a form says. Raises BadRequest errors that name the field, BodyTooLarge, or ClientGone."""
    content_type = _header(call, b"content-type")
    boundary = boundary_of(content_type)
    if boundary is None:
        raise InvalidForm("Send the file as a form: `Content-Type: multipart/form-data`, as the SDKs do.")
    reader = FormReader(boundary)
    chunks = call.chunks(max_bytes)
    held = bytearray()
    whole = False
    while len(held) < HELD_BYTES:
        chunk = await anext(chunks, b"")
        if not chunk:
            whole = True
            break
        held += chunk
        reader.feed(chunk)
    reader.closed = True
    if whole:
        _check_end(reader)
    if reader.model_at is None:
        raise InvalidField(
            f"`model` is not in the first {HELD_BYTES} bytes of the form. Put it before the file: a file is passed on "
            "as it comes, and the model says to whom.",
            param="model",
        )
    said = _header(call, b"content-length")
    length = len(held) if whole else int(said) if said.isdigit() and len(said) < 20 else None
    size = max_bytes if length is None else length
    request = read_form(call.api, reader.fields, size, _seconds(reader.file_head, size))
    rest = None if whole else ComingRest(chunks, reader)
    request.upload = Upload(content_type, bytes(held), reader.model_at, rest, length)
    return request


def upload_failure(request: ModelRequest) -> Exception:
    """Why a form did not come whole: its client's error, or that its client has left."""
    rest = None if request.upload is None else request.upload.rest
    failure = rest.failure if isinstance(rest, ComingRest) else None
    return failure or ClientGone()


def _check_end(reader: FormReader) -> None:
    if not reader.done:
        raise InvalidForm("The form ends before its last boundary.")


def _header(call: UploadingCall, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in call.headers if key == name), "")


def _seconds(head: bytes, size: int) -> int | None:
    """How long the audio is, where its header tells: what a WAV file is played back by. Rounded up."""
    found = _WAV.match(head)
    if found is None:
        return None
    channels, rate, bits = (int.from_bytes(found[group], "little") for group in (1, 2, 3))
    bytes_per_s = channels * rate * bits // 8
    return -(-size // bytes_per_s) if bytes_per_s else None
