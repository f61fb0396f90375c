"""Whether a session keeps its model: inside a tool loop always, else where switching does not pay. Pure.

- The last message is a tool's result: the model that called the tool gets it. Other models know other tool-call ids,
  and lose the reasoning behind the call.
- A tier may rise within a session at once. It falls at the session's start only, and when money runs out
  (`on_exceed: downgrade`): people notice an assistant that has become worse in the middle of a talk.
- Otherwise another model has to pay for the prompt cache that is lost: its full price has to be below what the
  session's model costs with its prompt cached. Strategies that go by cost have that in their scores already. Where
  nothing is cached nothing is lost, and the rule is obeyed, except that nothing is drawn anew.

Nothing is kept that does not pass the gates, is out of the agent's bounds, or cannot be called now.
"""

from __future__ import annotations

from routing.choice import Choice
from routing.pool import UNRANKED, Bounds, Entry, Pool
from routing.weighing import Weighing


def stick(choice: Choice, pool: Pool, bounds: Bounds, weighing: Weighing) -> Choice:
    """The choice, or the session's own model before it."""
    session = weighing.session
    if session is None:
        return choice
    current = pool.remembered(session.model, session.tier)
    if current is None or not _may_stay(current, bounds, weighing):
        return choice
    first = choice.entries[0]
    if first.name == current.name:
        return choice._replace(probability=1.0) if choice.rule.strategy == "weighted" else choice
    if weighing.wanted.in_tool_loop or session.called_tools:
        return _keep(choice, current, "tool loop")
    if UNRANKED not in (first.rank, current.rank) and first.rank != current.rank:
        return choice if first.rank > current.rank else _keep(choice, current, "session keeps its tier")
    return choice if _pays(choice, first, current, weighing) else _keep(choice, current, "session keeps its model")


def _may_stay(current: Entry, bounds: Bounds, weighing: Weighing) -> bool:
    if weighing.admitted(current) is None or weighing.is_unwell(current):
        return False
    return bounds.clamp(current.rank) == current.rank and not weighing.short_of(current)


def _pays(choice: Choice, first: Entry, current: Entry, weighing: Weighing) -> bool:
    strategy, scores = choice.rule.strategy, choice.scores
    if strategy in ("cheapest", "value") and None not in (scores.get(first.name), scores.get(current.name)):
        return True  # it came first although the other's prompt is cached
    session = weighing.session
    if session is not None and not session.cached_tokens:
        return strategy != "weighted"
    return weighing.cost(first) < weighing.cost(current)


def _keep(choice: Choice, current: Entry, reason: str) -> Choice:
    others = [entry for entry in choice.entries if entry.name != current.name]
    arm = choice.arm if len(others) < len(choice.entries) else ""  # what another arm's model does counts for none
    return choice._replace(entries=[current, *others], reason=reason, arm=arm, probability=1.0)
