"""A policy as the router reads it: tiers, rules in order, and what each does. Made from a policy file at load. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Strategy = Literal["ordered", "weighted", "cheapest", "fastest", "value"]
"""How candidates of a rule are put in order: as written; by weight, drawn; by expected cost; by latency; by what the
answer is worth times how likely it is right, less what it costs."""

Check = Literal["schema", "tool_calls", "refusal", "empty"]
"""What an answer may fail at, so that a stronger model is asked: its JSON schema; tool calls that name a tool of the
request with arguments that fit; words of refusal; nothing in it."""


class Facts(NamedTuple):
    """What conditions may read of a request. docs/routing.md lists them."""

    agent: str
    team: str
    org: str
    tags: Mapping[str, str]
    model: str
    """As asked for: `auto`, or the name that the policy claims."""
    value_usd: float
    """What a right answer is worth, as declared; the agent's default where nothing is."""
    priority: str
    """`low`, `normal`, `high`."""
    complexity: float
    """0 to 1; worked out only when a condition or strategy reads it, else 0."""
    input_tokens: int
    max_output_tokens: int
    """0: the client gave no bound."""
    tools: int
    images: int
    stream: bool
    json_schema: bool
    session_turns: int
    """Messages of the conversation so far."""
    run_cost_usd: float
    run_steps: int
    run_depth: int
    budget_remaining_ratio: float
    """Of the tightest enforced budget; 1 where there is none."""
    budget_burn_ratio: float
    """Spent against elapsed share of its window: above 1 it ends before its window."""
    hour: int
    """0..23, UTC."""
    weekday: int
    """1 (Monday) to 7."""


class Answer(NamedTuple):
    """What a verification's condition may read: as `answer.text` and so on."""

    text: str
    """Of the first choice; empty where there is none."""
    finish_reason: str
    """As the client would see it: `stop`, `length`, `tool_calls`, `content_filter`; empty where none was sent."""
    tool_calls: int
    output_tokens: int


class Condition(Protocol):
    """A condition on a request that was checked at load."""

    @property
    def reads(self) -> frozenset[str]:
        """The variables it reads, as written: `complexity`, `run.steps`."""
        ...

    def excludes(self, facts: Facts) -> bool:
        """Whether it is surely not fulfilled, as far as look-ups tell: agent, team, org, model, tags."""
        ...

    def matches(self, facts: Facts) -> bool | None:
        """Whether the rule applies; None when it failed at run time: no match, counted and explained."""
        ...


class AnswerCondition(Protocol):
    """A condition on an answer that was checked at load."""

    def matches(self, answer: Answer) -> bool | None:
        """Whether the answer will do; None when the condition failed at run time: it will not do."""
        ...


class Tier(NamedTuple):
    """A named list of models."""

    name: str
    models: tuple[str, ...]
    """In order of preference."""


class Arm(NamedTuple):
    """One side of an experiment."""

    name: str
    percent: float
    use: tuple[str, ...]
    """A tier's name, or models."""


class Verify(NamedTuple):
    """What an answer has to pass, else the next stronger candidate is asked."""

    checks: tuple[Check, ...]
    condition: AnswerCondition | None = None
    """What an answer has to fulfil besides."""
    buffer_streams: bool = False
    """Streams are verified only where they are held back on purpose."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy."""

    name: str
    condition: Condition | None
    """None: always."""
    use: tuple[str, ...]
    """Tiers' names and models, in order."""
    strategy: Strategy = "ordered"
    weights: tuple[int, ...] = ()
    """For `weighted`: of the entries of `use`, one each; empty: all weigh the same."""
    shadow: bool = False
    """Decided and recorded, not obeyed."""
    arms: tuple[Arm, ...] = ()
    """An experiment in place of `use`: sticky per run."""
    verify: Verify | None = None


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy, checked against the catalog."""

    name: str
    tiers: tuple[Tier, ...]
    """Weak to strong."""
    rules: tuple[Rule, ...]
    """The first that matches is obeyed; shadow rules on the way are noted."""
    default: Rule
    """When none matches."""
    claims: frozenset[str]
    """Names that clients ask for and this policy routes: `auto`, aliases, and concrete models if it says so."""
    floors: Mapping[str, str]
    """The weakest tier of an agent, by its id."""
    ceilings: Mapping[str, str]
    """The strongest tier of an agent, by its id."""
