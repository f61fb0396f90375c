"""From a request to its generation: reads it, counts its tokens, writes its answer and plans its timing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from gateway.config.snapshot import SimulatorSettings
from gateway.simulator import chance, completions, embeddings, fields, prompt, tokenizer
from gateway.simulator.answer import Author, Choice, Manner
from gateway.simulator.bill import Bill
from gateway.simulator.chat import ChatWire
from gateway.simulator.completions import CompletionWire
from gateway.simulator.embeddings import EmbeddingWire
from gateway.simulator.errors import SimError, context_too_long
from gateway.simulator.faults import Faults
from gateway.simulator.fields import Body, Options
from gateway.simulator.generation import CacheUse, Caller, Generation, Wire, interleave, schedule
from gateway.simulator.messages.cache import MarkedCache
from gateway.simulator.models import SimModel
from gateway.simulator.prefix_cache import PrefixCache
from gateway.simulator.responses.shelf import Shelf
from gateway.simulator.tokenizer import Tokenizer

_T = TypeVar("_T")
_LARGE_BYTES = 65_536
"""From this size on a request is tokenized in a thread, so that other streams keep their pace."""
_UNSEEDED = frozenset({"model", "stream", "stream_options", "user", "metadata", "service_tier"})
"""Fields that do not change the answer."""
NO_OPTIONS = Options(n=1, limit=None, stop=(), stream=False, include_usage=False, service_tier="default")
"""Of an endpoint that does not stream and has one answer."""
_ID_PREFIXES = {"chat": "chatcmpl-", "completions": "cmpl-", "responses": "resp_", "messages": "msg_"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was let in."""

    body: Body
    size: int
    model: SimModel
    faults: Faults
    caller: Caller
    nonce: str
    """The `x-sim-nonce` header: other dice for the same request."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is about to be generated, and what it takes."""

    endpoint: str
    """As the bill names it."""
    options: Options
    prompts: list[list[int]]
    """The token ids of each prompt."""
    choices: list[Choice]
    """Empty for what is no text."""
    seed: int
    """Of its pace."""
    cache: CacheUse | None = None
    """What the prompt's cache had; None for an API whose caching is automatic, or has none."""
    services: Mapping[str, int] = field(default_factory=dict)
    """What is done beside generating, whatever becomes of the answer: in units of the model's fees."""


def fit(model: SimModel, prompt_tokens: int, too_long: Callable[[int, int], SimError]) -> None:
    """Raise what `too_long` makes of the window and the tokens when the prompt does not fit."""
    if prompt_tokens > model.context_window:
        raise too_long(model.context_window, prompt_tokens)


