"""From a request of /v1/responses to its generation."""

from __future__ import annotations

from gateway.simulator import chance, prompt, writing
from gateway.simulator.engine import Draft, Engine, Request, fit
from gateway.simulator.errors import SimError, invalid
from gateway.simulator.fields import Body
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.responses.ask import ResponsesAsk, read
from gateway.simulator.responses.shelf import Stored
from gateway.simulator.responses.wire import ResponsesWire

_SUMMARY_TOKENS = 60


async def begin(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin a generation; it must be settled. Raises SimError (400, 404)."""
    ask = read(request.body, engine.shelf, request.caller.key)
    words = await engine.words()
    ids = await engine.run_sized(request, lambda: prompt.render(ask.chat, words))
    options = ask.chat.options
    fit(request.model, len(ids), _too_long)
    author = engine.author(request, words, options.limit, options.stop, len(ids))
    seed = engine.seed_from(request, ids)
    choice = author.chat(ask.chat, chance.dice(seed, 0))
    generation = engine.begin(request, Draft("responses", options, [ids], [choice], seed))
    summary = ""
    if ask.summary:
        summary = writing.write(prompt.question(ask.chat.messages), _SUMMARY_TOKENS, chance.dice(seed, "summary"))

    def keep(response: Body) -> None:
        if ask.store:
            engine.shelf.put(_stored(request.caller.key, ask, response))

    return generation, ResponsesWire(generation, ask, request.body, summary, keep)


def _stored(owner: str, ask: ResponsesAsk, response: Body) -> Stored:
    tail = response["id"].partition("_")[2]
    items = [
        {**item, "id": item.get("id") or f"{_prefix(item)}_{tail}i{at:04x}"} for at, item in enumerate(ask.own_items)
    ]
    return Stored(owner, response, items, [*ask.history, *items, *response["output"]])


def _prefix(item: Body) -> str:
    return {"message": "msg", "reasoning": "rs", "function_call": "fc"}.get(str(item.get("type")), "item")


def _too_long(window: int, tokens: int) -> SimError:
    message = "Your input exceeds the context window of this model. Please adjust your input and try again."
    return invalid(message, "input", "context_length_exceeded")
