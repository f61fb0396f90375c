"""/v1/images: generations, edits, variations. Billed by tokens, or by the image where the model has fees for that."""

from __future__ import annotations

import base64

from gateway.simulator import chance
from gateway.simulator.engine import Engine, Request
from gateway.simulator.errors import invalid, missing
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.others.forms import flag, number
from gateway.simulator.others.made import EventWire, Making, PlainWire, begin

_TOKENS = {"low": 272, "medium": 1_056, "high": 4_160}
_GIVEN_TOKENS = 323
_IMAGE_BYTES = 1_500
_DEFAULT_SIZE = "1024x1024"


async def generate(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin an image; it must be settled. Raises SimError (400)."""
    return await _make(engine, request, "images", "image_generation")


async def edit(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin an edit of given images."""
    if "image" not in request.body:
        raise missing("image")
    return await _make(engine, request, "image_edits", "image_edit")


async def vary(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin a variation of a given image."""
    if "image" not in request.body:
        raise missing("image")
    return await _make(engine, request, "image_variations", "image_generation")


async def _make(engine: Engine, request: Request, endpoint: str, name: str) -> tuple[Generation, Wire]:
    body, model = request.body, request.model
    if endpoint != "image_variations" and not isinstance(body.get("prompt"), str):
        raise missing("prompt")
    count = number(body, "n", 1)
    if not 1 <= count <= 10:
        raise invalid("Invalid value for 'n': between 1 and 10.", "n", "invalid_value")
    by_tokens = not model.fees
    quality = str(body.get("quality") or "high")
    words = await engine.words()
    given = len(body["image"]) if isinstance(body.get("image"), list) else 0
    text = len(words.encode(str(body.get("prompt") or "")))
    making = Making(
        endpoint,
        text + given * _GIVEN_TOKENS if by_tokens else 0,
        (_TOKENS.get(quality, _TOKENS["high"]),) * count if by_tokens else (1,) * count,
        {} if by_tokens else {_unit(body): count},
        flag(body, "stream"),
    )
    if not by_tokens:
        making = making._replace(pieces=(0,) * count)
    generation = begin(engine, request, making)
    dice = chance.dice(engine.seed_of(request), "image")
    pictures = [base64.b64encode(dice.randbytes(_IMAGE_BYTES)).decode() for _ in range(count)]

    def told(usage: Body | None) -> Body | None:
        if usage is None or not by_tokens:
            return None
        return {
            "input_tokens": usage["prompt_tokens"],
            "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
            "input_tokens_details": {"text_tokens": text, "image_tokens": given * _GIVEN_TOKENS},
        }

    def whole(usage: Body | None) -> Body:
        answer: Body = {"created": generation.created_s, "data": [{"b64_json": picture} for picture in pictures]}
        if (found := told(usage)) is not None:
            answer["usage"] = found
        return answer

    def partial(at: int) -> Body:
        return {"type": f"{name}.partial_image", "b64_json": pictures[at][:200], "partial_image_index": at}

    def last(usage: Body | None) -> Body:
        answer: Body = {"type": f"{name}.completed", "b64_json": pictures[-1], "created_at": generation.created_s}
        if (found := told(usage)) is not None:
            answer["usage"] = found
        return answer

    return generation, EventWire(partial, last, generation) if making.stream else PlainWire(whole)


def _unit(body: Body) -> str:
    """What one image is billed as: the default size and quality are the plain `image`."""
    size, quality = str(body.get("size") or _DEFAULT_SIZE), str(body.get("quality") or "standard")
    if quality == "hd":
        return f"image:{size}:hd"
    return "image" if size == _DEFAULT_SIZE else f"image:{size}"
