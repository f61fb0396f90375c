"""A decision in words, for people: what `farebox explain` prints. Pure."""

from __future__ import annotations

from routing.decision import Considered, Decision
from routing.money import format_usd


def explain(decision: Decision) -> list[str]:
    """Lines, in the order in which it came about: rules, numbers, the choice, and what else might have been."""
    lines = [f"policy      {decision.policy}"] if decision.policy else []
    lines += [
        f"failed      rule {name}: its condition failed at run time, which is no match" for name in decision.failed
    ]
    lines += [f"skipped     rule {name}: matched, but the gates leave nothing of it" for name in decision.skipped]
    for shadow in decision.shadows:
        would = f"{shadow.model}, {_usd(shadow.expected_cost)} USD" if shadow.model else "nothing: the gates"
        lines.append(f"shadow      rule {shadow.rule} would have chosen {would}")
    lines.append(
        f"rule        {decision.rule} ({decision.strategy})" + (f", arm {decision.arm}" if decision.arm else "")
    )
    if decision.complexity is not None:
        lines.append(f"complexity  {decision.complexity:.2f}")
    if decision.money_price > 1.0:
        lines.append(f"lambda      a dollar of the budget is worth {decision.money_price:,.2f} now")
    lines += [_candidate(each) for each in decision.considered]
    if not decision.models:
        return [*lines, f"result      nothing: {decision.reason}"]
    lines.append(f"result      {decision.models[0].name}: {decision.reason}" + _by_chance(decision))
    if decision.strongest and decision.strongest != decision.models[0].name:
        cost = f"{_usd(decision.strongest_cost)} USD instead of {_usd(decision.expected_cost)}"
        lines.append(f"strongest   {decision.strongest} would cost {cost}")
    return lines


def _candidate(each: Considered) -> str:
    name = f"{each.model} ({each.tier})" if each.tier else each.model
    if each.excluded:
        return f"excluded    {name}: {each.excluded}"
    numbers = [] if each.expected_cost is None else [f"expected cost {_usd(each.expected_cost)} USD"]
    if each.p_correct is not None:
        numbers.append(f"right with {each.p_correct:.0%}")
    if each.score is not None:
        numbers.append(f"score {each.score:.6g}")
    return f"candidate   {name}" + (f": {', '.join(numbers)}" if numbers else "")


def _by_chance(decision: Decision) -> str:
    return "" if decision.probability >= 1.0 else f", with a probability of {decision.probability:.2f}"


_usd = format_usd
