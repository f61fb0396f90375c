"""Embeddings: `batchEmbedContents`, one request for each text."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.upstream.dialects.gemini.errors import openai_error
from gateway.upstream.dialects.gemini.fields import read, unsayable
from gateway.upstream.dialects.gemini.usage import UsageMetadata, openai_usage
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.answers import MalformedAnswer
from gateway.wire.requests import ModelRequest

_KNOWN = frozenset(("model", "input", "dimensions", "encoding_format"))
_HINTS = frozenset(("user", "metadata", "safety_identifier", "session_id"))
_input_decoder = msgspec.json.Decoder(str | list[str])
_encode = msgspec.json.encode


class _Embedding(msgspec.Struct):
    values: Sequence[float] = ()


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: Sequence[_Embedding]
    usage_metadata: UsageMetadata | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)


def embeddings_body(request: ModelRequest, wish: Wish) -> bytes:
    """The body. Raises InvalidField: Gemini embeds texts, not token ids."""
    for name, value in request.fields.items():
        if name not in _KNOWN and name not in _HINTS and bytes(value) != b"null":
            raise unsayable(name)
    texts = read(_input_decoder, request.fields["input"], "input")
    own: dict[str, Any] = {"model": f"models/{wish.upstream_model.removeprefix('models/')}"}
    dimensions = request.fields.get("dimensions")
    if dimensions is not None and bytes(dimensions) != b"null":
        own["outputDimensionality"] = dimensions
    return _encode(
        {
            "requests": [
                {**own, "content": {"parts": [{"text": text}]}}
                for text in ([texts] if isinstance(texts, str) else texts)
            ]
        }
    )


class Embeddings:
    """The `Translation` of embeddings, which are never streamed."""

    __slots__ = ("_base64", "_model")

    def __init__(self, request: ModelRequest, wish: Wish) -> None:
        self._model = wish.upstream_model
        self._base64 = bytes(request.fields.get("encoding_format", b"")) == b'"base64"'

    def whole(self, body: bytes) -> bytes:
        """The answer. Raises MalformedAnswer."""
        try:
            answer = _answer_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedAnswer(str(error)) from None
        data = [
            {"object": "embedding", "index": index, "embedding": self._vector(embedding.values)}
            for index, embedding in enumerate(answer.embeddings)
        ]
        made: dict[str, Any] = {"object": "list", "data": data, "model": self._model}
        if answer.usage_metadata is not None:
            made["usage"] = openai_usage(answer.usage_metadata)
        return _encode(made)

    def _vector(self, values: Sequence[float]) -> Sequence[float] | str:
        """As the client wants it: base64 is of 32-bit floats, the lowest byte first."""
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode() if self._base64 else values

    def chunk(self, chunk: bytes) -> bytes:
        """Never called: embeddings are not streamed."""
        return chunk

    def end(self) -> bytes:
        """As `chunk`."""
        return b""

    def error(self, status: int, body: bytes) -> bytes:
        """The body of an error status."""
        return openai_error(status, body)
