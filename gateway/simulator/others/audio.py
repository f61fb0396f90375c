"""/v1/audio: speech, transcriptions, translations."""

from __future__ import annotations

import base64
import math
import re

from gateway.simulator import chance
from gateway.simulator.engine import Engine, Request
from gateway.simulator.errors import invalid, missing
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.others.forms import flag
from gateway.simulator.others.made import BytesWire, EventWire, Making, PlainWire, begin

_PIECE_CHARACTERS = 40
_TOKENS_A_PIECE = 48
_PIECE_BYTES = 2_400
_BYTES_PER_S = 16_000
"""Of audio whose header does not tell: 128 kbit/s."""
_AUDIO_TOKENS_PER_S = 10
_WAV = re.compile(rb"RIFF.{4}WAVEfmt .{12}(.{4})", re.DOTALL)
_TYPES = {"mp3": b"audio/mpeg", "wav": b"audio/wav", "opus": b"audio/ogg", "pcm": b"audio/pcm"}


async def speak(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin to speak a text; it must be settled. Raises SimError (400)."""
    body, model = request.body, request.model
    text = body.get("input")
    if not isinstance(text, str) or not text:
        raise missing("input")
    by_tokens = not model.fees
    count = math.ceil(len(text) / _PIECE_CHARACTERS)
    words = await engine.words()
    stream = body.get("stream_format") == "sse"
    making = Making(
        "speech",
        len(words.encode(text)) if by_tokens else 0,
        (_TOKENS_A_PIECE if by_tokens else 0,) * count,
        {} if by_tokens else {"character": len(text)},
        stream,
    )
    generation = begin(engine, request, making)
    seed = engine.seed_of(request)

    def audio(at: int) -> bytes:
        return chance.dice(seed, "audio", at).randbytes(_PIECE_BYTES)

    def delta(at: int) -> Body:
        return {"type": "speech.audio.delta", "audio": base64.b64encode(audio(at)).decode()}

    def done(usage: Body | None) -> Body:
        last: Body = {"type": "speech.audio.done"}
        if usage is not None and by_tokens:
            names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
            last["usage"] = {name: usage[chat] for name, chat in names.items()}
        return last

    if stream:
        return generation, EventWire(delta, done, generation)
    return generation, BytesWire(audio, _TYPES.get(str(body.get("response_format") or "mp3"), b"audio/mpeg"))


async def transcribe(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin to write down what is said in a file."""
    return await _hear(engine, request, "transcriptions")


async def translate(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin to write it down in English."""
    return await _hear(engine, request, "translations")


async def _hear(engine: Engine, request: Request, endpoint: str) -> tuple[Generation, Wire]:
    body, model = request.body, request.model
    files = body.get("file")
    if not isinstance(files, list):
        raise missing("file")
    [file, *others] = files
    if others:
        raise invalid("Only one file is taken.", "file")
    seconds = _seconds(file)
    by_tokens = not model.fees
    text = f"{file['bytes']} bytes were heard, with the digest {file['sha256']}."
    words = await engine.words()
    heard, said = seconds * _AUDIO_TOKENS_PER_S, len(words.encode(text))
    making = Making(
        endpoint,
        heard if by_tokens else 0,
        (said if by_tokens else 0,),
        {} if by_tokens else {"second": seconds},
        flag(body, "stream"),
    )
    generation = begin(engine, request, making)

    def told(usage: Body | None) -> Body:
        if usage is None:
            return {}
        if not by_tokens:
            return {"usage": {"type": "duration", "seconds": seconds}}
        details = {"audio_tokens": heard, "text_tokens": 0}
        return {
            "usage": {
                "type": "tokens",
                "input_tokens": heard,
                "output_tokens": usage["completion_tokens"],
                "total_tokens": usage["total_tokens"],
                "input_token_details": details,
            }
        }

    def delta(at: int) -> Body:
        return {"type": "transcript.text.delta", "delta": text}

    def done(usage: Body | None) -> Body:
        return {"type": "transcript.text.done", "text": text, **told(usage)}

    if making.stream:
        return generation, EventWire(delta, done, generation)
    form = str(body.get("response_format") or "json")
    if form in ("text", "srt", "vtt"):
        return generation, PlainWire(lambda usage: f"{text}\n".encode(), b"text/plain; charset=utf-8")
    if form == "verbose_json":
        return generation, PlainWire(
            lambda usage: {"task": "transcribe", "duration": float(seconds), "text": text, "segments": []}
        )
    return generation, PlainWire(lambda usage: {"text": text, **told(usage)})


def _seconds(file: Body) -> int:
    """How long it is: what a WAV file's header says, else by its size."""
    found = _WAV.match(bytes.fromhex(file["head"]))
    rate = int.from_bytes(found[1], "little") if found else 0
    return max(1, math.ceil(int(file["bytes"]) / (rate or _BYTES_PER_S)))
