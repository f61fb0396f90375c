from __future__ import annotations

import pytest

from benchmarks.routing import decision
from gateway.wire.complexity_input import complexity_input
from gateway.wire.requests import CHAT, read_request
from routing.complexity import HEAD_CHARS, TAIL_CHARS, Scorer
from routing.decision import Decision
from routing.weights import shipped


def test_figures_of_every_size_and_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "_ROUNDS", 3)
    monkeypatch.setattr(decision, "_WARM", 1)
    figures = decision.decision_figures(Scorer(shipped()))
    assert set(figures["complexity"]) == {f"{size}_{shape}" for size in ("4kb", "400kb") for shape in decision._SHAPES}
    assert figures["complexity_p50_us"] == max(each["p50_us"] for each in figures["complexity"].values())
    assert 0 < figures["policy_p50_us"] <= figures["policy_p99_us"]


def test_the_decision_that_is_measured_goes_through_all_ten_rules() -> None:
    decided = decision._decision()()
    assert isinstance(decided, Decision)
    assert (decided.rule, [model.name for model in decided.models]) == ("default", ["small", "middle", "large"])
    assert (decided.failed, decided.complexity) == ((), None)
    assert len(decision._CONDITIONS) == 10


@pytest.mark.parametrize(("shape", "turns"), [("one_message", 1), ("many_messages", 100)])
def test_requests_are_as_large_as_they_say(shape: str, turns: int) -> None:
    body = decision._body(400_000, shape)
    assert 390_000 < len(body) < 450_000
    read = complexity_input(read_request(CHAT, body).messages)
    assert read.turns == turns
    if shape == "one_message":
        assert (len(read.text_head), len(read.text_tail)) == (HEAD_CHARS, TAIL_CHARS)
