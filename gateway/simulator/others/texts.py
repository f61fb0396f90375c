"""/v1/rerank and /v1/moderations: judgements of texts."""

from __future__ import annotations

import math

from gateway.simulator import chance
from gateway.simulator.engine import Engine, Request
from gateway.simulator.errors import missing
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.others.forms import number
from gateway.simulator.others.made import Making, PlainWire, begin

_CHUNK_TOKENS = 500
_DOCUMENTS_A_UNIT = 100
_CATEGORIES = ("hate", "harassment", "self-harm", "sexual", "violence")


async def rerank(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin to order documents. Billed in search units (Cohere's way), or by tokens (Jina's). Raises SimError (400)."""
    body, model = request.body, request.model
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str):
        raise missing("query")
    if not isinstance(documents, list) or not documents:
        raise missing("documents")
    words = await engine.words()
    asked = len(words.encode(query))
    texts = [str(each.get("text", "")) if isinstance(each, dict) else str(each) for each in documents]
    lengths = [len(words.encode(text)) for text in texts]
    chunks = sum(max(1, math.ceil(length / _CHUNK_TOKENS)) for length in lengths)
    units = math.ceil(chunks / _DOCUMENTS_A_UNIT)
    tokens = sum(length + asked for length in lengths)
    by_tokens = not model.fees
    services = {} if by_tokens else {"search_unit": units}
    generation = begin(engine, request, Making("rerank", tokens if by_tokens else 0, (0,), services))
    dice = chance.dice(engine.seed_of(request), "rerank")
    scored = sorted(((round(dice.random(), 6), index) for index in range(len(texts))), reverse=True)
    results = [{"index": index, "relevance_score": score} for score, index in scored]
    results = results[: number(body, "top_n", len(results))]

    def write(usage: Body | None) -> Body:
        answer: Body = {"id": f"rerank-{generation.ordinal:08x}", "model": model.id, "results": results}
        if usage is not None and by_tokens:
            answer["usage"] = {"total_tokens": tokens, "prompt_tokens": tokens}
        elif usage is not None:
            answer["meta"] = {"api_version": {"version": "2"}, "billed_units": {"search_units": units}}
        return answer

    return generation, PlainWire(write)


async def moderate(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin to judge texts, for nothing. Raises SimError (400)."""
    given = request.body.get("input")
    if given is None:
        raise missing("input")
    inputs = given if isinstance(given, list) else [given]
    generation = begin(engine, request, Making("moderations", 0, (0,)))

    def judged(text: object) -> Body:
        flagged = {name: name in str(text).lower() for name in _CATEGORIES}
        scores = {name: 0.97 if found else 0.0001 for name, found in flagged.items()}
        return {"flagged": any(flagged.values()), "categories": flagged, "category_scores": scores}

    def write(_: Body | None) -> Body:
        answer = {"id": f"modr-{generation.ordinal:08x}", "model": request.model.id}
        return {**answer, "results": [judged(text) for text in inputs]}

    return generation, PlainWire(write)
