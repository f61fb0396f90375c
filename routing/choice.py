"""What one rule chooses, and what is left of that when money is short. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from routing.experiments import arm_of
from routing.pool import Bounds, Entry, Group, Pool
from routing.rules import Rule
from routing.strategies import order
from routing.weighing import Weighing

NEAR: Final = 50
"""So many requests before a budget with `on_exceed: downgrade` is spent, cheaper candidates are put behind the others:
admission, which alone is exact, then finds one that fits."""
_NO_SCORES: Final[Mapping[str, float | None]] = {}


class Choice(NamedTuple):
    """A rule's candidates in order: at least one, all of which pass the gates."""

    rule: Rule
    entries: Sequence[Entry]
    reason: str
    arm: str = ""
    """`experiment/arm`."""
    probability: float = 1.0
    scores: Mapping[str, float | None] = _NO_SCORES
    """By model, where the strategy has them."""
    excluded: tuple[tuple[Entry, str], ...] = ()
    """Candidates of the rule that are none, and why."""


def choose(rule: Rule, pool: Pool, bounds: Bounds, weighing: Weighing, draw: float) -> Choice | None:
    """What a rule chooses; None when the gates leave nothing of it."""
    use, weights, name, probability = rule.use, rule.weights, "", 1.0
    if rule.arms:
        arm = arm_of(rule.name, rule.arms, weighing.wanted)
        use, weights, name = arm.use, (), f"{rule.name}/{arm.name}"
        probability = arm.percent / sum(each.percent for each in rule.arms)
    groups, excluded = _passing(pool.groups(use, weights, bounds), weighing)
    if not groups:
        return None
    if rule.strategy == "value" and weighing.view.complexity is not None:
        weighing.read_complexity()
    ordered = order(rule.strategy, groups, weighing, draw)
    entries, reason, scores, _ = ordered
    by_name = {entry.name: score for entry, score in zip(entries, scores, strict=True)} if scores else _NO_SCORES
    return Choice(rule, entries, reason, name, probability * ordered.probability, by_name, excluded)


def _passing(groups: tuple[Group, ...], weighing: Weighing) -> tuple[Sequence[Group], tuple[tuple[Entry, str], ...]]:
    """The groups without what the gates exclude, and what they do exclude."""
    admitted = weighing.admitted
    excluded = [entry for group in groups for entry in group.entries if admitted(entry) is None]
    if not excluded:
        return groups, ()
    left = []
    for group in groups:
        entries = tuple([entry for entry in group.entries if admitted(entry) is not None])
        if entries:
            left.append(Group(group.weight, entries))
    return left, tuple([(entry, weighing.excluded(entry)) for entry in excluded])


def downgrade(choice: Choice, pool: Pool, bounds: Bounds, weighing: Weighing) -> Choice:
    """The choice, or where its first candidate costs more than is left: the dearest that fits.

    Cheaper ones are looked for in the tiers below too, down to the agent's floor. Where nothing fits, the choice
    stands: admission will refuse it, and say by which budget.
    """
    first = choice.entries[0]
    short = weighing.short_of(first)
    if not short and not weighing.is_near(first, NEAR):
        return choice
    cheaper = _below(choice, pool, bounds, weighing)
    if not short:
        return choice._replace(entries=[*choice.entries, *cheaper])
    fits, excluded = [], []
    for entry in (*choice.entries, *cheaper):
        reason = weighing.short_of(entry)
        if reason:
            excluded.append((entry, f"budget:{reason}"))
        else:
            fits.append(entry)
    if not fits:
        return choice
    fits.sort(key=weighing.cost, reverse=True)
    return choice._replace(
        entries=fits, reason=f"budget {short}", probability=1.0, excluded=(*choice.excluded, *excluded)
    )


def _below(choice: Choice, pool: Pool, bounds: Bounds, weighing: Weighing) -> list[Entry]:
    """What passes the gates in tiers below the first candidate's, the dearest first."""
    first, seen, found = choice.entries[0], {entry.name for entry in choice.entries}, []
    for entry in pool.within(bounds):
        if entry.rank < first.rank and entry.name not in seen and weighing.admitted(entry) is not None:
            seen.add(entry.name)
            found.append(entry)
    found.sort(key=weighing.cost, reverse=True)
    return found
