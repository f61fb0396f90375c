import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.demo.books import AgentBooks, Books, Pair
from gateway.demo.screen import Stage, frame, line, usd
from gateway.demo.steps import Seen
from gateway.demo.summary import BudgetEnd, Outcome, as_json, print_summary
from gateway.demo.tally import Result, Tally
from routing.money import NanoUsd, parse_usd


def tallies() -> list[Tally]:
    cost = NanoUsd(1_234_567_890_123)
    busy = Tally("researcher", None, 12_345, 123_456_789, 12_345_678, cost, 99_999, refused_keys=1, last="x" * 60)
    return [busy, Tally("rogue")]


def printed(*renderables: object) -> str:
    console = Console(file=io.StringIO(), width=80)
    for renderable in renderables:
        console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_frame_fits_80_columns() -> None:
    text = printed(frame(Stage("http://127.0.0.1:65535", [Tally("researcher", last="asks what is missing")], 30), 12.3))
    assert "researcher" in text
    assert "asks what is missing" in text
    assert "12 of 30 s" in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) == 6, "and no line for a budget that there is not"


def test_large_figures_are_not_cut() -> None:
    text = printed(frame(Stage("http://127.0.0.1:1", tallies(), 30), 30))
    for figure in ("12,345", "123,456,789", "12,345,678", "1234.567890", "99,999"):
        assert figure in text
    assert "finishing" in text


def test_a_line_has_the_sum() -> None:
    assert line(Stage("", tallies(), 30), 5.2).startswith("   5 s: 12,345 calls, 123,456,789 tokens in")


def test_a_budget_fills_up() -> None:
    rogue = Tally("rogue", NanoUsd(4_000_000), cost=NanoUsd(1_000_000))
    stage = Stage("http://127.0.0.1:65535", [rogue], 30)
    text = printed(frame(stage, 5))
    assert "rogue" in text
    assert "0.001000 of 0.004000 USD" in text
    assert max(map(len, text.splitlines())) <= 80
    rogue.add("loops", Result(Seen(error="402 budget_exceeded"), "req_1"))
    assert line(stage, 5).endswith("; rogue 0.001000 of 0.004000 USD, 1 refused (402)")


def test_a_tally_counts() -> None:
    tally = Tally("coder")
    tally.add("writes", Result(Seen("text"), "req_1", 10, 5, NanoUsd(700)))
    tally.add("asks", Result(Seen(error="404 model_not_found")))
    assert (tally.calls, tally.input_tokens, tally.output_tokens, tally.cost) == (2, 10, 5, 700)
    assert (tally.errors, tally.last) == (1, "404 model_not_found")


@given(st.integers(-(10**15), 10**15))
def test_nine_decimals_are_exact(amount: int) -> None:
    assert parse_usd(usd(NanoUsd(amount), 9)) == amount


@pytest.mark.parametrize(("amount", "text"), [(0, "0.000000"), (1_999_999, "0.001999"), (-1_000_000, "-0.001000")])
def test_six_decimals_are_cut(amount: int, text: str) -> None:
    assert usd(NanoUsd(amount)) == text


def outcome(*, wrong: bool = False) -> Outcome:
    sums = Pair(NanoUsd(5), NanoUsd(4 if wrong else 5))
    coder = AgentBooks("coder", 3, 1, 1_234_567, 200_000, sums, 1, Pair(NanoUsd(9), NanoUsd(8)), ["req_7"] * wrong)
    budgets = {"rogue": BudgetEnd(NanoUsd(4_000_000), NanoUsd(3_999_999), 17)}
    return Outcome(30.04, Books([coder, AgentBooks("rogue")]), 1, None, budgets)


def summary(given: Outcome) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_summary(console, given)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_summary_shows_both_books_and_the_estimates() -> None:
    text = summary(outcome())
    assert "agrees with the provider's own bill" in text
    assert text.count("0.000000005") == 4  # journal and provider, the coder's row and the sum
    assert "0.000000009" in text
    assert "farebox init && farebox serve" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_summary_tells_how_budgets_ended() -> None:
    text = summary(outcome())
    assert "The budget of rogue is 0.004000 USD, of which 0.003999999 are spent." in text
    assert "does not try again: 17" in text
    assert as_json(outcome())["budgets"] == {
        "rogue": {"limit_usd": "0.004", "spent_usd": "0.003999999", "refused": 17},
    }


def test_the_summary_names_what_differs() -> None:
    text = summary(outcome(wrong=True))
    assert "DISAGREE" in text
    assert "req_7" in text


def test_json_says_the_same() -> None:
    result = as_json(outcome(wrong=True))
    assert result["match"] is False
    assert result["agents"]["coder"]["exact"] == {
        "journal_usd": "0.000000005",
        "provider_usd": "0.000000004",
        "difference_usd": "0.000000001",
    }
    assert result["total"]["wrong_requests"] == ["req_7"]
    assert as_json(outcome())["match"] is True
