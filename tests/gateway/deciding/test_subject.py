"""What is looked up in a request's body, and how likely models are right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.deciding.subject import Judge, Subject, in_tool_loop
from gateway.wire.requests import CHAT, EMBEDDINGS, ModelRequest, read_request
from routing.complexity import Complexity, ComplexityInput
from routing.quality import MIN_OUTCOMES, SIGNALS, Quality

RANKS = {"cheap": 0.0, "good": 0.5, "better": 0.75, "best": 1.0}
SCORE = Complexity(0.4, (0.6, 0.7, 0.9), (0.1,) * SIGNALS)  # type: ignore[arg-type]  # as many as there are


class Scorer:
    """In place of the shipped one."""

    def __init__(self) -> None:
        self.asked: list[ComplexityInput] = []

    def score(self, asked: ComplexityInput) -> Complexity:
        self.asked.append(asked)
        return SCORE


def request(*roles: str, **fields: Any) -> ModelRequest:
    messages = [{"role": role, "content": f"{role} says"} for role in roles]
    return read_request(CHAT, json.dumps({"model": "auto", "messages": messages, **fields}).encode())


def subject(given: float | None = None, quality: Quality | None = None, **fields: Any) -> tuple[Subject, Scorer]:
    judge, scorer = Judge(quality), Scorer()
    judge._scorer = scorer  # type: ignore[assignment]  # the real one is tested elsewhere
    return Subject(request("system", "user", **fields), "dev", judge, RANKS, given), scorer


@pytest.mark.parametrize(
    ("roles", "looping"),
    [
        ((), False),
        (("user",), False),
        (("user", "assistant", "tool"), True),
        (("function",), True),
        (("tool", "user"), False),
    ],
)
def test_a_tools_result_comes_last_inside_a_tool_loop(roles: tuple[str, ...], looping: bool) -> None:
    assert in_tool_loop(request(*roles)) is looping


@pytest.mark.parametrize("role", [None, 5, ["tool"], {"tool": 1}])
def test_a_role_of_any_shape_is_none(role: object) -> None:
    body = json.dumps({"model": "auto", "messages": [{"role": role, "content": "x"}]}).encode()
    odd = read_request(CHAT, body)
    assert in_tool_loop(odd) is False
    assert 0 <= Subject(odd, "dev", Judge(), RANKS, None).complexity() <= 1


def test_what_is_no_chat_has_no_loop() -> None:
    assert (
        in_tool_loop(read_request(EMBEDDINGS, b'{"model": "m", "input": "x", "messages": [{"role": "tool"}]}')) is False
    )


def test_the_score_is_worked_out_once_and_only_when_asked_for() -> None:
    asked, scorer = subject(tools=[{"type": "function", "function": {"name": "f"}}], max_tokens=9)
    assert (asked.signals, scorer.asked) == (None, [])
    assert asked.complexity() == 0.4
    assert asked.p_correct("m", "cheap") == 0.6
    assert asked.signals == SCORE.signals
    (seen,) = scorer.asked
    assert (seen.text_head, seen.tools, seen.max_output_tokens) == ("user says", 1, 9)
    assert seen.system_bytes == len('"system says"')
    assert seen.tools_bytes > 0


def test_a_trusted_client_knows_better() -> None:
    asked, scorer = subject(given=0.95)
    assert (asked.complexity(), scorer.asked) == (0.95, [])
    light, medium, strong = (asked.p_correct("m", tier) for tier in ("cheap", "good", "best"))
    assert (light, medium, strong) == (pytest.approx(0.05), 0.7, 0.9)
    easy, _ = subject(given=0.0)
    assert [easy.p_correct("m", tier) for tier in RANKS] == [1.0] * 4  # never falls with the tier


def test_tiers_between_are_interpolated() -> None:
    asked, _ = subject()
    assert [asked.p_correct("m", tier) for tier in RANKS] == [0.6, 0.7, pytest.approx(0.8), 0.9]
    assert asked.p_correct("m", "") is None
    assert asked.p_correct("m", "no such tier") is None


def test_the_agents_record_counts_where_there_is_enough_of_it() -> None:
    quality = Quality()
    asked, _ = subject(quality=quality)
    for _ in range(MIN_OUTCOMES - 1):
        quality.learn("dev", "m", SCORE.signals, 0.0)
    assert asked.p_correct("m", "best") == 0.9  # by its tier, still
    quality.learn("dev", "m", SCORE.signals, 0.0)
    known = asked.p_correct("m", "best")
    assert known is not None
    assert known < 0.4
    assert asked.p_correct("m", "") == known  # whichever tier, or none
    assert asked.p_correct("other", "best") == 0.9


def test_the_shipped_weights_are_loaded_when_somebody_asks() -> None:
    judge = Judge()
    assert judge._scorer is None
    assert 0 <= Subject(request("user"), "dev", judge, RANKS, None).complexity() <= 1
    assert judge.scorer is judge._scorer
