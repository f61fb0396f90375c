from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from routing.complexity import (
    FEATURES,
    HEAD_CHARS,
    TAIL_CHARS,
    ComplexityInput,
    Scorer,
    features,
    probability,
    structure_logit,
)
from routing.weights import shipped

EASY = "What is the capital of France?"
HARD = (
    r"Let $p(x)$ be a monic polynomial of degree 7 with $p(k) = k^{2} \bmod 11$. Find the sum of all \[|p(0)|\] roots."
)

SCORER = Scorer(shipped())

counts = st.integers(0, 10**9)
requests = st.builds(
    ComplexityInput,
    text_head=st.text(max_size=HEAD_CHARS * 2),
    text_tail=st.text(max_size=TAIL_CHARS * 2),
    text_bytes=counts,
    system_bytes=counts,
    tools=counts,
    tools_bytes=counts,
    turns=st.integers(1, 10**6),
    max_output_tokens=st.none() | counts,
)


@given(requests)
def test_scores_any_request(request_: ComplexityInput) -> None:
    score = SCORER.score(request_)
    assert 0.0 <= score.complexity <= 1.0
    assert all(0.0 <= p <= 1.0 for p in score.p)
    assert score.p[0] <= score.p[1] <= score.p[2]
    assert score.complexity == 1.0 - score.p[0]
    assert SCORER.score(request_) == score


@given(requests)
def test_features_are_bounded(request_: ComplexityInput) -> None:
    seen = features(request_)
    assert len(seen.dense) == len(FEATURES)
    assert all(abs(value) <= HEAD_CHARS + TAIL_CHARS for value in seen.dense)
    assert len(seen.buckets) <= 2 * (HEAD_CHARS + TAIL_CHARS)


def test_what_is_beyond_the_caps_changes_nothing_but_the_size() -> None:
    text = "please sort 12 numbers, " * 100
    whole = ComplexityInput(text, text_bytes=9_000)
    cut = ComplexityInput(text[:HEAD_CHARS], text_bytes=9_000)
    assert features(whole).dense == features(cut).dense
    assert features(whole).buckets.tolist() == features(cut).buckets.tolist()


def test_letters_case_and_digits_values_are_one() -> None:
    one, other = features(ComplexityInput("add 17 and 25")), features(ComplexityInput("ADD 99 AND 31"))
    assert one.buckets.tolist() == other.buckets.tolist()


def test_hard_mathematics_is_harder_than_a_fact() -> None:
    assert SCORER.score(ComplexityInput(HARD)).complexity > 0.2 + SCORER.score(ComplexityInput(EASY)).complexity


def test_structure_only_ever_adds() -> None:
    plain = ComplexityInput(EASY)
    assert structure_logit(plain) == 0.0
    richer = [
        plain._replace(tools=5),
        plain._replace(tools_bytes=20_000),
        plain._replace(turns=9),
        plain._replace(system_bytes=20_000),
        plain._replace(max_output_tokens=32_000),
    ]
    for request in richer:
        assert 0 < structure_logit(request) < 1.7
        assert SCORER.score(request).complexity > SCORER.score(plain).complexity


def test_an_empty_request_has_a_score() -> None:
    assert 0 < SCORER.score(ComplexityInput("")).complexity < 1


def test_probability_does_not_overflow() -> None:
    assert probability(-10_000) == 0.0
    assert probability(10_000) == 1.0
    assert probability(0) == 0.5


def test_numpy_is_loaded_with_the_first_scorer_only() -> None:
    modules = "routing.complexity, routing.weights, gateway.wire.complexity_input"
    code = f"import sys, {modules}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
