"""What a decision costs on the request path, in CPU time: by a policy of ten rules, and with the complexity score.

A request is read before: its reader walks over the messages once, for every request, and keeps them
(`ModelRequest.messages`). What a decision looks at is all of it looked at here, so a second walk would show.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from gateway.config.snapshot import Agent
from gateway.deciding.subject import Judge, Subject
from gateway.deciding.wanting import Asked, wanted_of
from gateway.identity.attribution import Attribution
from gateway.wire.requests import CHAT, ModelRequest, read_request
from routing.catalog import Catalog, Deployment, Model
from routing.complexity import Scorer
from routing.conditions import CompiledCondition
from routing.decision import View
from routing.money import ContextTier, Price, PricePeriod, PricePoint
from routing.router import Router
from routing.rules import CompiledPolicy, Rule, Tier
from routing.sessions import Sessions

_ROUNDS: Final = 2_000
_WARM: Final = 200
_WORDS: Final = 2_000
_SIZES: Final = {"4kb": 4_000, "400kb": 400_000}
_SHAPES: Final = ("one_message", "many_messages")
_AGENT: Final = Agent("researcher", "search", "acme", trust=frozenset(("value",)))
_CONDITIONS: Final = (
    'agent == "support"',
    'agent in ["coder", "reviewer"] && tools > 0',
    'team == "finance" && value_usd > 10.0',
    'tags.task == "summary"',
    'tags.task in ["extract", "classify"] && !stream',
    'agent == "planner" && run.steps > 5',
    'team == "legal"',
    'org == "partner" && budget.remaining_ratio < 0.1',
    'team == "search" && value_usd >= 1000.0',
    "tools > 8 || images > 0",
)
"""Eight concern somebody else; two are asked of CEL."""


def decision_figures(scorer: Scorer) -> dict[str, Any]:
    """p50 and p99 in µs of CPU.

    `policy_*`: the request's facts and a decision by ten rules. `complexity_*`: what a rule that reads complexity adds,
    the worst of 4 kB and 400 kB, as one message and as a conversation. `read_p50_us`, beside each of these: reading
    the request, which no decision causes.
    """
    policy_p50_us, policy_p99_us = _timed(_decision())
    shapes: dict[str, Any] = {}
    for size_name, size in _SIZES.items():
        for shape in _SHAPES:
            body = _body(size, shape)
            p50_us, p99_us = _timed(partial(_score, _Judge(scorer), read_request(CHAT, body)))
            read_p50_us, _ = _timed(partial(read_request, CHAT, body))
            shapes[f"{size_name}_{shape}"] = {"p50_us": p50_us, "p99_us": p99_us, "read_p50_us": read_p50_us}
    return {
        "policy_p50_us": policy_p50_us,
        "policy_p99_us": policy_p99_us,
        "complexity_p50_us": max(each["p50_us"] for each in shapes.values()),
        "complexity_p99_us": max(each["p99_us"] for each in shapes.values()),
        "complexity": shapes,
    }


class _Judge(Judge):
    """With the scorer that is measured."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self._scorer = scorer


def _score(judge: Judge, request: ModelRequest) -> float:
    return Subject(request, _AGENT.id, judge, {}, None).complexity()


def _decision() -> Callable[[], object]:
    """A decision by ten rules, of which none matches, from a request that is read."""
    router = Router(_policy(), _catalog())
    attribution = Attribution(run="nightly", session="talk", tags=(("task", "answer"),))
    request = read_request(CHAT, _body(4_000, "many_messages"))
    asked = Asked(request, attribution, _AGENT, (), "req_1", 1_800_000_000.0, "researcher/nightly")
    view = View(asked.at_s, memory=Sessions())
    return lambda: router.decide(wanted_of(asked), view)


def _policy() -> CompiledPolicy:
    rules = [Rule(f"rule-{at}", CompiledCondition(text), ("strong",)) for at, text in enumerate(_CONDITIONS)]
    tiers = (Tier("cheap", ("small", "middle")), Tier("strong", ("large",)))
    default = Rule("default", None, ("cheap", "strong"))
    return CompiledPolicy("ten", tiers, tuple(rules), default, frozenset(("auto",)), {}, {})


def _catalog() -> Catalog:
    models = {}
    for name, pico in (("small", 100_000), ("middle", 1_000_000), ("large", 10_000_000)):
        point = PricePoint(name, pico, *[4 * pico] * (len(PricePoint._fields) - 2))
        price = Price((PricePeriod({"default": (ContextTier(0, point),)}),))
        models[name] = Model(name, (Deployment(f"p/{name}", "p", name, price, context_tokens=200_000),))
    return Catalog(models)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """p50 and p99, in µs of the thread's CPU time."""
    taken_us = []
    for _ in range(_ROUNDS + _WARM):
        started_ns = time.thread_time_ns()
        work()
        taken_us.append((time.thread_time_ns() - started_ns) / 1_000)
    p50_us, p99_us = np.percentile(taken_us[_WARM:], (50, 99)).round(1).tolist()
    return p50_us, p99_us


def _body(size: int, shape: str) -> bytes:
    """A request of seeded prose with numbers and punctuation."""
    chance = Random(size)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(_WORDS)]
    signs = ("", "", "", ",", ".", "?\n", " 12", " = (x_1)")
    text = " ".join(chance.choice(words) + chance.choice(signs) for _ in range(size // 5))[:size]
    part = size if shape == "one_message" else 1_000
    contents = [text[start : start + part] for start in range(0, size, part)]
    roles = ("user", "assistant")
    turns = [{"role": roles[(len(contents) - 1 - place) % 2], "content": each} for place, each in enumerate(contents)]
    return msgspec.json.encode({"model": "auto", "messages": turns})
