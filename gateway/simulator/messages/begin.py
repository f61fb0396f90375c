"""From a request of /v1/messages to its generation, or to its size."""

from __future__ import annotations

import time

import msgspec

from gateway.simulator import chance
from gateway.simulator.engine import Draft, Engine, Request, fit
from gateway.simulator.errors import SimError
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.messages.ask import read, render
from gateway.simulator.messages.tongue import refused
from gateway.simulator.messages.wire import MessagesWire


async def begin(engine: Engine, request: Request) -> tuple[Generation, Wire]:
    """Begin a generation; it must be settled. Raises SimError (400)."""
    ask = read(request.body)
    options = ask.chat.options
    model = request.model
    if options.limit is not None and options.limit > model.max_output_tokens:
        raise refused(
            f"max_tokens: {options.limit} > {model.max_output_tokens}, which is the maximum allowed number of output "
            f"tokens for {model.id}"
        )
    words = await engine.words()
    ink = await engine.run_sized(request, lambda: render(ask, words))
    fit(model, len(ink.ids), _too_long)
    author = engine.author(request, words, options.limit, options.stop, len(ink.ids))
    seed = engine.seed_from(request, ink.ids)
    choice = author.chat(ask.chat, chance.dice(seed, 0))
    cache = engine.marked.use(f"{request.caller.key}/{model.id}", ink.ids, ink.marks, time.monotonic())
    generation = engine.begin(request, Draft("messages", options, [ink.ids], [choice], seed, cache))
    return generation, MessagesWire(generation, shows_thinking=ask.shows_thinking)


async def count(engine: Engine, request: Request) -> bytes:
    """The answer to /v1/messages/count_tokens: nothing is generated or billed. Raises SimError (400)."""
    ask = read(request.body, counting=True)
    words = await engine.words()
    ink = await engine.run_sized(request, lambda: render(ask, words))
    return msgspec.json.encode({"input_tokens": len(ink.ids)})


def _too_long(window: int, tokens: int) -> SimError:
    return refused(f"prompt is too long: {tokens} tokens > {window} maximum")
