from __future__ import annotations

import pytest

from benchmarks.routing import decision
from gateway.wire.complexity_input import complexity_input, read_messages
from routing.complexity import HEAD_CHARS, TAIL_CHARS, Scorer
from routing.weights import shipped


def test_figures_of_every_size_and_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "_ROUNDS", 3)
    monkeypatch.setattr(decision, "_WARM", 1)
    figures = decision.decision_figures(Scorer(shipped()))
    assert set(figures["complexity"]) == {f"{size}_{shape}" for size in ("4kb", "400kb") for shape in decision._SHAPES}
    assert figures["complexity_p50_us"] == max(each["p50_us"] for each in figures["complexity"].values())


@pytest.mark.parametrize(("shape", "turns"), [("one_message", 1), ("many_messages", 100)])
def test_requests_are_as_large_as_they_say(shape: str, turns: int) -> None:
    raw = decision._messages(400_000, shape)
    assert 390_000 < memoryview(raw).nbytes < 450_000
    read = complexity_input(read_messages(raw))
    assert read.turns == turns
    if shape == "one_message":
        assert (len(read.text_head), len(read.text_tail)) == (HEAD_CHARS, TAIL_CHARS)
