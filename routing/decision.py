"""What the router is asked, what it sees, and what it answers: values only. docs/routing-decisions.md explains them."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple, Protocol

from routing.catalog import Deployment, Model
from routing.money import ZERO, NanoUsd
from routing.rules import Facts, Verify

NO_FACTS = Facts(
    *("", "", "", {}, "", 0.0, "normal", 0.0, 0, 0, 0, 0),
    *(False, False, 0, 0.0, 0, 0, 1.0, 0.0, 0, 1),
)
"""Of a request of which nothing is known: a start for tests and cases, by `_replace`."""


class Wanted(NamedTuple):
    """A request, as far as a decision depends on it."""

    facts: Facts
    """What conditions read. Its `complexity` counts as it is where `View.complexity` is None."""
    request_id: str = ""
    run: str = ""
    """Experiments are sticky by it; without one, by the session."""
    session: str = ""
    """Whose model and prompt cache are remembered, unique among all agents; the run's where there is none."""
    api: str = "chat"
    """`chat`, `completions` or `embeddings`."""
    parallel_tools: bool = False
    """The client insists on several tool calls in one answer."""
    in_tool_loop: bool = False
    """The last message is a tool's result."""
    answers: int = 1
    service_tier: str = "default"
    allowed: tuple[frozenset[str], ...] = ()
    """Names and patterns of models: each set (the agent's, the key's) has to allow a candidate."""
    residency: frozenset[str] = frozenset()
    """Tags that a deployment must have, all of them."""


class Budget(NamedTuple):
    """An enforced budget that covers the request, as this process sees it: at most a second old."""

    id: str
    left: NanoUsd
    """Limit less posted and reserved."""
    spent_share: float = 0.0
    """Posted and reserved, of the limit."""
    elapsed_share: float = 0.0
    """Of its window."""
    downgrade: bool = False
    """`on_exceed: downgrade`."""
    model: str = ""
    """It covers this model only; empty: all."""
    provider: str = ""
    """It covers this provider only; empty: all."""
    key: str = ""
    """Its counter, where a budget has one for each value (`user:*`); empty: the id tells."""

    def covers(self, deployment: Deployment) -> bool:
        """Whether a call of the deployment counts in it."""
        return self.model in ("", deployment.model) and self.provider in ("", deployment.provider)


class Session(NamedTuple):
    """What is remembered of a conversation: its latest request."""

    model: str
    tier: str = ""
    """The tier that it was routed to; empty: none."""
    cached_tokens: int = 0
    """Of its prompt, those that the next request finds in the provider's cache."""
    called_tools: bool = False
    """Its answer called tools: the next request brings their results."""
    at_s: float = 0.0
    """When it was answered, Unix time."""


class Memory(Protocol):
    """Sessions by their ids: `routing.sessions.Sessions`."""

    def get(self, session: str, now_s: float) -> Session | None:
        """What is remembered at Unix time `now_s`; None: nothing, the session starts."""
        ...


def _no_latency(_deployment: str) -> float | None:
    return None


def _no_length(_agent: str, _model: str) -> float | None:
    return None


class View(NamedTuple):
    """What this process knows at the moment of the decision. All of it may be left out."""

    now_s: float = 0.0
    """Unix time: prices depend on it."""
    unwell: Container[str] = frozenset()
    """Ids of deployments whose breaker is open, or that are parked."""
    latency_s: Callable[[str], float | None] = _no_latency
    """By a deployment's id: what to expect until the first byte; None: nothing is known."""
    output_tokens: Callable[[str, str], float | None] = _no_length
    """By agent and model: how long an answer usually becomes; None: nothing is known."""
    budgets: tuple[Budget, ...] = ()
    money_price: float = 1.0
    """Lambda: what a dollar is worth now, by the budgets' pace (`routing.pacing`). At least 1."""
    memory: Memory | None = None
    complexity: Callable[[], float] | None = None
    """The request's complexity, asked for at most once, and only if a condition or strategy reads it."""
    quality: Callable[[str, str], float | None] | None = None
    """By model and the policy's tier (empty: none): the probability that the model's answer to this request is right;
    None: too little is known to tell. Bound to the agent and the request, its complexity included."""


class Considered(NamedTuple):
    """A model that was looked at."""

    model: str
    tier: str
    """The tier that it was reached by; empty: named by itself."""
    excluded: str = ""
    """Why it is no candidate: gates that it does not pass, separated by `,`. Empty: it is one."""
    expected_cost: NanoUsd | None = None
    """None where the decision did not depend on it."""
    p_correct: float | None = None
    score: float | None = None
    """What the strategy ordered by: USD for `cheapest` and `value`, seconds for `fastest`; None: nothing is known."""


class Shadow(NamedTuple):
    """What a shadow rule would have done."""

    rule: str
    model: str
    """Empty: the gates left nothing."""
    expected_cost: NanoUsd = ZERO


class Decision(NamedTuple):
    """The answer: ordered candidates, and why. Empty candidates always have a reason."""

    models: tuple[Model, ...]
    """In order, each with those of its deployments that pass the gates. `routing.group.candidates` puts the
    deployments of each in order by their load."""
    rule: str
    """The rule's name; `default`; `asked` for a model that no policy routes."""
    reason: str
    """A few words, printable ASCII without `;`, fit for a header."""
    policy: str = ""
    strategy: str = "ordered"
    tier: str = ""
    """Of the first candidate."""
    arm: str = ""
    """`experiment/arm`, by the rule's and the arm's name."""
    probability: float = 1.0
    """That this model came first, given the request, the view and the policy: below 1 where something was drawn."""
    expected_cost: NanoUsd = ZERO
    """Of the first candidate."""
    runner_up: str = ""
    """The model that would have been called otherwise."""
    strongest: str = ""
    """The strongest candidate of the policy that passes the gates."""
    strongest_cost: NanoUsd = ZERO
    """What that one would be expected to cost."""
    considered: tuple[Considered, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    failed: tuple[str, ...] = ()
    """Rules whose condition failed at run time: they did not match."""
    skipped: tuple[str, ...] = ()
    """Rules that matched, and of which the gates left nothing."""
    complexity: float | None = None
    """None: nothing read it."""
    p_correct: float | None = None
    """Of the first candidate; None: nothing asked for it, or nothing is known."""
    money_price: float = 1.0
    """Lambda, as it was used."""
    verify: Verify | None = None
    """What the answer has to pass."""

    @property
    def candidates(self) -> tuple[Deployment, ...]:
        """All deployments, in the configuration's order within each model."""
        models = self.models
        if len(models) == 1:
            return models[0].deployments
        return tuple([deployment for model in models for deployment in model.deployments])

    @property
    def exclusions(self) -> dict[str, str]:
        """Why models are no candidates, by their names."""
        return {each.model: each.excluded for each in self.considered if each.excluded}
