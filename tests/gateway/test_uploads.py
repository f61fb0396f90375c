"""Forms read as far as they govern: what is held, what is still to come, how long their audio is."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import pytest

from gateway.errors import BodyTooLarge, InvalidField, InvalidForm
from gateway.reply import ClientGone, Headers
from gateway.uploads import HELD_BYTES, ComingRest, read_upload, upload_failure
from gateway.upstream.transport import BodyBroken

HEAD = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--x\r\n'
HEAD += b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--x--\r\n"


class Call:
    """A client that sends what it was given, and leaves where an error stands."""

    api = "transcriptions"
    query = b""
    client = "test"

    def __init__(self, *pieces: bytes | Exception, headers: Headers | None = None) -> None:
        self._pieces = pieces
        self.headers = headers or [(b"content-type", b"multipart/form-data; boundary=x")]
        self.taken = 0

    async def body(self, max_bytes: int) -> bytes:
        raise AssertionError

    async def chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            self.taken += 1
            yield piece


def wav(channels: int, rate: int, bits: int, kind: int = 1) -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, 7, 7, bits)
    return b"RIFF" + bytes(4) + b"WAVE" + fmt + b"data" + bytes(4)


async def test_a_small_form_is_held_whole() -> None:
    request = await read_upload(Call(HEAD, b"audio", END), 10**6)
    upload = request.upload
    assert upload is not None
    assert upload.rest is None
    assert upload.body("whisper-1") == HEAD.replace(b"whisper", b"whisper-1") + b"audio" + END
    assert (request.model, request.profile.api) == ("whisper", "transcriptions")


async def test_of_a_large_one_only_the_beginning_is() -> None:
    pieces = [bytes(100_000)] * 20
    call = Call(HEAD, *pieces, END, headers=[*Call().headers, (b"content-length", b"%d" % 2_000_150)])
    request = await read_upload(call, 10**7)
    upload = request.upload
    assert upload is not None
    assert HELD_BYTES <= len(upload.held) < HELD_BYTES + 100_000
    assert call.taken == 7
    beginning = upload.body("w")
    assert not isinstance(beginning, bytes)
    assert beginning.length == 2_000_150 - len("whisper") + 1
    assert not upload.is_gone
    rest = b""
    while piece := await beginning.rest.next_chunk():
        rest += piece
    assert upload.is_gone
    assert beginning.head + rest == HEAD.replace(b"whisper", b"w") + b"".join(pieces) + END


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (ClientGone(), ClientGone),
        (BodyTooLarge("too large"), BodyTooLarge),
        (b"no end", InvalidForm),
        (b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nother', InvalidField),
    ],
)
async def test_why_a_rest_did_not_come_is_kept(last: bytes | Exception, why: type[Exception]) -> None:
    request = await read_upload(Call(HEAD, bytes(HELD_BYTES), last), 10**7)
    assert request.upload is not None
    rest = request.upload.rest
    assert isinstance(rest, ComingRest)
    with pytest.raises(BodyBroken):
        await _read(rest)
    assert isinstance(upload_failure(request), why)


async def _read(rest: ComingRest) -> None:
    while await rest.next_chunk():
        pass


async def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(InvalidForm):
        await read_upload(Call(b"{}", headers=[(b"content-type", b"application/json")]), 100)
    with pytest.raises(InvalidForm):
        await read_upload(Call(HEAD, b"audio"), 10**6)


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        (wav(1, 8_000, 16), 25),  # 400,000 bytes
        (wav(2, 48_000, 16), 3),
        (wav(1, 8_000, 16, kind=85), 100),  # MP3 in a WAV: by its size
        (wav(0, 8_000, 16), 100),
        (b"ID3", 100),
    ],
)
async def test_how_long_the_audio_is(head: bytes, seconds: int) -> None:
    file = head + bytes(400_000 - len(HEAD) - len(END) - len(head) - 200)
    request = await read_upload(Call(HEAD, file, END), 10**6)
    assert request.extent is not None
    assert request.extent.units == {"second": seconds}
