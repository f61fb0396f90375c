"""POST /v1/embeddings: seeded vectors of unit length."""

from __future__ import annotations

import base64
import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.simulator import chance
from gateway.simulator.answer import Choice
from gateway.simulator.completions import token_inputs
from gateway.simulator.errors import context_too_long, invalid
from gateway.simulator.fields import Body, optional, whole
from gateway.simulator.models import SimModel
from gateway.simulator.tokenizer import Tokenizer

_MAX_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class EmbeddingAsk:
    """An embedding request, read."""

    inputs: list[list[int]]
    """Each input's token ids."""
    dimensions: int
    base64: bool


def read(body: Body, model: SimModel, tokenizer: Tokenizer) -> EmbeddingAsk:
    """Read a request. Raises SimError (400)."""
    raw = token_inputs(body, "input")
    if len(raw) > _MAX_INPUTS:
        raise invalid(
            f"Invalid 'input': array too long. Expected at most {_MAX_INPUTS} items.", "input", "array_above_max_length"
        )
    inputs = [tokenizer.encode(item) if isinstance(item, str) else item for item in raw]
    for ids in inputs:
        if not ids:
            raise invalid("Invalid 'input': input cannot be an empty string.", "input")
        if len(ids) > model.context_window:
            raise context_too_long(model.context_window, len(ids), "input")
    encoding = optional(body, "encoding_format", str, "a string") or "float"
    if encoding not in {"float", "base64"}:
        raise invalid(f"Invalid value: {encoding!r}. Supported values are: 'base64' and 'float'.", "encoding_format")
    dimensions = whole(body, "dimensions", 1, model.dimensions) or model.dimensions
    return EmbeddingAsk(inputs, dimensions, encoding == "base64")


class EmbeddingWire:
    """Writes one embedding answer. It never streams."""

    def __init__(self, ask: EmbeddingAsk, model: SimModel, seed: int) -> None:
        self._ask = ask
        self._model = model
        self._seed = seed

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """The answer; its usage has no completion."""
        data: list[Body] = []
        for index, ids in enumerate(self._ask.inputs):
            values: Any = vector(ids, self._ask.dimensions, self._seed)
            if self._ask.base64:
                values = base64.b64encode(struct.pack(f"<{self._ask.dimensions}f", *values)).decode()
            data.append({"object": "embedding", "index": index, "embedding": values})
        answer: Body = {"object": "list", "data": data, "model": self._model.id}
        if usage:
            answer["usage"] = {name: usage[name] for name in ("prompt_tokens", "total_tokens")}
        return msgspec.json.encode(answer)


def vector(ids: Sequence[int], dimensions: int, seed: int) -> list[float]:
    """A vector of length 1 that depends on the tokens and the seed."""
    raw = array("h", chance.dice(seed, "embedding", *ids).randbytes(2 * dimensions))
    norm = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [value / norm for value in raw]