class Engine:
    """Makes generations. The same seed and request give the same answer, usage and timing."""

    def __init__(self, settings: SimulatorSettings, bill: Bill) -> None:
        self._seed = settings.seed
        self._speed = settings.speed
        self._bill = bill
        self._cache = PrefixCache()
        self.marked = MarkedCache()
        """The cache of those who ask for it."""
        self.shelf = Shelf()
        """Finished responses."""
        # Ids must differ between two runs with the same seed: ledgers identify answers by them.
        self._run = os.urandom(8).hex()
        self._tokenizer = asyncio.get_running_loop().create_task(asyncio.to_thread(tokenizer.load))

    async def close(self) -> None:
        """Wait for the tokenizer's thread."""
        await asyncio.wait([self._tokenizer])
        self._tokenizer.exception()

    async def chat(self, request: Request) -> tuple[Generation, Wire]:
        """Begin a chat generation; it must be settled. Raises SimError (400)."""
        ask = fields.chat(request.body)
        words = await self.words()
        ids = await self.run_sized(request, lambda: prompt.render(ask, words))
        fit(request.model, len(ids), context_too_long)
        author = self.author(request, words, ask.options.limit, ask.options.stop, len(ids))
        seed = self.seed_of(request)
        choices = [author.chat(ask, chance.dice(seed, index)) for index in range(ask.options.n)]
        generation = self.begin(request, Draft("chat", ask.options, [ids], choices, seed))
        return generation, ChatWire(generation)

    async def completion(self, request: Request) -> tuple[Generation, Wire]:
        """Begin a legacy completion. Raises SimError (400)."""
        options = fields.options(request.body, "max_tokens")
        prompts = completions.token_inputs(request.body, "prompt")
        words = await self.words()
        read = await self.run_sized(request, lambda: [words.encode(p) if isinstance(p, str) else p for p in prompts])
        longest = max(map(len, read))
        fit(request.model, longest, context_too_long)
        author = self.author(request, words, options.limit or completions.DEFAULT_LIMIT, options.stop, longest)
        seed = self.seed_of(request)
        choices = [
            author.completion(text if isinstance(text, str) else "", chance.dice(seed, number, index))
            for number, text in enumerate(prompts)
            for index in range(options.n)
        ]
        generation = self.begin(request, Draft("completions", options, read, choices, seed))
        return generation, CompletionWire(generation)

    async def embedding(self, request: Request) -> tuple[Generation, Wire]:
        """Begin an embedding. Raises SimError (400)."""
        words = await self.words()
        ask = await self.run_sized(request, lambda: embeddings.read(request.body, request.model, words))
        draft = Draft("embeddings", NO_OPTIONS, ask.inputs, [], self.seed_of(request))
        return self.begin(request, draft), EmbeddingWire(ask, request.model, self._seed)

    async def words(self) -> Tokenizer:
        """The tokenizer, once it is loaded."""
        return await asyncio.shield(self._tokenizer)

    async def run_sized(self, request: Request, work: Callable[[], _T]) -> _T:
        """Run `work` here, or in a thread when the request is large."""
        return await asyncio.to_thread(work) if request.size > _LARGE_BYTES else work()

    def seed_of(self, request: Request) -> int:
        """The seed of a request whose body says all that matters, and nothing else."""
        asked = {name: value for name, value in request.body.items() if name not in _UNSEEDED and value is not None}
        digest = hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()
        return chance.number(self._seed, request.model.id, digest, request.nonce)

    def seed_from(self, request: Request, ids: list[int]) -> int:
        """The seed of a request whose body has ids in it that are made anew at each start: of its prompt instead."""
        digest = hashlib.sha256(array("q", ids).tobytes()).hexdigest()
        return chance.number(self._seed, request.model.id, digest, request.nonce)

    def author(
        self, request: Request, words: Tokenizer, limit: int | None, stop: tuple[str, ...], prompt_tokens: int
    ) -> Author:
        """Who writes the answers: none longer than `limit`."""
        model = request.model
        most = min(model.max_output_tokens, max(1, model.context_window - prompt_tokens))
        length, one_tool = request.faults.find("length"), request.faults.find("one-tool")
        manner = Manner(
            None if length is None else max(1, int(length.number("tokens"))),
            single=request.faults.find("single") is not None,
            one_tool=None if one_tool is None else str(one_tool.params["name"]),
        )
        return Author(model, words, min(limit or most, most), stop, manner)

    def begin(self, request: Request, draft: Draft) -> Generation:
        """Begin to generate; the generation must be settled."""
        cache = draft.cache
        if cache is None:
            cached = 0
            if draft.choices:
                owner = f"{request.caller.key}/{request.model.id}"
                cached = sum(self._cache.look_up(owner, ids) for ids in draft.prompts)
            cache = CacheUse(cached)
        flow = interleave(draft.choices)
        sizes = [piece.tokens for _, piece in flow] or [0]
        parallel = max(1, len(draft.choices))
        due = schedule(request.model, sizes, parallel, request.faults, speed=self._speed, seed=draft.seed)
        ordinal = self._bill.begin()
        prefix = _ID_PREFIXES.get(draft.endpoint)
        return Generation(
            bill=self._bill,
            caller=request.caller,
            model=request.model,
            endpoint=draft.endpoint,
            faults=request.faults,
            options=draft.options,
            prompt_tokens=sum(map(len, draft.prompts)),
            cached_tokens=cache.read,
            choices=draft.choices,
            due=due,
            flow=flow,
            ordinal=ordinal,
            response_id=f"{prefix}{chance.number(self._run, ordinal):016x}{ordinal:08x}" if prefix else "",
            services=dict(draft.services),
            cache_write_tokens=cache.written,
            cache_write_1h_tokens=cache.written_1h,
        )
