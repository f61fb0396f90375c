"""What is left at the end: every agent's account, the journal beside the provider's bill, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from gateway.demo.books import AgentBooks, Books, Pair
from gateway.demo.screen import usd
from routing.money import NanoUsd, format_usd


class BudgetEnd(NamedTuple):
    """How a budget ended."""

    limit: NanoUsd
    spent: NanoUsd
    """By the journal."""
    denied: int
    """Calls that got a 402."""


class Outcome(NamedTuple):
    """How the demo went."""

    seconds: float
    books: Books
    refused_keys: int
    """Calls whose key was refused: they belong to nobody."""
    kept: Path | None
    """The folder that was kept, if any."""
    budgets: Mapping[str, BudgetEnd]
    """By agent."""


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as one JSON object. Money is USD in decimal strings."""
    books = outcome.books
    return {
        "match": books.match,
        "seconds": round(outcome.seconds, 3),
        "agents": {account.agent: _account(account) for account in books.accounts},
        "total": _account(books.total),
        "budgets": {
            agent: {"limit_usd": format_usd(end.limit), "spent_usd": format_usd(end.spent), "refused": end.denied}
            for agent, end in outcome.budgets.items()
        },
        "refused_keys": outcome.refused_keys,
        "kept": None if outcome.kept is None else str(outcome.kept),
    }


def _account(account: AgentBooks) -> dict[str, Any]:
    return {
        "requests": account.requests,
        "errors": account.errors,
        "input_tokens": account.input_tokens,
        "output_tokens": account.output_tokens,
        "exact": _pair(account.exact),
        "estimates": account.estimates,
        "estimated": _pair(account.estimated),
        "wrong_requests": list(account.wrong),
    }


def _pair(pair: Pair) -> dict[str, str]:
    return {
        "journal_usd": format_usd(pair.journal),
        "provider_usd": format_usd(pair.provider),
        "difference_usd": format_usd(pair.difference),
    }


def print_summary(console: Console, outcome: Outcome) -> None:
    """Print the outcome for a person."""
    books = outcome.books
    console.print(f"\nThe books after {outcome.seconds:.0f} seconds, in USD", style="bold")
    console.print(_exact_table(books))
    console.print(_verdict(books), style="green" if books.match else "bold red")
    if books.total.estimates:
        console.print("\nSome calls brought no usage: the client hung up, the answer broke, or the")
        console.print("provider forgot it. They are never free: Farebox charges an estimate, marked.")
        console.print(_estimates_table(books))
    for agent, end in outcome.budgets.items():
        spent = f"{usd(end.limit)} USD, of which {usd(end.spent, 9)} are spent"
        console.print(f"\nThe budget of {agent} is {spent}. Calls that")
        console.print(f"it had no room for got a 402, which the SDK raises and does not try again: {end.denied:,}")
    if outcome.refused_keys:
        console.print(f"\nRefused for a wrong key, so nobody's and in no journal: {outcome.refused_keys}")
    console.print(next_steps(outcome.kept), markup=False, soft_wrap=True)


def _exact_table(books: Books) -> Table:
    table = _table(("agent", "calls", "not ok", "tokens in", "tokens out", "journal", "provider", "differ"))
    for account in [*books.accounts, books.total]:
        table.add_row(
            account.agent,
            f"{account.requests:,}",
            f"{account.errors:,}",
            f"{account.input_tokens:,}",
            f"{account.output_tokens:,}",
            *_money(account.exact),
            style="bold" if account.agent == "all" else None,
        )
    return table


def _estimates_table(books: Books) -> Table:
    table = _table(("agent", "calls", "estimated", "provider", "differ"))
    for account in books.accounts:
        if account.estimates:
            table.add_row(account.agent, f"{account.estimates:,}", *_money(account.estimated))
    return table


def _money(pair: Pair) -> tuple[str, str, str]:
    return usd(pair.journal, 9), usd(pair.provider, 9), format_usd(pair.difference) if pair.difference else "0"


def _table(columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column == "agent" else "right", no_wrap=True)
    return table


def _verdict(books: Books) -> str:
    wrong = books.total.wrong
    if not wrong:
        return "The journal agrees with the provider's own bill to the nano-dollar."
    return f"The books DISAGREE on {len(wrong)} request(s): {', '.join(wrong[:3])}"


_EVERY_AGENT = "SELECT agent, count(*), sum(cost_nano_usd) FROM charges GROUP BY agent"


def next_steps(kept: Path | None) -> str:
    """What to try next."""
    lines = [
        "",
        "What to try next:",
        "  farebox init && farebox serve     your own gateway, simulator included",
        "  farebox demo --speed 20 --seed 2  faster, and other questions",
        "  farebox demo --keep demo          keep the configuration and the journal",
    ]
    if kept is not None:
        lines[-1] = f"  sqlite3 -box {kept}/state/journal.db '{_EVERY_AGENT}'"
    return "\n".join(lines)
