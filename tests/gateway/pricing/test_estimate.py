"""The estimates against a real tokenizer: OpenAI's cl100k, from the file in the LiteLLM package (never imported)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from gateway.pricing.estimate import estimate_input_tokens, estimate_output_tokens

CL100K = "litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
PATTERN = "|".join(
    [
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ]
)


@pytest.fixture(scope="module")
def tokenizer() -> tiktoken.Encoding:
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    ranks = load_tiktoken_bpe(str(Path(spec.origin).parent / CL100K))
    return tiktoken.Encoding("cl100k", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


TOOL = {
    "type": "function",
    "function": {
        "name": "search_orders",
        "description": "Find a customer's orders, newest first.",
        "parameters": {
            "type": "object",
            "properties": {
                "customer_id": {"type": "string", "description": "As the billing system knows the customer."},
                "status": {"type": "string", "enum": ["open", "shipped", "returned"]},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100},
            },
            "required": ["customer_id"],
            "additionalProperties": False,
        },
    },
}

# The text, and the least and most that the estimate may be of the real count: the figures of docs/money.md.
TEXTS = {
    "English": (
        "The gateway stands in front of every call that an agent makes to a model, decides who may spend what, "
        "picks the model that the work is worth, survives providers' bad days and accounts for every dollar.",
        (1.4, 1.7),
    ),
    "German": (
        "Das Gateway steht vor jedem Aufruf, den ein Agent an ein Modell richtet, und bucht jeden Dollar.",
        (1.1, 1.4),
    ),
    "code": (Path(__file__).read_text(), (1.05, 1.35)),
    "tool schema": (json.dumps(TOOL), (1.2, 1.5)),
    "Chinese": ("网关位于代理对模型的每次调用之前，决定谁可以花费多少，并记录每一美元。", (0.9, 1.1)),  # noqa: RUF001 Chinese punctuation
    "Japanese": ("ゲートウェイはエージェントがモデルに行うすべての呼び出しの前に立ち、支出を記録します。", (0.9, 1.1)),
    "Korean": ("게이트웨이는 에이전트가 모델에 보내는 모든 호출 앞에 서서 모든 비용을 기록합니다.", (1.0, 1.2)),
    "Russian": ("Шлюз стоит перед каждым вызовом модели, решает, кто сколько может потратить.", (1.3, 1.7)),
    "Arabic": ("تقف البوابة أمام كل مكالمة يجريها الوكيل إلى النموذج وتقرر من يمكنه الإنفاق.", (0.75, 1.0)),
    "Hindi": ("गेटवे एजेंट की हर कॉल के सामने खड़ा होता है और हर डॉलर का हिसाब रखता है।", (0.75, 1.0)),
    "Greek": ("Η πύλη στέκεται μπροστά από κάθε κλήση του μοντέλου και καταγράφει κάθε δολάριο.", (0.65, 0.9)),  # noqa: RUF001 Greek
    "identifiers": (" ".join(f"0b5c1d2e-3f4a-4b5c-8d9e-{i * 7919**3:012x}" for i in range(20)), (0.3, 0.5)),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_error_is_what_the_documentation_says(tokenizer: tiktoken.Encoding, kind: str) -> None:
    text, (least, most) = TEXTS[kind]
    real = len(tokenizer.encode(text))
    size = len(text.encode())
    for estimate in (estimate_input_tokens(size), estimate_output_tokens(0, size)):
        assert least <= estimate / real <= most, (kind, estimate, real)


@given(st.text(min_size=1), st.integers(0, 10_000))
def test_never_zero_for_text(text: str, events: int) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    assert estimate_input_tokens(size) >= 1
    assert estimate_output_tokens(events, size) >= max(1, events)


def test_nothing_is_nothing() -> None:
    assert estimate_input_tokens(0) == 0
    assert estimate_output_tokens(0, 0) == 0


def test_content_events_count_when_they_say_more() -> None:
    assert estimate_output_tokens(50, 30) == 50
    assert estimate_output_tokens(2, 30) == 10


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_text_is_never_fewer_tokens(one: int, two: int) -> None:
    low, high = sorted((one, two))
    assert estimate_input_tokens(low) <= estimate_input_tokens(high)
