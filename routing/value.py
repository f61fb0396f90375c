"""What an answer is worth, and what is left of that when it is paid for. Pure.

A request's value V is what a right answer is worth to whoever asks, in USD: the client's own word where the agent's
`trust` lists `value`, else the agent's default; never more than the operator's cap. A model's net value is

    V * p(correct) - lambda * expected cost

where lambda, at least 1, is what a dollar of the budget is worth now (`routing.pacing`). With lambda 1 a better model
is taken whenever it earns more than it costs. As a budget runs ahead of its window lambda rises, and the money goes to
the requests that earn most with it: this is the Lagrangian of "the most value for this budget", and requests whose
ratio of gain to cost is above lambda are the ones that a solver with perfect foresight would pick.
"""

from __future__ import annotations

from routing.money import NANO_PER_USD, NanoUsd


def worth_usd(declared: NanoUsd | None, default: NanoUsd | None, cap: NanoUsd | None) -> float:
    """V: as declared, else the agent's default, up to the operator's cap; 0 where nobody says anything."""
    value = declared if declared is not None else default
    if value is None or value <= 0:
        return 0.0
    return (value if cap is None else min(value, cap)) / NANO_PER_USD


def net_value(value_usd: float, p_correct: float, cost_usd: float, money_price: float) -> float:
    """What is left of an answer's value when it is paid for, in USD. `money_price` is lambda."""
    return value_usd * p_correct - money_price * cost_usd
